from __future__ import annotations

import dataclasses
import math
from typing import get_args

import pytest
import torch
from semivariogram_worlds import fitted, smooth_world
from torch.nn import functional

from geoloc.errors import ConfigError
from geoloc.losses import contrastive_loss
from geoloc.negatives import RuleName, RuleSettings, all_negatives, build_rule, observe


def test_all_is_plain_cross_entropy_over_batch_and_queue():
    generator = torch.Generator().manual_seed(0)
    latlon_deg = torch.rand(9, 2, generator=generator, dtype=torch.float64) * 60
    own = torch.eye(6, 9, dtype=torch.bool)
    flags = all_negatives(observe(latlon_deg[:6], latlon_deg, own))
    flags.check()
    logits = 14.0 * torch.randn(6, 9, generator=generator, dtype=torch.float64)
    expected = functional.cross_entropy(logits, torch.arange(6))
    assert abs(float(contrastive_loss(logits, flags) - expected)) < 1e-6


def test_another_image_of_the_same_place_stays_a_negative():
    same = torch.tensor([[10.0, 20.0], [10.0, 20.0]], dtype=torch.float64)
    evidence = observe(same, same, torch.eye(2, dtype=torch.bool))
    assert float(evidence.lag_km.max()) == 0.0
    flags = all_negatives(evidence)
    assert torch.equal(flags.positive, torch.eye(2, dtype=torch.bool))
    assert torch.equal(flags.negative, ~torch.eye(2, dtype=torch.bool))
    assert torch.equal(flags.weights(), torch.ones(2, 2))


NAMES = get_args(RuleName)


def evidence_of(n: int = 120, *, seed: int = 0):
    latlon, feature = smooth_world(900, seed=seed)
    place = torch.from_numpy(latlon)
    return observe(
        place[:n],
        place,
        torch.eye(n, 900, dtype=torch.bool),
        query_feature=feature[:n],
        candidate_feature=feature,
        expectation=fitted(latlon, feature),
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("measure", ["quantile", "residual"])
@pytest.mark.parametrize("positive_share", [0.0, 0.4])
def test_every_rule_gives_consistent_flags(name, measure, positive_share):
    evidence = evidence_of()
    rule = build_rule(
        name, RuleSettings(measure=measure, positive_share=positive_share, near_km=2e3)
    )
    flags = rule(evidence)
    flags.check()
    assert bool((flags.positive & evidence.own).any(dim=1).all())
    assert bool((flags.weights()[evidence.own] == 1.0).all())


@pytest.mark.parametrize("name", NAMES)
def test_before_the_first_fit_and_without_features_nothing_is_judged(name):
    place = torch.rand(6, 2, dtype=torch.float64) * 60
    evidence = observe(place, place, torch.eye(6, dtype=torch.bool))
    flags = build_rule(name, RuleSettings(near_km=1.0))(evidence)
    assert torch.equal(flags.negative, ~evidence.own)
    assert bool((flags.weights() == 1).all())


@pytest.mark.parametrize("name", NAMES)
def test_a_candidate_without_a_feature_is_a_plain_negative(name):
    evidence = evidence_of()
    unknown = torch.zeros_like(evidence.own)
    unknown[:, 700:] = True
    hidden = dataclasses.replace(
        evidence,
        observed=evidence.observed.masked_fill(unknown, torch.nan),
        score=evidence.score.masked_fill(unknown, torch.nan),
    )
    for measure in ("quantile", "residual"):
        settings = RuleSettings(measure=measure, near_km=0.0 if name == "distance" else 2e3)
        flags = build_rule(name, settings)(hidden)
        assert bool(flags.negative[unknown & ~evidence.own].all())
        assert bool((flags.weights()[unknown] == 1).all())


def naive_verdict(name, settings, pair):
    """One pair at a time: (negative, weight), straight from the words of the docstrings."""
    lag, d, gamma, u = pair["lag"], pair["d"], pair["gamma"], pair["u"]
    near = lag <= min(settings.near_km, settings.near_ranges * pair["range"])
    alike = d < settings.alike_level * pair["sill"]
    false = near and alike and u < settings.false_quantile
    weight = 1.0
    far = lag > min(settings.far_km, settings.far_ranges * pair["range"]) and alike
    if far and u < settings.hard_quantile:
        hardness = (settings.hard_quantile - u) / settings.hard_quantile
        weight = math.exp(settings.hard_log_weight * hardness)
    if name == "distance":
        return lag > settings.near_km, 1.0
    if name == "thesis_p5":
        return True, math.exp(max(0.0, d - gamma)) if lag <= pair["range"] else 1.0
    if name == "correlogram":
        return True, min(max(gamma / pair["sill"], 0.0), 1.0) if false else 1.0
    if name == "hard_only":
        return True, weight
    if name == "false_only":
        return not false, 1.0
    return (not false, 1.0 if false else weight) if name == "semivariogram" else (True, 1.0)


@pytest.mark.parametrize("name", NAMES)
def test_each_rule_equals_a_loop_over_pairs(name):
    evidence = evidence_of(40)
    settings = RuleSettings(
        near_km=1500.0, hard_log_weight=2.0, positive_share=0.0, alike_level=1.0
    )
    flags = build_rule(name, settings)(evidence)
    for i in range(40):
        for j in range(0, 900, 7):
            if i == j:
                continue
            pair = {
                "lag": float(evidence.lag_km[i, j]),
                "d": float(evidence.observed[i, j]),
                "gamma": float(evidence.expected[i, j]),
                "u": float(evidence.score[i, j]),
                "range": evidence.effective_range_km,
                "sill": evidence.sill,
            }
            negative, weight = naive_verdict(name, settings, pair)
            assert bool(flags.negative[i, j]) == negative
            assert float(flags.weights()[i, j]) == pytest.approx(weight, rel=1e-5)


def test_false_negatives_share_the_target_by_the_correlogram_and_never_beyond_the_cap():
    evidence = evidence_of()
    settings = RuleSettings(near_km=2e3, positive_share=0.3)
    flags = build_rule("semivariogram", settings)(evidence)
    others = flags.positive & ~evidence.own
    assert int(others.sum()) > 0
    mass = (flags.weight * others).sum(dim=1)
    assert float((mass / (1 + mass)).max()) <= 0.3 + 1e-5
    row = int(others.sum(dim=1).argmax())
    share = flags.weight[row][others[row]]
    level = 1.0 - evidence.expected[row][others[row]] / evidence.sill
    level = level * (1.0 - evidence.score[row][others[row]])
    assert torch.allclose(share / share.sum(), level / level.sum(), atol=1e-5)


def test_impossible_settings_and_names_are_refused():
    with pytest.raises(ConfigError, match="false_quantile"):
        RuleSettings(false_quantile=1.5)
    with pytest.raises(ConfigError, match="near_km"):
        RuleSettings(near_km=-1.0)
    with pytest.raises(ConfigError, match="own place"):
        RuleSettings(positive_share=1.0)
    with pytest.raises(ConfigError, match="hard_only"):
        build_rule("nearest", RuleSettings())

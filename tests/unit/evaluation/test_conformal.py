from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from softmax_worlds import softmax_world

from geoloc.errors import ConfigError, DataError
from geoloc.evaluation.conformal import (
    ALL,
    SCORES,
    ConformalRadius,
    conformal_scores,
    conformal_threshold,
    familiar_score,
    radii_km,
)
from geoloc.evaluation.mass_profile import HALF_TURN_KM, MassProfile


def _profile(split, scale=12.0):
    return MassProfile.around(
        split.query, split.answer_deg, split.place, split.gallery_deg, scale=scale
    )


def _flat_profile(count):
    edges_km = np.linspace(0.0, HALF_TURN_KM, 5)
    return MassProfile(edges_km=edges_km, within=np.tile(np.linspace(0.0, 1.0, 5), (count, 1)))


@settings(max_examples=100, deadline=None)
@given(n=st.integers(1, 60), level=st.sampled_from([0.5, 0.55, 0.7, 0.8, 0.9, 0.95, 0.99]))
def test_the_threshold_is_the_order_statistic_of_the_finite_sample_rank(n, level):
    score = np.random.default_rng(n).permutation(n).astype(float)
    # level is a whole number of hundredths: exact arithmetic
    rank = -(-(n + 1) * round(level * 100) // 100)
    expected = math.inf if rank > n else float(rank - 1)
    assert conformal_threshold(score, level) == expected
    assert conformal_threshold(score, level, block=np.arange(n)) == expected


def test_coverage_over_many_draws_is_nominal():
    generator = np.random.default_rng(0)
    draws = generator.exponential(1.0, (5000, 20))
    # 19 scores at 0.9: the 18th smallest holds a new one with probability 18/20 exactly
    held = [row[19] <= conformal_threshold(row[:19], 0.9) for row in draws]
    assert np.mean(held) == pytest.approx(0.9, abs=4 * math.sqrt(0.09 / 5000))


def _block_worlds(generator, blocks, rows):
    """Errors whose blocks differ more than their images, and an image of a block not seen."""
    level = generator.normal(0.0, 2.0, blocks + 1)
    sizes = generator.integers(1, rows, blocks) ** 3
    block = np.repeat(np.arange(blocks), sizes)
    score = np.exp(level[block] + generator.normal(0.0, 0.3, len(block)))
    return score, block, math.exp(level[-1] + generator.normal(0.0, 0.3))


def test_blocks_hold_the_level_in_new_blocks_where_images_alone_do_not():
    generator = np.random.default_rng(1)
    plain, by_block = [], []
    for _ in range(3000):
        score, block, new = _block_worlds(generator, 9, 6)
        plain.append(new <= conformal_threshold(score, 0.8))
        by_block.append(new <= conformal_threshold(score, 0.8, block=block))
    margin = 4 * math.sqrt(0.16 / 3000)
    assert np.mean(plain) < 0.8 - margin
    assert 0.8 - margin < np.mean(by_block) < 0.9


def test_a_block_of_many_copies_counts_once():
    score = np.array([1.0, 2.0, 3.0, *[9.0] * 100])
    block = np.array([0, 1, 2, *[3] * 100])
    assert conformal_threshold(score, 0.5, block=block) == 3.0
    assert conformal_threshold(score, 0.5) == 9.0


def test_nothing_to_fit_on_and_impossible_levels_are_refused():
    with pytest.raises(DataError, match="at least one image"):
        conformal_threshold(np.zeros(0), 0.9)
    for level in (0.0, 1.0, 90.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            conformal_threshold(np.zeros(3), level)


@pytest.mark.parametrize("name", SCORES)
def test_a_place_lies_within_the_radius_exactly_when_its_score_is_within_the_threshold(name):
    split = softmax_world(300, 200, scale=12.0, jitter_deg=2.0)
    profile, distance_km = _profile(split), split.distance_km
    score = conformal_scores(name, profile, distance_km)
    for threshold in np.quantile(score, [0.1, 0.5, 0.9]) + 1e-7:
        inside = distance_km <= radii_km(name, profile, float(threshold))
        np.testing.assert_array_equal(inside, score <= threshold)
    assert (radii_km(name, profile, math.inf) == HALF_TURN_KM).all()


@pytest.mark.parametrize("name", SCORES)
def test_every_score_covers_and_the_adaptive_ones_follow_the_difficulty(name):
    fitted = softmax_world(1500, 200, scale=12.0, seed=1, jitter_deg=2.0)
    tested = softmax_world(1500, 200, scale=12.0, seed=2, jitter_deg=2.0)
    radius = ConformalRadius.fit(name, _profile(fitted), fitted.distance_km)
    profile = _profile(tested)
    spread_km = profile.radius_holding(0.5)
    easy = spread_km < np.median(spread_km)
    for level in radius.levels:
        told_km = radius.radius_km(profile, level)
        held = tested.distance_km <= told_km
        assert held.mean() == pytest.approx(level, abs=5 * math.sqrt(level * (1 - level) / 1500))
        if name == "constant":
            assert np.ptp(told_km) == 0
        else:
            assert np.median(told_km[easy]) < 0.85 * np.median(told_km[~easy])


def test_groups_have_their_own_coverage_and_small_ones_take_that_of_all():
    generator = np.random.default_rng(3)
    count = 4000
    group = np.array(["AF", "EU"], dtype=object)[(np.arange(2 * count) % 2)]
    distance_km = generator.exponential(np.where(group == "AF", 900.0, 100.0))
    group[:20] = "OC"
    fit, test = slice(0, count), slice(count, None)
    radius = ConformalRadius.fit(
        "constant", _flat_profile(count), distance_km[fit], levels=[0.9], group=group[fit]
    )
    assert set(radius.thresholds) == {ALL, "AF", "EU"}
    assert radius.counts[ALL] == count
    for name in ("AF", "EU"):
        inside = group[test] == name
        told_km = radius.radius_km(_flat_profile(count), 0.9, group=group[test])
        mondrian = (distance_km[test] <= told_km)[inside].mean()
        plain = (distance_km[test] <= radius.radius_km(_flat_profile(count), 0.9))[inside].mean()
        assert mondrian == pytest.approx(0.9, abs=0.025)
        assert abs(plain - 0.9) > 0.06
    other = radius.radius_km(_flat_profile(1), 0.9, group=np.array(["OC"], dtype=object))
    assert other[0] == radius.thresholds[ALL][0]


def test_groups_by_block_need_blocks():
    distance_km = np.arange(400.0)
    group = np.array(["AF", "EU"], dtype=object)[np.arange(400) // 200]
    block = np.where(group == "AF", 0, np.arange(400))
    radius = ConformalRadius.fit(
        "constant", _flat_profile(400), distance_km, group=group, block=block
    )
    assert set(radius.thresholds) == {ALL, "EU"}
    assert radius.blocks == 201


def test_json_brings_back_the_same_radius_also_an_infinite_one():
    radius = ConformalRadius.fit("scaled", _flat_profile(9), np.arange(9.0))
    assert radius.thresholds[ALL][-1] == math.inf
    told = json.loads(json.dumps(radius.to_json(), allow_nan=False))
    assert ConformalRadius.from_json(told) == radius
    with pytest.raises(ValueError, match="levels"):
        ConformalRadius.from_json({**told, "levels": [0.5]})
    with pytest.raises(ValueError, match="unknown score"):
        ConformalRadius.from_json({**told, "score": "softest"})
    with pytest.raises(ConfigError, match=r"calibrated are 0\.5, 0\.8, 0\.9, 0\.95"):
        radius.radius_km(_flat_profile(9), 0.7)


def test_one_in_twenty_familiar_images_is_called_a_stranger():
    generator = np.random.default_rng(0)
    alarms = []
    for _ in range(4000):
        scores = generator.normal(size=60)
        alarms.append(float(scores[-1] < familiar_score(scores[:-1])))
    # Below the third smallest of 59 lie three of the 60 ranks that it can have.
    assert np.mean(alarms) == pytest.approx(3 / 60, abs=0.01)
    assert familiar_score(np.arange(19.0)) == 0.0
    assert familiar_score(np.arange(18.0)) is None
    assert familiar_score(np.array([5.0, 1.0, 3.0, 2.0]), alarms=0.4) == 2.0

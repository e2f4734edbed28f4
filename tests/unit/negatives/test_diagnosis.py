from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from geoloc.errors import DataError
from geoloc.geodesy import great_circle_km
from geoloc.geostatistics import gaussian_field
from geoloc.negatives import all_negatives
from geoloc.negatives.diagnosis import FlagDiagnosis, diagnose, judge_pairs
from geoloc.negatives.flag_ledger import FlagChurn, extreme_pairs, flag_churn
from geoloc.negatives.flag_zone import flag_zones
from geoloc.negatives.refit import RefitSettings, fit_expectation
from geoloc.negatives.rules import RuleSettings, build_rule
from geoloc.pairs import PairFlags

EDGES_KM = (0.0, 100.0, 2000.0, math.inf)
NEAR_KM, FAR_KM = 400.0, 4000.0


def near_alike_or_far_alike(evidence):
    """The shape of a rule, without the settings of those that are shipped."""
    score = evidence.score
    if score is None:
        return all_negatives(evidence)
    is_false = ~evidence.own & (evidence.lag_km <= NEAR_KM) & (score < 0.5)
    hard = ~evidence.own & (evidence.lag_km > FAR_KM) & (score < 0.1)
    return PairFlags(
        positive=evidence.own,
        negative=~evidence.own & ~is_false,
        weight=torch.where(hard, 3.0, 1.0),
    )


@pytest.fixture(scope="module")
def world(clustered_places):
    latlon_deg = clustered_places(600, seed=3)
    field = gaussian_field(
        latlon_deg,
        lambda lag: torch.exp(-lag / 700.0),
        generator=torch.Generator().manual_seed(0),
        features=24,
    )[0]
    return latlon_deg, (field + 0.1).float()


@pytest.fixture(scope="module")
def expectation(world):
    latlon_deg, feature = world
    return fit_expectation(latlon_deg, feature, RefitSettings(samples=600), seed=0)


@pytest.fixture(scope="module")
def pairs(world, expectation):
    return judge_pairs(
        *world, expectation, near_alike_or_far_alike, seed=1, anchors=40, candidates=150
    )


def test_every_anchor_meets_every_candidate_and_itself_only_as_its_own(pairs, world):
    anchor, candidate = pairs.anchor.tolist(), pairs.candidate.tolist()
    assert (len(set(anchor)), len(set(candidate))) == (40, 150)
    assert set(anchor) <= set(candidate)
    rows, columns = pairs.evidence.own.nonzero(as_tuple=True)
    assert [anchor[i] for i in rows] == [candidate[i] for i in columns] == anchor
    latlon_deg, _ = world
    expected = great_circle_km(latlon_deg[anchor[7]], latlon_deg[candidate[11]])
    assert float(pairs.evidence.lag_km[7, 11]) == pytest.approx(float(expected), rel=1e-9)


def test_the_same_seed_gives_the_same_pairs_and_another_one_others(pairs, world):
    words = {"anchors": 40, "candidates": 150}
    again = judge_pairs(*world, None, all_negatives, seed=1, **words)
    other = judge_pairs(*world, None, all_negatives, seed=2, **words)
    assert torch.equal(again.anchor, pairs.anchor)
    assert torch.equal(again.candidate, pairs.candidate)
    assert not torch.equal(other.anchor, pairs.anchor)


def test_diagnosis_equals_a_loop_over_pairs(pairs):
    found = diagnose(pairs, edges_km=EDGES_KM, level=(0.1, 0.5))
    evidence, flags = pairs.evidence, pairs.flags
    rows = [[] for _ in range(4)]
    for i in range(40):
        for j in range(150):
            if bool(evidence.own[i, j]):
                continue
            lag = float(evidence.lag_km[i, j])
            row = (
                not bool(flags.negative[i, j]),
                bool(flags.negative[i, j]) and float(flags.weight[i, j]) > 1.0,
                float(flags.weight[i, j]) if bool(flags.negative[i, j]) else math.nan,
                float(evidence.score[i, j]) < 0.1,
                float(evidence.score[i, j]) < 0.5,
            )
            band = 0 if lag <= 100.0 else 1 if lag <= 2000.0 else 2
            rows[band].append(row)
            rows[3].append(row)
    for band, table in enumerate(rows):
        columns = np.array(table, dtype=np.float64)
        assert found.pair_count[band] == len(table) > 0
        assert found.share_false[band] == pytest.approx(columns[:, 0].mean())
        assert found.share_hard[band] == pytest.approx(columns[:, 1].mean())
        assert found.mean_weight[band] == pytest.approx(np.nanmean(columns[:, 2]))
        assert found.realised[band] == pytest.approx(columns[:, 3:].mean(axis=0))
    assert found.share_false[0] > 0.2
    assert found.share_hard[2] > 0.05


def test_scores_are_calibrated_on_pairs_of_the_same_world(world, expectation):
    judged = judge_pairs(*world, expectation, near_alike_or_far_alike, seed=0, anchors=600)
    zones = flag_zones(expectation, near_alike_or_far_alike)
    # Below the shortest class of lag the fit knows nothing: such pairs are more alike still.
    found = diagnose(judged, zones, edges_km=(0.0, 5.0, NEAR_KM, FAR_KM, math.inf))
    assert found.realised[-1] == pytest.approx(np.array(found.level), abs=0.02)
    assert found.nominal_false[1] == pytest.approx(0.5, abs=0.02)
    assert found.share_false[1] == pytest.approx(0.5, abs=0.04)
    assert found.nominal_hard[3] == pytest.approx(0.1, abs=0.01)
    assert found.share_hard[3] == pytest.approx(0.1, abs=0.02)
    assert found.nominal_hard[1] == found.nominal_false[3] == 0.0
    assert found.share_false[0] > found.nominal_false[0]


def test_without_structure_nothing_is_flagged_and_nothing_is_scored(world):
    latlon_deg, feature = world
    shuffled = feature[torch.randperm(600, generator=torch.Generator().manual_seed(4))]
    flat = fit_expectation(latlon_deg, shuffled, RefitSettings(samples=600), seed=0)
    assert not flat.has_structure
    rule = build_rule("semivariogram", RuleSettings())
    found = diagnose(judge_pairs(latlon_deg, shuffled, flat, rule, seed=0), flag_zones(flat, rule))
    assert found.share_false[-1] == found.share_hard[-1] == 0.0
    assert found.nominal_false[-1] == found.nominal_hard[-1] == 0.0
    assert np.isnan(found.realised).all()


def test_a_band_without_pairs_has_no_shares_and_json_brings_all_back(pairs):
    found = diagnose(pairs, edges_km=(0.0, 1e-6, 500.0, math.inf))
    assert found.pair_count[0] == 0
    assert math.isnan(found.share_false[0])
    assert math.isnan(found.mean_weight[0])
    assert np.isnan(found.nominal_hard).all()
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    back = FlagDiagnosis.from_json(content)
    assert back.edges_km == found.edges_km
    for name in FlagDiagnosis.__slots__:
        assert np.array_equal(getattr(back, name), getattr(found, name), equal_nan=True), name
    for damage in ({"pair_count": [1]}, {"level": None}, {"share_hard": "no"}):
        with pytest.raises(DataError, match="damaged"):
            FlagDiagnosis.from_json({**content, **damage})


def test_one_sample_is_no_pair(world, expectation):
    latlon_deg, feature = world
    with pytest.raises(DataError, match="two samples"):
        judge_pairs(latlon_deg[:1], feature[:1], expectation, all_negatives, seed=0)


@pytest.mark.parametrize("kind", ["false", "hard"])
def test_the_ledger_holds_the_least_scores_and_no_sample_thrice(pairs, kind):
    listed = extreme_pairs(pairs, kind, count=9)
    assert len(listed) == 9
    scores = [each.score for each in listed]
    assert scores == sorted(scores)
    assert len({frozenset((each.query, each.candidate)) for each in listed}) == 9
    met = [row for each in listed for row in (each.query, each.candidate)]
    assert max(met.count(row) for row in met) <= 2
    mask = pairs.flagged(kind)
    assert scores[0] == float(pairs.evidence.score[mask].min())
    anchor, candidate = pairs.anchor.tolist(), pairs.candidate.tolist()
    for each in listed:
        at = anchor.index(each.query), candidate.index(each.candidate)
        assert bool(mask[at])
        assert each.lag_km == float(pairs.evidence.lag_km[at])
        assert each.observed == float(pairs.evidence.observed[at])
        assert each.expected == float(pairs.evidence.expected[at])


def test_the_ledger_of_one_hub_stops_at_its_share(pairs):
    """Where one odd sample is in every flagged pair, the list is short rather than all its own."""
    weight = torch.ones_like(pairs.flags.weight)
    weight[5] = 2.0
    flags = PairFlags(positive=pairs.evidence.own, negative=~pairs.evidence.own, weight=weight)
    hub = replace(pairs, flags=flags)
    assert len(extreme_pairs(hub, "hard")) == 2
    assert len(extreme_pairs(hub, "hard", per_sample=7)) == 7
    assert extreme_pairs(hub, "false") == ()


def test_pairs_without_a_score_are_put_in_order_of_dissimilarity(world):
    rule = build_rule("distance", RuleSettings(near_km=NEAR_KM))
    judged = judge_pairs(*world, None, rule, seed=0)
    listed = extreme_pairs(judged, "false")
    assert len(listed) == 12
    observed = [each.observed for each in listed]
    assert observed == sorted(observed)
    assert all(math.isnan(each.score) and each.lag_km <= NEAR_KM for each in listed)


def test_churn_is_the_jaccard_distance_of_each_kind():
    none, some = np.zeros((2, 3), dtype=bool), np.array([[1, 1, 0], [1, 0, 0]], dtype=bool)
    other = np.array([[0, 1, 0], [1, 1, 0]], dtype=bool)
    before, after = {"false": none, "hard": some}, {"false": none, "hard": other}
    assert flag_churn(before, after) == FlagChurn(false=0.0, hard=0.5)
    assert flag_churn({**before, "false": some}, after).false == 1.0
    assert flag_churn(after, after) == FlagChurn(false=0.0, hard=0.0)
    with pytest.raises(DataError, match="compared"):
        flag_churn(before, {"false": none[:1], "hard": other[:1]})


def test_zones_follow_the_band_and_end_where_the_rule_ends(expectation):
    zone = flag_zones(expectation, near_alike_or_far_alike)
    near = zone["false"].lag_km <= NEAR_KM
    assert np.isfinite(zone["false"].upper[near]).all()
    assert np.isnan(zone["false"].upper[~near]).all()
    assert (zone["false"].share[~near] == 0).all()
    far = zone["hard"].lag_km > FAR_KM
    assert np.isnan(zone["hard"].upper[~far]).all()
    due = expectation.band.quantile(0.1, zone["hard"].lag_km[far])
    assert zone["hard"].upper[far] == pytest.approx(due, abs=0.01)
    assert zone["hard"].share[far] == pytest.approx(np.full(far.sum(), 0.1), abs=0.01)


def test_the_zone_of_the_thesis_lies_above_the_curve(expectation):
    zone = flag_zones(expectation, build_rule("thesis_p5", RuleSettings()))["hard"]
    some = np.isfinite(zone.lower)
    assert some.any()
    assert zone.lag_km[some].max() <= expectation.effective_range_km
    curve = expectation.fit(zone.lag_km[some])
    assert zone.lower[some] == pytest.approx(curve, abs=0.005)


def test_nominal_shares_of_the_distance_rule_are_the_pairs_in_reach(pairs, expectation):
    zones = flag_zones(expectation, build_rule("distance", RuleSettings(near_km=NEAR_KM)))
    nominal = zones["false"].nominal(pairs.evidence.lag_km)
    near = pairs.evidence.lag_km <= NEAR_KM
    # The grid of lags has steps of 3 %: a lag that close to the edge may fall to the other side.
    clear = (pairs.evidence.lag_km / NEAR_KM - 1.0).abs() > 0.03
    assert torch.allclose(nominal[clear & near], torch.ones(()).double(), atol=1e-6)
    assert (nominal[clear & ~near] == 0).all()

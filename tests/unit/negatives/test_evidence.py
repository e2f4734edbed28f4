from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from geoloc.negatives import Judgement, RuleSettings, all_negatives, build_rule, observe

PARIS, LONDON, SYDNEY = (48.8566, 2.3522), (51.5074, -0.1278), (-33.8688, 151.2093)


@dataclass
class LinearExpectation:
    has_structure: bool = True
    sill: float = 1.0
    effective_range_km: float = 950.0

    def judge(self, query_latlon_deg, lag_km, observed):
        del query_latlon_deg
        expected = lag_km / 1000.0
        return Judgement(
            expected=expected, score=observed.to(expected), spread=torch.ones_like(expected)
        )


def places(*pairs: tuple[float, float]) -> torch.Tensor:
    return torch.tensor(pairs, dtype=torch.float64)


def test_lags_are_great_circle_kilometres_between_the_right_pairs():
    evidence = observe(
        places(PARIS, SYDNEY), places(PARIS, LONDON, SYDNEY), torch.eye(2, 3, dtype=torch.bool)
    )
    assert evidence.lag_km.shape == (2, 3)
    assert evidence.lag_km[0, 0] == 0.0
    assert abs(float(evidence.lag_km[0, 1]) - 343.6) < 1.0
    assert abs(float(evidence.lag_km[0, 2]) - 16960) < 20
    assert evidence.lag_km[1, 2] == 0.0
    assert evidence.observed is None
    assert evidence.expected is None


def test_observed_is_half_the_squared_distance_of_unit_features():
    generator = torch.Generator().manual_seed(3)
    query = torch.randn(4, 6, generator=generator)
    candidate = torch.randn(5, 6, generator=generator) * 7.0
    evidence = observe(
        torch.zeros(4, 2, dtype=torch.float64),
        torch.zeros(5, 2, dtype=torch.float64),
        torch.zeros(4, 5, dtype=torch.bool),
        query_feature=query,
        candidate_feature=candidate,
    )
    assert evidence.observed is not None
    for i in range(4):
        for j in range(5):
            a, b = query[i] / query[i].norm(), candidate[j] / candidate[j].norm()
            expected = 0.5 * float((a - b).square().sum())
            assert abs(float(evidence.observed[i, j]) - expected) < 1e-6


def test_a_candidate_without_a_feature_has_a_lag_but_no_observation():
    evidence = observe(
        places(PARIS),
        places(PARIS, LONDON),
        torch.eye(1, 2, dtype=torch.bool),
        query_feature=torch.ones(1, 2),
        candidate_feature=torch.tensor([[1.0, 1.0], [torch.nan, torch.nan]]),
    )
    assert evidence.observed is not None
    assert float(evidence.observed[0, 0]) < 1e-6
    assert torch.isnan(evidence.observed[0, 1])
    assert torch.isfinite(evidence.lag_km).all()


def test_the_expectation_is_asked_at_the_lags():
    evidence = observe(
        places(PARIS),
        places(PARIS, LONDON),
        torch.eye(1, 2, dtype=torch.bool),
        expectation=LinearExpectation(),
    )
    assert evidence.expected is not None
    assert evidence.score is not None
    assert torch.equal(evidence.expected, evidence.lag_km / 1000.0)
    assert evidence.effective_range_km == 950.0
    assert evidence.sill == 1.0
    # without features there is nothing to score, and no rule can flag anything
    assert evidence.observed is None
    assert bool(evidence.score.isnan().all())


def test_a_curve_without_structure_expects_nothing():
    evidence = observe(
        places(PARIS),
        places(PARIS, LONDON),
        torch.eye(1, 2, dtype=torch.bool),
        query_feature=torch.ones(1, 3),
        candidate_feature=torch.ones(2, 3),
        expectation=LinearExpectation(has_structure=False),
    )
    assert evidence.observed is not None
    assert evidence.expected is None
    assert evidence.score is None
    assert evidence.sill is None


def test_no_gradient_flows_through_evidence():
    feature = torch.ones(2, 3, requires_grad=True)
    evidence = observe(
        places(PARIS, LONDON),
        places(PARIS, LONDON),
        torch.eye(2, dtype=torch.bool),
        query_feature=feature,
        candidate_feature=feature,
    )
    assert evidence.observed is not None
    assert not evidence.observed.requires_grad


def test_what_no_rule_reads_is_not_computed_and_what_one_reads_is_computed_once():
    class Counting(LinearExpectation):
        asked = 0

        def judge(self, query_latlon_deg, lag_km, observed):
            self.asked += 1
            return super().judge(query_latlon_deg, lag_km, observed)

    feature, own, counting = torch.ones(2, 3), torch.eye(2, dtype=torch.bool), Counting()
    evidence = observe(
        places(PARIS, LONDON),
        places(PARIS, LONDON),
        own,
        query_feature=feature,
        candidate_feature=feature,
        expectation=counting,
    )
    assert torch.equal(all_negatives(evidence).negative, ~own)
    assert counting.asked == 0
    for _ in range(2):
        build_rule("semivariogram", RuleSettings())(evidence)
    assert counting.asked == 1
    assert evidence.lag_km is evidence.lag_km
    with pytest.raises(AttributeError, match="bearing"):
        _ = evidence.bearing


def test_evidence_that_nobody_has_read_yet_can_be_replaced_in_part():
    evidence = observe(places(PARIS), places(PARIS, LONDON), torch.eye(1, 2, dtype=torch.bool))
    nearer = replace(evidence, lag_km=evidence.lag_km / 2)
    assert torch.equal(2 * nearer.lag_km, evidence.lag_km)
    assert nearer.observed is None

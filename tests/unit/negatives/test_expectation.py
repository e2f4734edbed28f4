from __future__ import annotations

import numpy as np
import pytest
import torch
from semivariogram_worlds import fitted, smooth_world

from geoloc.errors import CheckpointError, ConfigError, DataError
from geoloc.geodesy import pairwise_great_circle_km
from geoloc.negatives import ExpectedSemivariance, RefitSettings, fit_expectation, observe


def all_pairs(latlon, feature):
    place = torch.from_numpy(latlon)
    unit = torch.nn.functional.normalize(feature, dim=1)
    upper = torch.triu_indices(len(place), len(place), offset=1)
    lag = pairwise_great_circle_km(place, place)[upper[0], upper[1]]
    return lag, (1.0 - (unit @ unit.T))[upper[0], upper[1]]


def test_the_curve_runs_through_the_mean_dissimilarity_of_pairs():
    latlon, feature = smooth_world()
    expectation = fitted(latlon, feature)
    lag, observed = all_pairs(latlon, feature)
    for low, high in ((500, 600), (1000, 1100), (2000, 2200), (5000, 5300)):
        inside = (lag > low) & (lag < high)
        told = expectation.expected(lag[inside]).mean()
        assert float(told) == pytest.approx(float(observed[inside].mean()), rel=0.06)
    assert expectation.has_structure
    at_range = expectation.expected(torch.tensor([expectation.effective_range_km]))
    assert float(at_range) == pytest.approx(0.95 * expectation.sill, rel=2e-3)


def test_the_table_is_the_fitted_curve():
    expectation = fitted(*smooth_world())
    lag = np.array([0.5, 17.0, 333.0, 4_321.0, 19_999.0])
    told = expectation.expected(torch.from_numpy(lag).float())
    assert np.allclose(told.numpy(), expectation.fit(lag), rtol=1e-3, atol=1e-6)


def test_scores_are_uniform_and_spread_is_the_standard_deviation():
    # few waves: dissimilarities then scatter at a lag more than they change with it
    latlon, feature = smooth_world(900, features=8)
    expectation = fitted(latlon, feature)
    lag, observed = all_pairs(latlon, feature)
    for low, high in ((700, 1400), (3000, 6000), (8000, 12000)):
        inside = (lag > low) & (lag < high)
        score = expectation.score(lag[inside].float(), observed[inside])
        for level in (0.05, 0.25, 0.5, 0.9):
            assert float((score < level).float().mean()) == pytest.approx(level, abs=0.04)
    inside = (lag > 9900) & (lag < 10100)
    told = expectation.spread(torch.tensor([10_000.0]))
    assert float(told) == pytest.approx(float(observed[inside].std()), rel=0.08)


def test_a_saved_expectation_judges_bit_for_bit_alike():
    latlon, feature = smooth_world(400)
    place = torch.from_numpy(latlon[:50])
    for local in (False, True):
        expectation = fitted(latlon, feature, local=local)
        again = ExpectedSemivariance.from_state(expectation.state_dict())
        seen = [
            observe(
                place,
                place,
                torch.eye(50, dtype=torch.bool),
                query_feature=feature[:50],
                candidate_feature=feature[:50],
                expectation=each,
            )
            for each in (expectation, again)
        ]
        assert torch.equal(seen[0].score, seen[1].score)
        assert torch.equal(seen[0].expected, seen[1].expected)
    with pytest.raises(CheckpointError, match="no semivariogram"):
        ExpectedSemivariance.from_state({"order": torch.zeros(3)})


def test_shuffled_features_have_no_structure():
    for seed in range(5):
        latlon, feature = smooth_world(700, seed=seed)
        shuffled = feature[torch.randperm(700, generator=torch.Generator().manual_seed(seed))]
        assert not fitted(latlon, shuffled).has_structure


def test_a_rougher_region_expects_more_where_expectations_are_local():
    latlon, feature = smooth_world(2_000, reach=1.0)
    north = latlon[:, 0] > 0
    _, rough = smooth_world(2_000, seed=0, reach=6.0)
    feature[torch.from_numpy(north)] = rough[torch.from_numpy(north)]
    local, whole = fitted(latlon, feature, local=True), fitted(latlon, feature)
    query = torch.tensor([[60.0, 10.0], [-60.0, 10.0]], dtype=torch.float64)
    lag = torch.full((2, 1), 800.0, dtype=torch.float64)
    told = local.judge(query, lag, torch.zeros(2, 1)).expected
    same = whole.judge(query, lag, torch.zeros(2, 1)).expected
    assert float(same[0]) == float(same[1])
    assert float(told[0]) > 1.2 * float(told[1])


def test_too_few_samples_or_impossible_settings_are_refused():
    latlon, feature = smooth_world(60)
    with pytest.raises(DataError, match="50 training samples"):
        fit_expectation(latlon[:40], feature[:40], RefitSettings(), seed=0)
    with pytest.raises(ConfigError, match="50 samples"):
        RefitSettings(samples=10)
    with pytest.raises(ConfigError, match="warmup_epochs"):
        RefitSettings(warmup_epochs=-1)


def test_fits_are_due_after_the_warm_up_and_then_at_the_interval():
    settings = RefitSettings(warmup_epochs=2, every_epochs=3)
    assert [e for e in range(10) if settings.is_due(e)] == [2, 5, 8]

from __future__ import annotations

import math

import numpy as np
import pytest

from geoloc.downstream import mean_interval, station_scores
from geoloc.errors import DataError


def test_spatial_r_is_of_station_means_and_blind_to_seasons() -> None:
    generator = np.random.default_rng(0)
    season = 10.0 * np.sin(np.arange(12) / 2.0)
    mean = generator.normal(size=20)
    truth = mean[:, None] + season
    # the seasons are right and the map is upside down
    found = station_scores(-mean[:, None] + season, truth)
    assert found.spatial_r == pytest.approx(-1.0)
    assert found.pearson > 0.9
    assert found.rmse == pytest.approx(math.sqrt(np.mean((2 * mean) ** 2)))


def test_only_what_both_have_is_compared() -> None:
    truth = np.array([[1.0, 9.0], [2.0, 2.0], [3.0, 4.0], [np.nan, np.nan]])
    estimate = np.array([[1.0, np.nan], [2.0, 2.0], [3.0, 4.0], [7.0, 7.0]])
    found = station_scores(estimate, truth)
    assert found.rmse == 0.0
    assert found.spatial_r == pytest.approx(1.0)
    with pytest.raises(DataError, match="2 stations can be compared"):
        station_scores(estimate[:2], truth[:2])


def test_intervals_over_seeds_are_students() -> None:
    from scipy.stats import ttest_1samp

    value = np.array([1.0, 2.0, 4.0, 3.5])
    mean, low, high = mean_interval(value)
    theirs = ttest_1samp(value, 0.0).confidence_interval(0.95)
    assert (mean, low, high) == pytest.approx((value.mean(), theirs.low, theirs.high))
    alone = mean_interval(np.array([2.0]))
    assert alone[0] == 2.0
    assert math.isnan(alone[1])

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import ConfigError
from geoloc.geostatistics.lags import LagBins, check_metric


def test_kinds_of_bins():
    even = LagBins.even(4, 100.0, unit="m")
    assert even.edges == (0.0, 25.0, 50.0, 75.0, 100.0)
    assert even.unit == "m"
    logarithmic = LagBins.logarithmic(3, 1.0, 1000.0)
    assert logarithmic.edges == pytest.approx((1.0, 10.0, 100.0, 1000.0))
    assert len(logarithmic) == 3
    assert logarithmic.unit == "km"
    np.testing.assert_array_equal(LagBins(edges=[0, 5, 7]).upper, [5.0, 7.0])
    np.testing.assert_array_equal(LagBins(edges=[0, 5, 7]).lower, [0.0, 5.0])


@given(st.lists(st.integers(0, 40), min_size=1, max_size=200), st.integers(1, 12))
def test_equal_count_shares_out_the_lags(lags, count):
    lag = np.array(lags, dtype=np.float64)
    positive = lag[lag > 0]
    if not len(positive):
        with pytest.raises(ConfigError):
            LagBins.equal_count(count, lag)
        return
    bins = LagBins.equal_count(count, lag)
    ends = zip(bins.lower, bins.upper, strict=True)
    held = [((positive > a) & (positive <= b)).sum() for a, b in ends]
    assert sum(held) == len(positive)
    assert len(bins) <= count
    # no class holds more than its share and one run of equal lags
    most_equal = np.unique(positive, return_counts=True)[1].max()
    assert max(held) <= math.ceil(len(positive) / count) + most_equal


@pytest.mark.parametrize(
    "edges", [(), (1.0,), (0.0, 0.0), (1.0, 0.5), (-1.0, 2.0), (0.0, math.inf), (0.0, math.nan)]
)
def test_impossible_edges_are_refused(edges):
    with pytest.raises(ConfigError, match="edge"):
        LagBins(edges=edges)


def test_impossible_makers_are_refused():
    with pytest.raises(ConfigError, match="0"):
        LagBins.logarithmic(3, 0.0, 10.0)
    with pytest.raises(ConfigError):
        LagBins.logarithmic(0, 1.0, 10.0)
    with pytest.raises(ConfigError):
        LagBins.even(3, -1.0)
    with pytest.raises(ConfigError):
        LagBins.even(3, math.inf)


def test_great_circles_are_lengths():
    check_metric(LagBins.even(3, 10.0, unit="m"), "great_circle")
    with pytest.raises(ConfigError, match="day"):
        check_metric(LagBins.even(3, 10.0, unit="day"), "great_circle")
    with pytest.raises(ConfigError, match="metric"):
        check_metric(LagBins.even(3, 10.0), "manhattan")

import dataclasses
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.isotonic import IsotonicFit, fit_isotonic
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.variogram import Variogram


def variogram(value, *, pair_count=None, metric="euclidean", step=10.0, standard_error=None):
    count = len(value)
    return Variogram(
        bins=LagBins.even(count, step * count),
        bin=np.arange(count),
        lag=step * (np.arange(count) + 0.5),
        semivariance=np.asarray(value, dtype=np.float64),
        spread=np.full(count, math.nan),
        pair_count=np.full(count, 100) if pair_count is None else np.asarray(pair_count),
        standard_error=np.full(count, math.nan) if standard_error is None else standard_error,
        metric=metric,
        provenance={"samples": 5},
    )


def naive_pooling(value, weight):
    """Pools of adjacent violators, merged until none is left."""
    pools = [[each, w, 1] for each, w in zip(value, weight, strict=True)]
    at = 0
    while at < len(pools) - 1:
        (left, left_weight, left_count), (right, right_weight, right_count) = pools[at : at + 2]
        if left <= right:
            at += 1
            continue
        total = left_weight + right_weight
        mean = (left * left_weight + right * right_weight) / total
        pools[at : at + 2] = [[mean, total, left_count + right_count]]
        at = max(at - 1, 0)
    return np.concatenate([np.full(count, mean) for mean, _, count in pools])


@given(st.lists(st.tuples(st.floats(0, 10), st.integers(30, 1000)), min_size=3, max_size=12))
def test_pools_are_those_of_the_naive_loop(bins):
    value, count = zip(*bins, strict=True)
    fit = fit_isotonic(variogram(value, pair_count=count))
    np.testing.assert_allclose(fit.fitted, naive_pooling(value, count), atol=1e-12)
    assert (np.diff(fit.fitted) >= 0).all()
    assert fit.sse == pytest.approx((np.array(count) * fit.residual**2).sum())


def test_weights_pull_the_pools():
    value = [1.0, 3.0, 2.0]
    assert fit_isotonic(variogram(value, pair_count=[100, 300, 100])).sill == 2.75
    assert fit_isotonic(variogram(value, pair_count=[100, 300, 100]), weights="none").sill == 2.5
    error = np.array([math.nan, 1.0, 0.5])
    careful = fit_isotonic(variogram(value, standard_error=error), weights="jackknife")
    assert careful.fitted.tolist() == pytest.approx([2.2, 2.2])
    assert careful.lag.tolist() == [15, 25]


def test_straight_lines_from_the_origin_and_a_flat_end():
    fit = fit_isotonic(variogram([1.0, 2.0, 4.0]))
    lag = np.array([0.0, 2.5, 5.0, 10.0, 15.0, 20.0, 25.0, 1000.0])
    expected = [0, 0.5, 1, 1.5, 2, 3, 4, 4]
    np.testing.assert_allclose(fit(lag), expected)
    np.testing.assert_allclose(fit(torch.from_numpy(lag).reshape(2, 4)).numpy().ravel(), expected)
    assert type(fit(20.0)) is float
    assert fit(torch.tensor([5.0])).dtype == torch.float32
    assert fit.nugget == 0
    assert fit.sill == 4
    random = np.random.default_rng(0).uniform(0, 40, 100)
    knots = ([0, *fit.lag], [0, *fit.fitted])
    np.testing.assert_allclose(fit(random), np.interp(random, *knots), rtol=1e-13)


def test_effective_range_is_the_first_lag_at_95_percent():
    fit = fit_isotonic(variogram([1.0, 2.0, 4.0, 4.0]))
    assert fit.effective_range == pytest.approx(15 + 10 * 0.9)
    assert fit(fit.effective_range) == pytest.approx(0.95 * 4)
    assert fit_isotonic(variogram([2.0, 2.0, 1.0])).effective_range == pytest.approx(5 * 0.95)
    assert fit_isotonic(variogram([0.0, 0.0, 0.0])).effective_range == 0


def test_bins_are_chosen_as_for_models():
    value = np.arange(1.0, 31)
    earth = fit_isotonic(variogram(value, metric="great_circle", step=600.0))
    assert earth.lag.max() < math.pi * 6371 / 2 < earth.lag.max() + 600
    assert len(fit_isotonic(variogram(value), max_lag=55.0).lag) == 6
    thin = fit_isotonic(variogram(value, pair_count=np.arange(20, 50)))
    assert thin.lag.min() == 105
    with pytest.raises(ConfigError, match="model"):
        fit_isotonic(variogram(value), weights="n/gamma2")
    with pytest.raises(DataError, match="within lag 1"):
        fit_isotonic(variogram(value), max_lag=1.0)
    lonely = np.full(30, math.nan)
    lonely[-1] = 1.0
    with pytest.raises(DataError, match="weight"):
        fit_isotonic(variogram(value, standard_error=lonely), weights="jackknife", max_lag=100.0)


def test_files_hold_the_fit_to_the_last_bit(tmp_path):
    fit = fit_isotonic(variogram([0.1, 0.7, 0.3, 1 / 3]))
    assert fit.max_lag == math.inf
    fit.save(tmp_path / "isotonic.json")
    again = IsotonicFit.load(tmp_path / "isotonic.json")
    for each in dataclasses.fields(IsotonicFit):
        old, new = getattr(fit, each.name), getattr(again, each.name)
        assert np.array_equal(old, new) if isinstance(old, np.ndarray) else old == new
    with pytest.raises(DataError, match="isotonic fit"):
        IsotonicFit.load(tmp_path / "nothing.json")

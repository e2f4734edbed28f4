import numpy as np
import pytest
from statsmodels.tsa.stattools import acf, pacf

from geoloc.errors import DataError
from geoloc.geostatistics.temporal_structure import temporal_structure


def autoregression(steps, places, memory, seed=0):
    noise = np.random.default_rng(seed).normal(size=(steps, places))
    for step in range(1, steps):
        noise[step] = memory * noise[step - 1] + np.sqrt(1.0 - memory**2) * noise[step]
    return noise


def test_white_noise_stays_within_the_bound():
    found = temporal_structure(np.random.default_rng(0).normal(size=(400, 200)))
    assert (found.lags, found.lags_outside()) == (30, 0)
    assert found.outside == pytest.approx(0.05, abs=0.01)
    np.testing.assert_allclose(found.lag_rmse, np.sqrt(2.0), rtol=0.03)
    assert found.lag_r2.max() < 0.001


def test_an_autoregression_forgets_by_its_factor():
    found = temporal_structure(autoregression(4000, 40, 0.7), most_lags=8)
    lag = np.arange(1, 9)
    np.testing.assert_allclose(found.acf[1], 0.7**lag, atol=0.03)
    np.testing.assert_allclose(found.pacf[1], [0.7] + 7 * [0.0], atol=0.02)
    # values a lag apart differ by 2 - 2 times their covariance
    np.testing.assert_allclose(found.lag_rmse, np.sqrt(2.0 - 2.0 * 0.7**lag), rtol=0.02)
    np.testing.assert_allclose(found.lag_r2, 0.49**lag, atol=0.02)


def test_curves_are_quantiles_over_series_one_by_one():
    series = autoregression(60, 5, 0.5)
    found = temporal_structure(series, most_lags=6)
    one_by_one = [acf(each, nlags=6)[1:] for each in series.T]
    np.testing.assert_allclose(found.acf, np.quantile(one_by_one, (0.05, 0.5, 0.95), axis=0))
    partial = [pacf(each, nlags=6, method="ywm")[1:] for each in series.T]
    np.testing.assert_allclose(found.pacf[1], np.median(partial, axis=0), atol=1e-10)
    assert found.outside == np.mean(np.abs(one_by_one) > found.bound)


def test_constant_and_incomplete_series_are_left_out_and_counted():
    series = autoregression(50, 4, 0.5)
    series[:, 1] = 3.0
    series[10, 2] = np.nan
    found = temporal_structure(series, most_lags=5)
    assert (found.series, found.constant, found.incomplete, found.filled) == (2, 1, 1, 0)
    alone = temporal_structure(series[:, [0, 3]], most_lags=5)
    np.testing.assert_array_equal(found.acf, alone.acf)


def test_gaps_are_bridged_only_where_no_series_is_complete():
    line = np.arange(40.0)[:, None] + np.zeros(2)
    line[[5, 6], 0] = np.nan
    line[:10, 1] = np.nan
    found = temporal_structure(line, most_lags=5)
    assert (found.series, found.incomplete, found.filled) == (1, 1, 2)
    whole = temporal_structure(np.arange(40.0)[:, None], most_lags=5)
    np.testing.assert_allclose(found.acf, whole.acf)


def test_short_series_have_fewer_lags():
    found = temporal_structure(autoregression(12, 1, 0.5))
    assert found.lags == 11
    # two pairs are eleven steps apart, and three are needed
    assert len(found.lag_rmse) == 9
    assert len(found.to_json()["lag_r2"]) == 9


def test_what_has_no_memory_to_speak_of_is_refused():
    with pytest.raises(DataError, match="needs 4 steps of time, not 3"):
        temporal_structure(np.zeros((3, 5)))
    with pytest.raises(DataError, match="no series ever changes"):
        temporal_structure(np.full((20, 3), 0.1))
    half = np.arange(20.0)[:, None].copy()
    half[::2] = np.nan
    with pytest.raises(DataError, match="no series knows 90% of its 20 steps"):
        temporal_structure(half)

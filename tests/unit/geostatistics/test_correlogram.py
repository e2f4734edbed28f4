import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.datasets import sunspots
from statsmodels.tsa.stattools import acf, pacf

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics import (
    autocorrelation_function,
    partial_autocorrelation_function,
    white_noise_bound,
)


@pytest.fixture(scope="module")
def yearly():
    return sunspots.load_pandas().data["SUNACTIVITY"].to_numpy(copy=True)


def test_sunspots_as_published(yearly):
    # statsmodels 0.15 on its 309 years of sunspots
    whole = autocorrelation_function(yearly, 5)
    part = partial_autocorrelation_function(yearly, 5)
    assert whole[1:].tolist() == pytest.approx(
        [0.82020129, 0.45126849, 0.03957655, -0.27579196, -0.42523943], abs=1e-8
    )
    assert part.tolist() == pytest.approx(
        [0.82020129, -0.67669442, -0.14652327, 0.04794365, 0.00543007], abs=1e-8
    )


def test_many_series_at_once_as_statsmodels_one_by_one(yearly):
    generator = np.random.default_rng(0)
    series = np.stack([yearly, generator.normal(size=309), np.cumsum(generator.normal(size=309))])
    whole = autocorrelation_function(torch.from_numpy(series), 30).numpy()
    part = partial_autocorrelation_function(torch.from_numpy(series), 30).numpy()
    for row, each in enumerate(series):
        np.testing.assert_allclose(whole[row], acf(each, nlags=30, fft=False), atol=1e-12)
        np.testing.assert_allclose(part[row], pacf(each, nlags=30, method="ywm")[1:], atol=1e-10)


@given(
    st.lists(st.floats(-1e3, 1e3), min_size=6, max_size=20),
    st.floats(0.1, 50.0),
    st.floats(-1e3, 1e3),
)
def test_neither_unit_nor_origin_of_the_values_matters(values, factor, shift):
    series = np.array(values) + np.arange(len(values)) * 500.0
    for function in (autocorrelation_function, partial_autocorrelation_function):
        np.testing.assert_allclose(
            function(series * factor + shift, 4), function(series, 4), atol=1e-6
        )


def test_an_autoregression_has_one_partial_autocorrelation():
    generator = np.random.default_rng(1)
    noise, value = generator.normal(size=20_000), [0.0]
    for each in noise:
        value.append(0.8 * value[-1] + each)
    part = partial_autocorrelation_function(np.array(value), 10).numpy()
    assert part[0] == pytest.approx(0.8, abs=0.02)
    assert np.all(np.abs(part[1:]) < 1.6 * white_noise_bound(20_000))


def test_the_bound_covers_95_percent_of_white_noise():
    noise = np.random.default_rng(2).normal(size=(400, 500))
    found = autocorrelation_function(noise, 20)[:, 1:].abs()
    assert float((found < white_noise_bound(500)).double().mean()) == pytest.approx(0.95, abs=0.01)


def test_what_has_no_correlogram_is_refused():
    with pytest.raises(ConfigError, match="5 lags of series of 5 steps"):
        autocorrelation_function(np.arange(5.0), 5)
    with pytest.raises(ConfigError, match="0 lags"):
        partial_autocorrelation_function(np.arange(5.0), 0)
    with pytest.raises(DataError, match="constant"):
        autocorrelation_function(np.array([[1.0, 2.0, 3.0], [4.0, 4.0, 4.0]]), 1)
    with pytest.raises(DataError, match="not finite"):
        autocorrelation_function(np.array([1.0, np.nan, 3.0]), 1)

import math

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geostatistics.fitting import fit_variogram
from geoloc.geostatistics.lag_distance import model_lag
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.models import structure
from geoloc.geostatistics.replicates import bootstrap_intervals, fit_replicates
from geoloc.geostatistics.variogram import Variogram

LAG = np.geomspace(3.0, 9000.0, 24)


def curve(lag, nugget, name, sill, scale, shape=None):
    return nugget + sill * structure(name, torch.from_numpy(lag / scale), shape).numpy()


def variogram(lag, value, *, metric="great_circle", replicate=None):
    count = len(lag)
    return Variogram(
        bins=LagBins(edges=np.concatenate([[0.0], lag * 1.1])),
        bin=np.arange(count),
        lag=lag,
        semivariance=value,
        spread=np.full(count, math.nan),
        pair_count=np.full(count, 1000),
        standard_error=np.full(count, math.nan),
        metric=metric,
        replicate=replicate,
    )


def test_replicates_give_the_jackknife_of_separate_fits():
    rng = np.random.default_rng(7)
    groups = 6
    value = curve(LAG, 0.1, "exponential", 1.0, 300.0)
    replicate = value * (1 + 0.02 * rng.standard_normal((groups, 24)))
    data = variogram(LAG, value, replicate=replicate, metric="euclidean")
    for weights in ("n", "n/gamma2"):
        plain = fit_variogram(data, "exponential", weights=weights)
        with pytest.raises(ConfigError, match="fit_replicates"):
            plain.interval("scale")
        found = fit_replicates(data, plain)
        alone = [
            fit_variogram(variogram(LAG, row, metric="euclidean"), "exponential", weights=weights)
            for row in replicate
        ]
        for name in ("nugget", "partial_sill", "sill", "scale", "effective_range"):
            values = np.array([getattr(each, name) for each in alone])
            values = np.log(values) if name in ("scale", "effective_range") else values
            expected = math.sqrt((groups - 1) / groups * ((values - values.mean()) ** 2).sum())
            assert found.standard_error[name] == pytest.approx(expected, rel=1e-4)
        assert "shape" not in found.standard_error
        low, high = found.interval("scale")
        error = found.standard_error["scale"]
        assert math.log(high / low) == pytest.approx(2 * 1.95996 * error, rel=1e-5)
        assert low * high == pytest.approx(found.scale**2)
        low, high = found.interval("sill")
        assert (low + high) / 2 == pytest.approx(found.sill)


def test_replicates_keep_the_settings_of_the_fit():
    rng = np.random.default_rng(8)
    chord = model_lag(torch.from_numpy(LAG), "chord", "km").numpy()
    value = curve(chord, 0.1, "stable", 1.0, 300.0, 0.7)
    replicate = value * (1 + 0.01 * rng.standard_normal((5, 24)))
    replicate[2, 4] = math.nan
    data = variogram(LAG, value, replicate=replicate)
    free = fit_replicates(data, fit_variogram(data, "stable", max_lag=4000.0))
    assert 0 < free.standard_error["shape"] < 0.3
    fixed = fit_replicates(data, fit_variogram(data, "stable", shape=0.7, nugget=False))
    assert fixed.standard_error["shape"] == 0
    assert fixed.standard_error["nugget"] == 0
    flat = variogram(LAG, np.ones(24), replicate=np.ones((4, 24)))
    unknown = fit_replicates(flat, fit_variogram(flat, "exponential"))
    assert unknown.interval("effective_range") == (0.0, math.inf)


def test_replicates_need_groups_and_their_own_variogram():
    data = variogram(LAG, curve(LAG, 0.1, "exponential", 1.0, 300.0))
    found = fit_variogram(data, "exponential")
    with pytest.raises(ConfigError, match="groups"):
        fit_replicates(data, found)
    other = variogram(LAG + 1, data.semivariance, replicate=np.ones((3, 24)))
    with pytest.raises(ConfigError, match="another variogram"):
        fit_replicates(other, found)


def test_bootstrap_intervals_are_percentiles_of_separate_fits():
    rng = np.random.default_rng(8)
    value = curve(LAG, 0.1, "exponential", 1.0, 300.0)
    curves = value * np.exp(0.05 * rng.normal(size=(41, len(LAG))))
    curves[3, 2] = math.nan
    given = variogram(LAG, value)
    fit = fit_variogram(given, "exponential", weights="n")
    intervals = bootstrap_intervals(given, fit, curves)
    kept = [row for row in curves if np.isfinite(row).all()]
    alone = [fit_variogram(variogram(LAG, row), "exponential", weights="n") for row in kept]
    for name in ("nugget", "sill", "scale", "effective_range"):
        low, high = intervals[name]
        values = [getattr(each, name) for each in alone]
        assert low < getattr(fit, name) < high
        assert low == pytest.approx(np.quantile(values, 0.025), rel=0.05, abs=0.01)
        assert high == pytest.approx(np.quantile(values, 0.975), rel=0.05)
    with pytest.raises(ConfigError, match="classes"):
        bootstrap_intervals(given, fit, curves[:, 1:])
    with pytest.raises(ConfigError, match="another"):
        bootstrap_intervals(variogram(2 * LAG, value), fit, curves)

from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geostatistics import LagBins, autocorrelation_function
from geoloc.spacetime import Sites, Stations, eof_basis, mean_variogram, simulate_field
from geoloc.spacetime.simulated import _autoregressive

SETTINGS = {
    "places": 150,
    "steps": 400,
    "bases": 6,
    "width_km": 100.0,
    "scales_km": (15.0, 30.0),
    "persistence": (0.6, 0.6),
    "noise": 0.1,
    "seed": 3,
}


def test_has_so_many_bases_and_so_much_noise():
    found = simulate_field(**SETTINGS)
    assert found.signal.shape == (150, 400)
    share = eof_basis(found.signal).share
    assert float(share[:6].sum()) == pytest.approx(1.0, abs=1e-9)
    assert float(share[5]) > 1e-3
    error = found.values - found.signal
    assert float(error.std()) == pytest.approx(0.1, rel=0.02)
    assert bool((found.places_km >= 0).all() and (found.places_km <= 100).all())


def test_variogram_is_that_of_the_maps():
    told = {"steps": 300, "bases": 40, "noise": 0.0, "persistence": (0.0, 0.0)}
    found = simulate_field(**SETTINGS | told)
    sites = Sites(
        places=found.places_km,
        covariates=found.places_km.new_empty((150, 0)),
        metric="euclidean",
    )
    bins = LagBins.even(8, 16.0)
    measured = mean_variogram(Stations(sites=sites, values=found.signal), bins)
    lag = measured.lag
    expected = 1.0 - (np.exp(-((lag / 15.0) ** 2)) + np.exp(-((lag / 30.0) ** 2))) / 2.0
    np.testing.assert_allclose(measured.semivariance, expected, rtol=0.25)


def test_series_have_variance_one_and_their_persistence():
    generator = torch.Generator().manual_seed(0)
    series = _autoregressive(60_000, np.array([0.0, 0.5, 0.9]), generator)
    torch.testing.assert_close(series.std(dim=1), torch.ones(3).double(), rtol=0.04, atol=0.0)
    rho = autocorrelation_function(series, 2)
    expected = torch.tensor([[0.0, 0.0], [0.5, 0.25], [0.9, 0.81]]).double()
    torch.testing.assert_close(rho[:, 1:], expected, rtol=0, atol=0.02)


def test_a_seed_gives_one_field():
    small = SETTINGS | {"places": 10, "steps": 5}
    one, same, other = (simulate_field(**small | {"seed": seed}) for seed in (1, 1, 2))
    assert torch.equal(one.values, same.values)
    assert not torch.equal(one.values, other.values)


@pytest.mark.parametrize(
    "wrong",
    [{"places": 1}, {"steps": 1}, {"persistence": (0.2, 1.0)}, {"scales_km": ()}, {"bases": 1}],
)
def test_refuses_impossible_numbers(wrong):
    with pytest.raises(ConfigError):
        simulate_field(**SETTINGS | wrong)

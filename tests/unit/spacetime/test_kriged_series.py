from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from geoloc.geostatistics import LagBins, estimate_variogram, given_variogram, ordinary_kriging
from geoloc.spacetime import Stations, fit_structure, flatness, krige_series, mean_variogram
from tests.unit.spacetime.worlds import earth, plane

BINS = LagBins.even(10, 50.0)


def test_mean_variogram_is_the_mean_of_the_steps():
    stations, _ = plane(places=50, steps=7)
    found = mean_variogram(stations, BINS)
    each = [
        estimate_variogram(
            stations.sites.places, stations.values[:, step], bins=BINS, metric="euclidean"
        ).semivariance
        for step in range(7)
    ]
    np.testing.assert_allclose(found.semivariance, np.mean(each, axis=0), rtol=1e-5)


def test_kriging_of_series_is_kriging_of_each_step():
    stations = earth(places=30, steps=5)
    fit = given_variogram("exponential", partial_sill=2.0, scale=900.0, nugget=0.1)
    sites = earth(places=8, seed=1).sites
    found = krige_series(stations, sites, fit)
    for step in range(5):
        alone = ordinary_kriging(stations.sites.places, stations.values[:, step], sites.places, fit)
        torch.testing.assert_close(found.value[:, step], alone.value)
        torch.testing.assert_close(found.variance, alone.variance)


def test_noise_is_flat_and_has_no_structure():
    stations, _ = plane(places=300, steps=30)
    noise = torch.randn(
        stations.values.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    found = mean_variogram(Stations(sites=stations.sites, values=noise), BINS)
    assert flatness(found) == pytest.approx(1.0, abs=0.1)
    assert not fit_structure(found).has_structure
    field = mean_variogram(stations, BINS)
    assert flatness(field) < 0.2
    assert fit_structure(field).has_structure


def test_flatness_is_first_over_last_third():
    stations, _ = plane(places=60, steps=3)
    found = mean_variogram(stations, LagBins.even(6, 60.0))
    made = dataclasses.replace(
        found,
        semivariance=np.array([1.0, 9.0, 9.0, 9.0, 2.0, 6.0]),
        pair_count=np.array([1, 1, 1, 1, 3, 1]),
    )
    assert flatness(made) == pytest.approx(1.0 / 3.0)

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from geoloc.geostatistics import (
    LagBins,
    estimate_variogram,
    fit_best,
    given_variogram,
    ordinary_kriging,
)
from geoloc.spacetime import Sites, Stations, fit_structure, flatness, krige_series, mean_variogram
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


@pytest.mark.parametrize("seed", [2, 5])
def test_a_trend_is_not_taken_for_a_field_that_any_part_of_it_tells(seed):
    # semivariances of a plane rise as the square of the lag: a Gaussian without nugget fits best
    generator = torch.Generator().manual_seed(seed)
    places = 500.0 * torch.rand((60, 2), generator=generator, dtype=torch.float64)
    values = places @ torch.tensor([[0.02, 0.01], [0.005, -0.02]], dtype=torch.float64)
    values = values + 0.3 * torch.randn((60, 2), generator=generator, dtype=torch.float64)
    sites = Sites(places=places, covariates=places.new_empty((60, 0)), metric="euclidean")
    stations, rows = Stations(sites=sites, values=values), torch.arange(60)
    variogram = mean_variogram(stations.at(rows[:40]), LagBins.even(25, 300.0))
    best = fit_best(variogram, ("nugget", "exponential", "stable"), max_lag=math.inf)[0]
    assert (best.model, best.shape, best.nugget) == ("stable", 2.0, 0.0)
    found = fit_structure(variogram)
    assert found.has_structure
    kriged = krige_series(stations.at(rows[:40]), sites.at(rows[40:]), found)
    error = kriged.value - values[40:]
    assert float(error.square().mean().sqrt()) < 0.5
    # of the order of the errors, not of rounding
    assert 0.3 < float(kriged.variance.mean() / error.square().mean()) < 3.0


def test_noise_about_a_trend_is_a_nugget_however_far_beyond_the_data_its_sill_lies():
    generator = torch.Generator().manual_seed(3)
    places = 500.0 * torch.rand((200, 2), generator=generator, dtype=torch.float64)
    values = places @ torch.tensor([[0.02, 0.01], [0.005, -0.02]], dtype=torch.float64)
    values = values + 0.5 * torch.randn((200, 2), generator=generator, dtype=torch.float64)
    sites = Sites(places=places, covariates=places.new_empty((200, 0)), metric="euclidean")
    known, rows = Stations(sites=sites, values=values), torch.arange(200)
    found = fit_structure(mean_variogram(known.at(rows[:140]), LagBins.even(25, 300.0)))
    # the noise's variance is 0.25, and a millionth of the extrapolated sill is more
    assert 0.2 < found.nugget < 0.3 < 1e-6 * found.sill
    kriged = krige_series(known.at(rows[:140]), sites.at(rows[140:]), found)
    error = kriged.value - values[140:]
    # smoother than shape 1.5, whose estimates err by 0.55
    assert float(error.square().mean().sqrt()) < 0.5

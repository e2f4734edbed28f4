import numpy as np
import pytest
import torch

from geoloc.errors import DataError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.geostatistics import LagBins, gaussian_field
from geoloc.geostatistics.spatial_structure import lags_between, spatial_structure

SCALE_KM = 800.0


@pytest.fixture(scope="module")
def places():
    return sample_sphere(700, generator=np.random.default_rng(3))


@pytest.fixture(scope="module")
def smooth(places):
    """Twelve independent fields of sill 1 and effective range 2,400 km."""
    fields = gaussian_field(
        places,
        lambda lag: torch.exp(-lag / SCALE_KM),
        generator=torch.Generator().manual_seed(1),
        fields=12,
    )
    return fields[:, :, 0].numpy()


def test_a_field_of_known_covariance(places, smooth):
    found = spatial_structure(places, smooth, bins=lags_between(places))
    lag, pairs = found.variogram.lag, found.variogram.pair_count
    near = (pairs > 1000) & (lag < 5000.0)
    np.testing.assert_allclose(
        found.variogram.semivariance[near], 1.0 - np.exp(-lag[near] / SCALE_KM), atol=0.08
    )
    assert found.structured
    assert found.fit.effective_range == pytest.approx(3.0 * SCALE_KM, rel=0.25)
    assert found.typical_moran.z > 10.0
    assert len(found.moran) == 12


def test_noise_has_no_structure(places):
    told = []
    for seed in range(3):
        noise = np.random.default_rng(seed).normal(size=(1, len(places)))
        told.append(spatial_structure(places, noise, bins=lags_between(places)).structured)
    assert told.count(True) == 0


def test_semivariances_are_means_over_pairs_within_a_step(places):
    few, generator = places[:40], np.random.default_rng(0)
    series = generator.normal(size=(3, 40)) * np.array([1.0, 5.0, 0.2])[:, None]
    series[1, 4] = np.nan
    series[2, :25] = np.nan
    bins = LagBins.even(4, 20_016.0)
    found = spatial_structure(few, series, bins=bins)
    halves = [[] for _ in range(4)]
    for value in series:
        for one in range(40):
            for other in range(one):
                lag = float(great_circle_km(few[one], few[other]))
                if not np.isnan(value[one] + value[other]):
                    halves[int(lag // bins.edges[1])].append(0.5 * (value[one] - value[other]) ** 2)
    assert found.variogram.pair_count.tolist() == [len(each) for each in halves]
    np.testing.assert_allclose(found.variogram.semivariance, list(map(np.mean, halves)), rtol=1e-6)


def test_morans_i_of_meuse_as_spdep_has_it(meuse):
    # spdep on log zinc with 8 nearest neighbours; coordinates are metres, so put at the equator
    coordinates, log_zinc = meuse
    degrees = (coordinates - coordinates.mean(axis=0))[:, ::-1] / 111_195.0
    found = spatial_structure(degrees.copy(), log_zinc[None], bins=lags_between(degrees.copy()))
    assert found.neighbours == "8 nearest neighbours"
    assert found.typical_moran.value == pytest.approx(0.48960633721941, abs=1e-8)
    assert found.typical_moran.z == pytest.approx(13.3400028822, abs=1e-6)
    assert 0.05 < found.neighbour_km < 0.5


def test_of_many_steps_some_are_looked_at_and_only_those_that_vary(places):
    series = np.random.default_rng(0).normal(size=(60, 50))
    series[0] = 1.0
    series[-1, 9:] = np.nan
    found = spatial_structure(places[:50], series, bins=lags_between(places[:50]))
    assert len(found.steps) == 24
    assert (found.steps[0], found.steps[-1]) == (1, 58)
    middle = sorted(each.value for each in found.moran)[12]
    assert found.typical_moran.value == middle


def test_classes_of_lag_hold_the_pairs_of_all_sets(places):
    bins = lags_between(places[:200], 0.01 * places[200:300])
    every = great_circle_km(places[:200, None], places[None, :200])
    assert bins.edges[-1] >= 0.99 * every.max()
    dense = 0.01 * places[200:300]
    gap = great_circle_km(dense[:, None], dense[None]) + 1e9 * np.eye(100)
    assert gap.min() * 0.9 < bins.edges[0] < np.quantile(gap.min(axis=1), 0.02)
    with pytest.raises(DataError, match="all places are one"):
        lags_between(np.zeros((5, 2)))


def test_what_has_no_structure_is_refused(places):
    bins = lags_between(places)
    with pytest.raises(DataError, match="9 places"):
        spatial_structure(places[:9], np.zeros((1, 9)), bins=bins)
    with pytest.raises(DataError, match="no step has 10 places of different values"):
        spatial_structure(places[:20], np.ones((2, 20)), bins=bins)

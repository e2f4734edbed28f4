import math

import numpy as np
import pytest
import torch
from pyproj import Geod
from scipy.spatial import cKDTree
from scipy.stats import kstest

from geoloc.errors import ConfigError
from geoloc.geodesy import fibonacci_sphere, is_valid_latlon, jitter_m, sample_sphere, unit_vectors

SPHERE = Geod(a=6_371_000, b=6_371_000)


def test_random_places_are_even_by_area():
    places = sample_sphere(20_000, generator=np.random.default_rng(0))
    assert places.shape == (20_000, 2)
    assert is_valid_latlon(places).all()
    height = np.sin(np.deg2rad(places[:, 0]))
    assert kstest(height, "uniform", args=(-1, 2)).pvalue > 1e-3
    assert kstest(places[:, 1], "uniform", args=(-180, 360)).pvalue > 1e-3
    assert abs(np.corrcoef(height, places[:, 1])[0, 1]) < 0.03
    # the mean of all vectors vanishes like 1 / sqrt(n)
    assert np.linalg.norm(unit_vectors(places).mean(axis=0)) < 0.03


def test_random_places_repeat_with_their_seed():
    first, again, other = (
        sample_sphere(5, generator=np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).all()


@pytest.mark.parametrize("count", [1, 2, 10, 1000, 20_000])
def test_lattice_is_even(count):
    places = fibonacci_sphere(count)
    assert places.shape == (count, 2)
    assert is_valid_latlon(places).all()
    # every spherical cap holds its share of the points, far better than chance
    for center in unit_vectors(sample_sphere(20, generator=np.random.default_rng(3))):
        for radius in (0.3, 1.0, 2.0):
            inside = (unit_vectors(places) @ center > math.cos(radius)).mean()
            assert abs(inside - (1 - math.cos(radius)) / 2) < 2 * count**-0.75


def test_lattice_neighbours_keep_their_distance():
    vectors = unit_vectors(fibonacci_sphere(5000))
    nearest = cKDTree(vectors).query(vectors, k=2)[0][:, 1]
    spacing = math.sqrt(4 * math.pi / 5000)
    assert nearest.min() > 0.8 * spacing
    assert nearest.max() < 1.1 * spacing


def test_empty_and_negative_counts():
    assert fibonacci_sphere(0).shape == (0, 2)
    assert sample_sphere(0, generator=np.random.default_rng(0)).shape == (0, 2)
    with pytest.raises(ConfigError, match="count"):
        fibonacci_sphere(-1)
    with pytest.raises(ConfigError, match="count"):
        sample_sphere(-1, generator=np.random.default_rng(0))


def displacement_m(start, end):
    """East and north displacement by PROJ, which shares no code with ours."""
    azimuth, _, distance = SPHERE.inv(start[:, 1], start[:, 0], end[:, 1], end[:, 0])
    azimuth = np.deg2rad(azimuth)
    return distance * np.sin(azimuth), distance * np.cos(azimuth)


@pytest.mark.parametrize("lat", [0.0, 60.0, 89.9, -89.9])
@pytest.mark.parametrize("sigma_m", [150.0, 1000.0])
def test_noise_has_its_size_in_metres_at_every_latitude(lat, sigma_m):
    count = 20_000
    start = torch.tensor([lat, 179.9999], dtype=torch.float64).repeat(count, 1)
    moved = jitter_m(start, sigma_m=sigma_m, generator=torch.Generator().manual_seed(0))
    assert is_valid_latlon(moved).all()
    assert (moved[:, 1] < 180).all()
    east, north = displacement_m(start.numpy(), moved.numpy())
    standard_error = sigma_m / math.sqrt(count)
    for axis in (east, north):
        assert axis.std() == pytest.approx(sigma_m, rel=0.025)
        assert abs(axis.mean()) < 4 * standard_error
    assert abs(np.corrcoef(east, north)[0, 1]) < 0.03
    assert kstest(east / sigma_m, "norm").pvalue > 1e-3


def test_noise_across_the_pole_itself():
    pole = torch.tensor([[90.0, 0.0]], dtype=torch.float64).repeat(4000, 1)
    moved = jitter_m(pole, sigma_m=500.0, generator=torch.Generator().manual_seed(1))
    assert is_valid_latlon(moved).all()
    assert kstest(moved[:, 1].numpy(), "uniform", args=(-180, 360)).pvalue > 1e-3


def test_noise_repeats_and_keeps_shape_and_dtype():
    places = torch.zeros(3, 4, 2)
    first, again = (
        jitter_m(places, sigma_m=100.0, generator=torch.Generator().manual_seed(7)) for _ in "ab"
    )
    assert first.shape == (3, 4, 2)
    assert first.dtype == torch.float32
    assert torch.equal(first, again)
    torch.manual_seed(7)
    assert torch.equal(jitter_m(places, sigma_m=100.0), first)


def test_no_noise_moves_nothing():
    places = torch.from_numpy(sample_sphere(100, generator=np.random.default_rng(5)))
    moved = jitter_m(places, sigma_m=0.0)
    torch.testing.assert_close(moved, places, atol=1e-12, rtol=0)


def test_noise_needs_no_value_from_the_device():
    assert jitter_m(torch.empty(4, 2, device="meta"), sigma_m=10.0).device.type == "meta"


@pytest.mark.parametrize("sigma_m", [-1.0, math.nan, math.inf])
def test_impossible_noise_is_refused(sigma_m):
    with pytest.raises(ConfigError, match="sigma_m"):
        jitter_m(torch.zeros(1, 2), sigma_m=sigma_m)

import math

import numpy as np
import pytest
import torch
from pyproj import Geod

from geoloc.errors import ConfigError, CoordinateError
from geoloc.geodesy import destination_deg, great_circle_km, sample_sphere
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.separation import (
    Separation,
    arc_sine_series,
    sample_lags,
    sphere_radius,
)

SPHERE = Geod(a=6_371_000, b=6_371_000)
KM = Separation.of(LagBins.even(2, 10.0), "great_circle")
PLANE = Separation.of(LagBins.even(2, 10.0, unit="pixel"), "euclidean")


def lag(separation, a, b):
    difference = separation.positions(a) - separation.positions(b)
    return separation.lag(difference.square().sum(dim=1)).numpy()


@pytest.mark.parametrize("true_m", [1.0, 10.0, 1e3, 25e3, 1e5, 1e6, 1e7, 1.9e7, 2e7, 20_015_086.0])
def test_lags_from_a_metre_to_the_antipode(true_m):
    generator = np.random.default_rng(1)
    start = sample_sphere(300, generator=generator)
    end = destination_deg(start, generator.uniform(0, 360, 300), np.full(300, true_m / 1000))
    _, _, distance = SPHERE.inv(start[:, 1], start[:, 0], end[:, 1], end[:, 0])
    measured_m = lag(KM, torch.from_numpy(start), torch.from_numpy(end)) * 1000
    error = np.abs(measured_m - np.asarray(distance))
    assert (error <= 1e-3 + 1e-6 * true_m).all()


def test_one_place_by_two_names():
    a = torch.tensor([[10.0, 180.0], [90.0, 12.0], [-90.0, 0.0], [5.0, 7.0]]).double()
    b = torch.tensor([[10.0, -180.0], [90.0, -99.0], [-90.0, 80.0], [5.0, 7.0]]).double()
    squared = (KM.positions(a) - KM.positions(b)).square().sum(dim=1)
    assert (squared <= KM.coincident()).all()
    # a hundredth of a millimetre is another place
    near = a + torch.tensor([[1e-10, 0.0]], dtype=torch.float64)
    squared = (KM.positions(a[3:]) - KM.positions(near[3:])).square().sum(dim=1)
    assert (squared > KM.coincident()).all()


def test_squared_of_a_lag_is_undone_by_lag():
    lags = np.array([0.0, 1e-3, 1.0, 500.0, 10_000.0, 20_000.0])
    back = KM.lag(torch.from_numpy(KM.squared(lags))).numpy()
    np.testing.assert_allclose(back, lags, rtol=1e-9)
    beyond = KM.squared(np.array([20_016.0, 40_000.0]))
    assert (beyond > 4.0).all()
    assert beyond[1] > beyond[0]


def test_metres_and_kilometres():
    assert sphere_radius("m") == 1000 * sphere_radius("km") == 6_371_000
    metres = Separation.of(LagBins.even(2, 10.0, unit="m"), "great_circle")
    a, b = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    assert lag(metres, a, b)[0] == pytest.approx(6_371_000 * math.pi / 180)


def test_plane_line_and_space():
    assert lag(PLANE, torch.tensor([[0.0, 3.0]]), torch.tensor([[4.0, 0.0]]))[0] == 5.0
    assert lag(PLANE, torch.tensor([2.0]), torch.tensor([7.0]))[0] == 5.0
    a = torch.tensor([[1.0, 2.0, 3.0]])
    assert lag(PLANE, a, a + 1)[0] == pytest.approx(math.sqrt(3))


@pytest.mark.parametrize(
    ("separation", "places"),
    [
        (KM, torch.tensor([[91.0, 0.0]])),
        (KM, torch.tensor([[math.nan, 0.0]])),
        (KM, torch.tensor([1.0, 2.0])),
        (PLANE, torch.tensor([[math.inf, 0.0]])),
        (PLANE, torch.zeros(2, 4)),
    ],
)
def test_bad_places_are_refused(separation, places):
    with pytest.raises(CoordinateError):
        separation.positions(places)


def test_sampled_lags_are_those_of_random_pairs():
    places = np.random.default_rng(0).uniform((-80, -170), (80, 170), (40, 2))
    lags = sample_lags(places, 60_000, generator=np.random.default_rng(1))
    every = great_circle_km(places[:, None], places[None])[np.triu_indices(40, 1)]
    assert (lags > 0).all()
    np.testing.assert_allclose(
        np.quantile(lags, [0.1, 0.5, 0.9]), np.quantile(every, [0.1, 0.5, 0.9]), rtol=0.03
    )
    bins = LagBins.equal_count(8, lags)
    held = np.histogram(every, (0.0, *bins.edges[1:-1], np.inf))[0]
    assert held.min() > 0.8 * held.max()
    with pytest.raises(ConfigError, match="two samples"):
        sample_lags(places[:1], 5, generator=np.random.default_rng(1))


def test_arc_sine_series():
    t = np.linspace(1e-9, 0.5, 10_001)
    series = np.polynomial.polynomial.polyval(t, arc_sine_series()) * np.sqrt(t)
    np.testing.assert_allclose(series, np.arcsin(np.sqrt(t)), rtol=2e-11)

"""Distances against published figures, geopy and arithmetic of 40 digits."""

import math

import mpmath
import numpy as np
import pytest
import torch
from geopy.distance import geodesic, great_circle

from geoloc.geodesy import (
    EARTH_RADIUS_KM,
    destination_deg,
    geodesic_km,
    great_circle_km,
    pairwise_great_circle_km,
    sample_sphere,
)


def dms(degrees, minutes, seconds=0.0):
    return math.copysign(abs(degrees) + minutes / 60 + seconds / 3600, degrees)


ON_THE_SPHERE = [
    # Rosetta Code, "Haversine formula": Nashville to Los Angeles, 2887.2599506 km at R = 6372.8
    ("BNA-LAX", (36.12, -86.67), (33.94, -118.40), 2887.2599506 * 6371 / 6372.8, 1e-6),
    # E. Williams, "Aviation Formulary": Los Angeles to New York, 0.623585 rad
    (
        "LAX-JFK",
        (dms(33, 57), dms(-118, 24)),
        (dms(40, 38), dms(-73, 47)),
        0.623585 * 6371,
        0.004,
    ),
    # C. Veness, "Calculate distance, bearing and more": Land's End to John o' Groats, 968.9 km
    (
        "Land's End-John o' Groats",
        (dms(50, 3, 59), dms(-5, 42, 53)),
        (dms(58, 38, 38), dms(-3, 4, 12)),
        968.9,
        0.05,
    ),
    ("a degree of the equator", (0, 0), (0, 1), 111.19492664, 1e-8),
    ("a degree of the equator over the antimeridian", (0, 179.5), (0, -179.5), 111.19492664, 1e-8),
    ("equator to pole", (0, 12), (90, -77), 10007.54339801, 1e-8),
    ("pole to pole", (90, 0), (-90, 0), 20015.08679602, 1e-8),
    ("antipodes", (40.0, -3.0), (-40.0, 177.0), 20015.08679602, 1e-8),
]

ON_THE_ELLIPSOID = [
    # Geoscience Australia, GDA technical manual: Flinders Peak to Buninyong, 54,972.271 m
    (
        "Flinders Peak-Buninyong",
        (dms(-37, 57, 3.72030), dms(144, 25, 29.52440)),
        (dms(-37, 39, 10.15610), dms(143, 55, 35.38390)),
        54.972271,
        2e-6,
    ),
    ("quarter of a meridian", (0, 0), (90, 0), 10001.965729, 1e-6),
    ("a degree of the equator", (0, 0), (0, 1), 111.319490793, 1e-8),
]


@pytest.mark.parametrize(("name", "a", "b", "km", "tolerance"), ON_THE_SPHERE)
def test_published_distances_on_the_sphere(name, a, b, km, tolerance):
    a, b = np.array(a, float), np.array(b, float)
    for distance in (
        great_circle_km(a, b),
        great_circle_km(torch.from_numpy(a), torch.from_numpy(b)).numpy(),
        pairwise_great_circle_km(a[None], b[None])[0, 0],
    ):
        assert float(distance) == pytest.approx(km, abs=tolerance), name


@pytest.mark.parametrize(("name", "a", "b", "km", "tolerance"), ON_THE_ELLIPSOID)
def test_published_distances_on_the_ellipsoid(name, a, b, km, tolerance):
    distance = geodesic_km(np.array(a, float), np.array(b, float))
    assert float(distance) == pytest.approx(km, abs=tolerance), name


def test_published_waypoint():
    # E. Williams, "Aviation Formulary": 100 nm (0.0290888 rad) from LAX on course 1.150035 rad
    # are 34 37 N (0.604180 rad), 116 33 W (2.034206 rad)
    start = np.array([dms(33, 57), dms(-118, 24)])
    reached = destination_deg(start, np.rad2deg(1.150035), 0.0290888 * EARTH_RADIUS_KM)
    np.testing.assert_allclose(np.deg2rad(reached), [0.604180, -2.034206], atol=2e-6)


def random_pairs(count, seed):
    generator = np.random.default_rng(seed)
    return sample_sphere(count, generator=generator), sample_sphere(count, generator=generator)


def test_great_circle_equals_geopy():
    a, b = random_pairs(500, 0)
    theirs = [great_circle(p, q, radius=6371.0).km for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(great_circle_km(a, b), theirs, rtol=1e-9)


def test_geodesic_equals_geopy():
    a, b = random_pairs(300, 1)
    theirs = [geodesic(p, q).km for p, q in zip(a, b, strict=True)]
    np.testing.assert_allclose(geodesic_km(a, b), theirs, rtol=0, atol=1e-6)


def exact_km(a, b):
    """Great-circle distance of exactly these doubles, with 40 digits."""
    with mpmath.workdps(40):
        lat_a, lon_a, lat_b, lon_b = (mpmath.radians(mpmath.mpf(float(v))) for v in (*a, *b))
        u, v = (
            (
                mpmath.cos(lat) * mpmath.cos(lon),
                mpmath.cos(lat) * mpmath.sin(lon),
                mpmath.sin(lat),
            )
            for lat, lon in ((lat_a, lon_a), (lat_b, lon_b))
        )
        apart = mpmath.sqrt(sum((p - q) ** 2 for p, q in zip(u, v, strict=True)))
        together = mpmath.sqrt(sum((p + q) ** 2 for p, q in zip(u, v, strict=True)))
        return float(2 * mpmath.mpf(EARTH_RADIUS_KM) * mpmath.atan2(apart, together))


def pairs_at_every_distance(dtype):
    """Pairs from 1 m to 1 m short of the antipode, at latitudes up to the poles."""
    generator = np.random.default_rng(2)
    lengths = np.repeat(
        np.concatenate((np.geomspace(1e-3, 20015, 40), 20015.0867 - np.geomspace(1e-3, 100, 10))), 6
    )
    start = sample_sphere(len(lengths), generator=generator)
    start[::6, 0] = generator.uniform(89.99, 90, len(start[::6]))
    start[1::6, 1] = generator.uniform(179.99, 180, len(start[1::6]))
    end = destination_deg(start, generator.uniform(0, 360, len(lengths)), lengths)
    return start.astype(dtype), end.astype(dtype)


def test_right_from_one_metre_to_the_antipode():
    a, b = pairs_at_every_distance(np.float64)
    exact = np.array([exact_km(p, q) for p, q in zip(a, b, strict=True)])
    promised = 1e-6 + 1e-6 * exact
    assert exact.min() < 1.1e-3
    assert exact.max() > 20015.08
    for ours in (
        great_circle_km(a, b),
        great_circle_km(torch.from_numpy(a), torch.from_numpy(b)).numpy(),
        np.diag(pairwise_great_circle_km(a, b)),
    ):
        error = np.abs(ours - exact)
        assert (error <= promised).all()
        # far inside the promise: a hundredth of a millimetre everywhere
        assert error.max() < 1e-8


def test_float32_places_are_right_to_a_millionth():
    a, b = pairs_at_every_distance(np.float32)
    exact = np.array([exact_km(p, q) for p, q in zip(a, b, strict=True)])
    aligned = great_circle_km(torch.from_numpy(a), torch.from_numpy(b)).numpy()
    pairwise = np.diag(pairwise_great_circle_km(a, b))
    assert aligned.dtype == pairwise.dtype == np.float32
    np.testing.assert_allclose(aligned, exact, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(pairwise, exact, rtol=1e-7, atol=1e-9)

"""The page's own mathematics against geoloc's: distances, credible circles, merged heat."""

import numpy as np
import pytest
import shapely

from geoloc.geodesy import EARTH_RADIUS_KM, fibonacci_sphere, great_circle_km

CIRCLES = [
    ((48.9, 2.4), 120.0),
    ((0.0, 0.0), 900.0),
    ((-17.7, 179.9), 1200.0),  # across the antimeridian
    ((-17.7, -179.9), 1200.0),
    ((65.0, -175.0), 2600.0),
    ((78.2, 15.6), 2400.0),  # holds the north pole
    ((-85.0, 170.0), 900.0),  # holds the south pole
    ((90.0, 0.0), 500.0),
    ((80.0, 30.0), 1111.0),  # misses the pole by a kilometre
    ((80.0, 30.0), 1113.0),
    ((10.0, 100.0), 9500.0),
    ((-37.0, 142.7), 11000.0),  # holds the south pole, more than half the Earth
    ((5.0, -170.0), 14000.0),  # holds both poles
    ((-60.0, 20.0), 19000.0),
    ((20.0, 20.0), 20016.0),  # all of it
]
POINTS = fibonacci_sphere(1500)


@pytest.fixture
def call(blank_page):
    """`call(module, name, *arguments)`: what a function of the page gives."""

    def run(module, name, *arguments):
        script = """async ([module, name, given]) => {
          const found = await import(`/static/${module}.js`);
          return found[name](...given);
        }"""
        return blank_page.evaluate(script, [module, name, list(arguments)])

    return run


def filled(shape):
    """The fill by the even-odd rule, in longitude, latitude."""
    area = shapely.Polygon()
    for ring in shape["fill"]:
        area = area.symmetric_difference(shapely.Polygon([(lon, lat) for lat, lon in ring]))
    return area


def test_circles_are_circles_of_the_sphere_everywhere(call):
    for center, radius_km in CIRCLES:
        shape = call("geodesy", "circleShape", center, radius_km)
        name = f"{radius_km} km around {center}"
        for line in shape["line"]:
            vertices = np.array(line)
            on_edge = vertices.copy()
            on_edge[:, 1] = (on_edge[:, 1] + 180) % 360 - 180
            away_km = great_circle_km(on_edge, np.array(center)[None])
            # the ends of a line around a pole stand between two vertices
            assert np.abs(away_km[1:-1] - radius_km).max() < 0.01, name
            assert np.abs(away_km - radius_km).max() < 60.0, name
            assert np.abs(np.diff(vertices[:, 1])).max() < 90.0, name
        area = filled(shape)
        away_km = great_circle_km(POINTS, np.array(center)[None])
        clear = np.abs(away_km - radius_km) > np.maximum(12.0, 0.005 * radius_km)
        turns = np.arange(-3, 4) * 360
        inside = np.any(
            [shapely.intersects_xy(area, POINTS[:, 1] + turn, POINTS[:, 0]) for turn in turns],
            axis=0,
        )
        assert (inside[clear] == (away_km < radius_km)[clear]).all(), name
        # side by side, copies of the map neither overlap nor leave a gap
        west, _, east, _ = area.bounds
        assert east - west <= 360.001, name


def test_distances_and_destinations_are_geodesys(call):
    generator = np.random.default_rng(0)
    first, second = fibonacci_sphere(40), generator.permutation(fibonacci_sphere(40))
    ours = great_circle_km(first, second)
    for a, b, km in zip(first.tolist(), second.tolist(), ours.tolist(), strict=True):
        assert call("geodesy", "greatCircleKm", a, b) == pytest.approx(km, abs=1e-6)
    reached = np.array(call("geodesy", "destination", [10.0, 20.0], 90.0, 1000.0))
    assert great_circle_km(np.array([10.0, 20.0]), reached) == pytest.approx(1000.0)
    assert reached[1] > 20.0
    half_turn = call("geodesy", "greatCircleKm", [0, 0], [0, 180])
    assert half_turn == pytest.approx(np.pi * EARTH_RADIUS_KM)


@pytest.mark.parametrize("factor", [1, 2, 5, 6])
def test_merged_heat_is_a_sum_by_cells(call, factor):
    generator = np.random.default_rng(1)
    corners = {(int(lat), int(lon)) for lat, lon in np.floor(generator.normal(0, 40, (300, 2)))}
    cells = [[lat, lon, float(generator.uniform())] for lat, lon in corners if abs(lat) < 90]
    merged = call("ground", "mergeCells", {"cell_deg": 1.0, "cells": cells}, factor)
    naive = {}
    for lat, lon, share in cells:
        key = ((lat + 90) // factor * factor - 90, (lon + 180) // factor * factor - 180)
        naive[key] = naive.get(key, 0.0) + share
    assert merged["cell_deg"] == factor
    assert {(lat, lon): share for lat, lon, share in merged["cells"]} == pytest.approx(naive)


def test_longitudes_are_unwrapped_to_the_nearest_turn(call):
    cases = {(-179.0, 179.0): 181.0, (170.0, -170.0): -190.0, (10.0, 20.0): 10.0}
    for (lon, near), expected in cases.items():
        assert call("geodesy", "unwrap", lon, near) == expected

import numpy as np
import pytest
import shapely

from geoloc.geodesy import destination_deg, latlon_to_local_km, sample_sphere
from geoloc.places import Areas
from geoloc.places.borders import find_edges
from geoloc.places.coast import Coast

DEGREE_KM = 111.19492664


def coast_of(*boxes):
    polygons = np.array([shapely.box(*box) for box in boxes])
    return Coast.build(find_edges(polygons, np.arange(len(boxes))))


def nearest(coast, lat, lon, within_km):
    return coast.nearest_area(np.array([[lat, lon]], float), within_km=within_km)[0]


@pytest.mark.parametrize(
    ("lat", "lon", "km"),
    [
        (0.5, 1.2, 0.2 * DEGREE_KM * np.cos(np.deg2rad(0.5))),  # east of an eastern coast
        (-0.1, 0.5, 0.1 * DEGREE_KM),  # south of a coast along the equator
        (-0.03, -0.04, 0.05 * DEGREE_KM),  # off a corner
    ],
)
def test_distance_to_an_island_at_the_equator(lat, lon, km):
    coast = coast_of((0, 0, 1, 1))
    assert nearest(coast, lat, lon, km * 0.999) == -1
    assert nearest(coast, lat, lon, km * 1.001) == 0


def test_kilometres_not_degrees_near_the_pole():
    # half a degree of longitude at 80 N is 9.7 km, not 56 km
    coast = coast_of((0, 79, 1, 81))
    assert nearest(coast, 80, 1.5, 9.5) == -1
    assert nearest(coast, 80, 1.5, 9.8) == 0


def test_coast_on_the_other_side_of_the_antimeridian():
    coast = coast_of((-179.95, -1, -179, 1), (100, -1, 101, 1))
    assert nearest(coast, 0, 179.95, 11.0) == -1
    assert nearest(coast, 0, 179.95, 11.2) == 0


def test_the_nearer_of_two_wins_and_ties_take_the_lower():
    coast = coast_of((0, 0, 1, 1), (2, 0, 3, 1))
    assert nearest(coast, 0.5, 1.45, 500.0) == 0
    assert nearest(coast, 0.5, 1.55, 500.0) == 1
    corner = coast_of((0, 0, 1, 1), (1, 0, 2, 1))
    assert nearest(corner, -0.05, 1.0, 10.0) == 0


def test_inner_borders_are_no_coast():
    assert len(coast_of((0, 0, 1, 1), (1, 0, 2, 1)).area) == len(coast_of((0, 0, 2, 1)).area)


def test_far_away_and_empty():
    coast = coast_of((0, 0, 1, 1))
    assert nearest(coast, -80, 170, 25.0) == -1
    assert nearest(coast, -80, 170, 30_000.0) == 0
    assert coast.nearest_area(np.zeros((0, 2)), within_km=25.0).shape == (0,)


def test_equals_shapely_on_the_plane_around_each_point():
    areas = Areas.load()
    generator = np.random.default_rng(0)
    vertices = shapely.get_coordinates(areas.polygon)
    some = vertices[generator.integers(0, len(vertices), 400)][:, ::-1]
    away = destination_deg(
        np.ascontiguousarray(some), generator.uniform(0, 360, 400), generator.uniform(0, 60, 400)
    )
    at_sea = away[~areas.is_land(away)][:60]
    ours = areas.locate(at_sea, max_coast_km=25.0).area_index
    assert {True, False} == set((ours >= 0).tolist())
    for place, index in zip(at_sea, ours, strict=True):
        km = planar_distances_km(areas, place)
        best = min(km, key=km.get) if km else -1
        if not km or km[best] > 25.005:
            assert index == -1
        elif km[best] < 24.995:
            assert km[int(index)] == pytest.approx(km[best], abs=0.005)


def planar_distances_km(areas, place):
    """Distance to each area around a place, on the azimuthal equidistant plane about it."""
    origin = shapely.Point(0, 0)
    reach = 0.4 / max(np.cos(np.deg2rad(place[0])), 0.02)
    km = {}
    for shift in (-360, 0, 360):
        lon = place[1] + shift
        box = shapely.box(lon - reach, place[0] - 0.4, lon + reach, place[0] + 0.4)
        for polygon in areas.tree.query(box):
            shape = shapely.segmentize(areas.polygon[polygon], 0.02)
            plane = shapely.transform(shape, lambda lonlat: around(place, lonlat))
            area = int(areas.polygon_area[polygon])
            # boundary: a polygon that surrounds the far side may turn inside out on the plane
            distance = float(shapely.distance(shapely.boundary(plane), origin))
            km[area] = min(km.get(area, np.inf), distance)
    return km


def around(place, lonlat):
    return np.stack(latlon_to_local_km(place, np.ascontiguousarray(lonlat[:, ::-1])), axis=-1)


def test_answers_do_not_depend_on_the_company():
    areas = Areas.load()
    places = sample_sphere(3000, generator=np.random.default_rng(1))
    at_sea = places[~areas.is_land(places)]
    together = areas.locate(at_sea, max_coast_km=300.0).area_index
    some = np.flatnonzero(together >= 0)[:20]
    assert len(some) == 20
    for i in some:
        assert areas.locate(at_sea[i : i + 1], max_coast_km=300.0).area_index[0] == together[i]
    # widening the reach only adds answers
    narrow = areas.locate(at_sea, max_coast_km=100.0).area_index
    assert ((narrow == together) | (narrow == -1)).all()
    assert (narrow >= 0).sum() < (together >= 0).sum()

"""Coarse answers: cells that are cells, and nothing exact that remains."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km, sample_sphere
from geoloc.inference import Answer, PlaceAnswer
from geoloc.inference.answers import Basis, CredibleRadius, Heat
from geoloc.inference.coarseness import (
    cell_of,
    cell_reach_km,
    cells_of,
    coarse_answer,
    coarse_distance_km,
)
from geoloc.places import Gazetteer

BASIS = Basis(
    model="m",
    gallery="g",
    gallery_places=9,
    decoding="argmax",
    calibrated=False,
    protocol="p",
    version="1",
)
LAT = st.floats(-90.0, 90.0)
LON = st.floats(-180.0, 180.0)
SIDE = st.sampled_from([1.0, 10.0, 25.0, 100.0, 777.0, 2000.0])


def place_at(lat, lon, probability=0.25):
    return PlaceAnswer(
        latlon_deg=(lat, lon),
        score=0.123456,
        probability=probability,
        city="Exactville",
        city_km=0.4,
        region="Somewhere",
        country_code="XY",
        country="Xyland",
        reference="photo-77",
    )


def answer_of(*places, heat=None):
    return Answer(
        source="a.jpg",
        places=places,
        apart_km=5.0,
        radii=(
            CredibleRadius(level=0.5, km=1.5, calibrated=True),
            CredibleRadius(level=0.9, km=20_010.0, calibrated=True),
        ),
        countries=(),
        regions=(),
        doubts=(),
        basis=BASIS,
        heat=heat,
    )


def distance_km(one, other):
    return float(great_circle_km(np.array(one), np.array(other)))


@given(LAT, LON, SIDE)
def test_a_cell_is_the_centre_of_what_it_holds(lat, lon, side_km):
    centre = cell_of((lat, lon), side_km)
    assert -90.0 <= centre[0] <= 90.0
    assert -180.0 <= centre[1] <= 180.0
    assert cell_of(centre, side_km) == centre
    assert distance_km(centre, (lat, lon)) <= cell_reach_km(centre, side_km) + 1e-6


@pytest.mark.parametrize("side_km", [25.0, 100.0, 777.0])
def test_cells_are_about_as_large_as_asked_everywhere(side_km):
    generator = np.random.default_rng(5)
    for lat, lon in [*sample_sphere(300, generator=generator), (89.99, 3.0), (-90.0, 0.0)]:
        reach_km = cell_reach_km(cell_of((float(lat), float(lon)), side_km), side_km)
        assert 0.5 * side_km <= reach_km <= 1.3 * side_km


@given(st.lists(st.tuples(LAT, LON), min_size=2, max_size=6), SIDE)
def test_different_cells_lie_apart(places, side_km):
    centres = {cell_of(place, side_km) for place in places}
    # Neighbours in a row are the nearest that centres can be.
    near = {cell_of((lat, lon + 1.01 * side_km / 111.0), side_km) for lat, lon in centres}
    every = sorted(centres | near)
    for at, one in enumerate(every):
        for other in every[at + 1 :]:
            assert distance_km(one, other) >= side_km - 1e-6


@given(st.lists(st.tuples(LAT, LON), min_size=1, max_size=8), SIDE)
def test_nothing_exact_remains_and_no_probability_is_lost(places, side_km):
    share = 1.0 / len(places)
    exact = answer_of(*(place_at(lat, lon, share) for lat, lon in places))
    coarse = coarse_answer(exact, side_km)
    shown = [place.latlon_deg for place in coarse.places]
    assert len(set(shown)) == len(shown)
    assert shown[0] == cell_of(places[0], side_km)
    assert set(shown) == {cell_of(place, side_km) for place in places}
    assert sum(place.probability for place in coarse.places) == pytest.approx(1.0)
    for place in coarse.places:
        assert (place.score, place.reference) == (None, None)
        assert place.city_km >= side_km
        assert place.city != "Exactville"
    assert coarse.apart_km == (5.0 if side_km == 1.0 else side_km)
    # Whatever lies within an exact radius lies within the coarse one.
    moved_km = distance_km(places[0], shown[0])
    for before, after in zip(exact.radii, coarse.radii, strict=True):
        assert after.km >= min(before.km + moved_km, math.pi * 6371.0) - 1e-6
        assert side_km <= after.km <= math.pi * 6371.0 + 1e-9
        assert (after.level, after.calibrated) == (before.level, before.calibrated)


@given(st.floats(0.0, 25_000.0), SIDE)
def test_a_coarse_distance_is_the_next_multiple(km, side_km):
    coarse_km = coarse_distance_km(km, side_km)
    assert coarse_km >= max(km, side_km) - 1e-6
    assert coarse_km < km + side_km or coarse_km == side_km
    assert coarse_km == side_km * round(coarse_km / side_km)
    assert coarse_distance_km(coarse_km, side_km) == coarse_km
    assert coarse_distance_km(km, 0.0) == km


@given(LAT, LON, st.floats(0.0, 20_015.0), SIDE)
def test_a_radius_is_a_multiple_or_all_of_the_earth(lat, lon, km, side_km):
    exact = answer_of(place_at(lat, lon))
    exact = replace(exact, radii=(CredibleRadius(level=0.5, km=km, calibrated=True),))
    (radius,) = coarse_answer(exact, side_km).radii
    whole = side_km * round(radius.km / side_km)
    assert radius.km in {whole, math.pi * EARTH_RADIUS_KM}


@given(LAT, LON, st.floats(25.1, 49.9), st.floats(25.1, 49.9))
def test_two_places_of_one_cell_cannot_be_told_apart(lat, lon, one_km, other_km):
    centre = cell_of((lat, lon), 25.0)
    reach_km = cell_reach_km(centre, 25.0)
    answers = []
    for place, km in (((lat, lon), one_km), (centre, other_km)):
        exact = answer_of(place_at(*place))
        # any two radii between the same multiples, once the reach is added
        inner = CredibleRadius(level=0.5, km=km + 25.0 - reach_km, calibrated=True)
        answers.append(coarse_answer(replace(exact, apart_km=km, radii=(inner,)), 25.0))
    assert answers[0] == answers[1]


def test_cells_of_many_are_those_of_each():
    places = sample_sphere(200, generator=np.random.default_rng(3))
    centres = cells_of(places, 77.0)
    for place, centre in zip(places, centres, strict=True):
        assert tuple(centre) == cell_of(tuple(place), 77.0)


def test_the_order_stays_though_shares_may_rise():
    north, south = cell_of((10.0, 20.0), 300.0), cell_of((-30.0, 50.0), 300.0)
    best, second = place_at(*north, 0.2), place_at(*south, 0.15)
    beside = place_at(south[0] + 0.1, south[1] + 0.1, 0.15)
    places = coarse_answer(answer_of(best, second, beside), 300.0).places
    assert [place.latlon_deg for place in places] == [north, south]
    assert [place.probability for place in places] == pytest.approx([0.2, 0.3])


def test_the_city_is_the_one_nearest_to_the_cell():
    (place,) = coarse_answer(answer_of(place_at(48.8566, 2.3522)), 100.0).places
    gazetteer = Gazetteer.load()
    away_km = great_circle_km(np.array(place.latlon_deg), gazetteer.latlon_deg)
    assert place.city == gazetteer.name[int(np.argmin(away_km))]
    assert place.city_km == 100.0


def test_zero_leaves_the_answer_alone():
    exact = answer_of(place_at(1.0, 2.0))
    assert coarse_answer(exact, 0.0) is exact


def test_heat_stays_only_where_it_is_coarse_already():
    heat = Heat(cell_deg=5.0, cells=((45.0, 0.0, 1.0),))
    assert coarse_answer(answer_of(place_at(48.2, 2.2), heat=heat), 25.0).heat is None
    coarse = replace(heat, coarse_km=25.0)
    assert coarse_answer(answer_of(place_at(48.2, 2.2), heat=coarse), 25.0).heat == coarse
    assert coarse_answer(answer_of(place_at(48.2, 2.2), heat=coarse), 50.0).heat is None


def test_an_answer_without_places_stays_one():
    empty = replace(answer_of(place_at(0.0, 0.0)), places=())
    assert coarse_answer(empty, 25.0).places == ()

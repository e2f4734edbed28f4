from __future__ import annotations

import builtins

import h3
import numpy as np
import pytest
import s2geometry

from geoloc.errors import ConfigError, CoordinateError
from geoloc.geodesy import great_circle_km, sample_sphere, unit_vectors
from geoloc.places import Areas
from geoloc.regions import cell_count, cells_of, land_cell_centres, mean_places
from geoloc.regions.h3_cells import centre_parts as h3_parts
from geoloc.regions.s2_cells import centre_parts as s2_parts


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_the_world_has_as_many_h3_cells_as_h3_says(level):
    centres = np.concatenate(list(h3_parts(level)))
    assert len(centres) == cell_count("h3", level) == h3.get_num_cells(level)
    cells = {h3.latlng_to_cell(lat, lon, level) for lat, lon in centres.tolist()}
    assert len(cells) == len(centres)


@pytest.mark.parametrize("level", [0, 1, 4, 6])
def test_the_world_in_s2_cells_is_googles(level):
    centres = np.concatenate(list(s2_parts(level)))
    assert len(centres) == cell_count("s2", level)
    cell, end = s2geometry.S2CellId.Begin(level), s2geometry.S2CellId.End(level)
    expected = []
    while cell != end:
        point = cell.ToPoint()
        expected.append([point.x(), point.y(), point.z()])
        cell = cell.next()
    np.testing.assert_allclose(unit_vectors(centres), expected, atol=1e-14)


def test_land_cells_are_those_whose_centre_is_on_land_and_share_the_land():
    for grid, level in (("h3", 3), ("s2", 6)):
        centres = land_cell_centres(grid, level)
        assert Areas.load().is_land(centres).all()
        share = len(centres) / cell_count(grid, level)
        assert share == pytest.approx(Areas.load().land_share(), rel=0.03)


def test_places_share_a_cell_exactly_where_the_libraries_say_so():
    places = sample_sphere(2000, generator=np.random.default_rng(0))
    places[:50] = places[50:100] + 1e-5
    for grid, name in (("h3", h3_name), ("s2", s2_name)):
        number, centre = cells_of(places, grid, 4)
        assert number.max() + 1 == len(centre)
        names = [name(*place) for place in places.tolist()]
        seen = {}
        for place, mine in zip(names, number.tolist(), strict=True):
            assert seen.setdefault(mine, place) == place
        assert len(set(seen.values())) == len(seen)
        # a centre lies in the very cell that it is the centre of
        assert [name(*each) for each in centre.tolist()] == [seen[i] for i in range(len(centre))]


def h3_name(lat, lon):
    return h3.latlng_to_cell(lat, lon, 4)


def s2_name(lat, lon):
    return s2geometry.S2CellId(s2geometry.S2LatLng.FromDegrees(lat, lon)).parent(4).ToToken()


def test_the_mean_place_of_a_cell_lies_in_it_also_across_the_antimeridian():
    places = np.array([[10.0, 179.0], [10.0, -179.0], [80.0, 5.0]])
    means = mean_places(places, np.array([0, 0, 1]))
    assert float(great_circle_km(means[0], np.array([10.0, 180.0]))) < 1.0
    np.testing.assert_allclose(means[1], [80.0, 5.0])
    spread = sample_sphere(3000, generator=np.random.default_rng(1))
    number, _ = cells_of(spread, "s2", 3)
    again, _ = cells_of(mean_places(spread, number), "s2", 3)
    assert again.tolist() == list(range(len(again)))


def test_levels_that_there_are_not_and_grids_too_fine_to_list():
    with pytest.raises(ConfigError, match="levels of h3 are 0 to 15"):
        land_cell_centres("h3", 16)
    with pytest.raises(ConfigError, match="levels of s2 are 0 to 30"):
        cells_of(np.zeros((1, 2)), "s2", 31)
    with pytest.raises(ConfigError, match=r"98,825,162 cells.*h3:7:SOURCE"):
        land_cell_centres("h3", 7)
    with pytest.raises(CoordinateError):
        cells_of(np.array([[91.0, 0.0]]), "h3", 3)


def test_a_missing_library_is_named(monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] in {"h3", "s2cell"}:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    for grid in ("h3", "s2"):
        with pytest.raises(ConfigError, match=r"geoloc\[cells\]"):
            cells_of(np.zeros((1, 2)), grid, 3)

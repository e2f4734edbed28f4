from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from geoloc.errors import CoordinateError, DataError
from geoloc.geodesy import pairwise_great_circle_km, sample_sphere
from geoloc.regions import NOISE, CellSizes, Geocells, geocells_of, sized_cells
from geoloc.regions.cell_polygons import cell_polygons


def world(places=300, cells=12, seed=0):
    generator = np.random.default_rng(seed)
    place_deg = sample_sphere(places, generator=generator)
    middle = sample_sphere(cells, generator=generator)
    return geocells_of(place_deg, pairwise_great_circle_km(place_deg, middle).argmin(axis=1))


def test_any_place_belongs_to_the_nearest_labelled_place():
    cells, asked = world(), sample_sphere(500, generator=np.random.default_rng(7))
    apart = pairwise_great_circle_km(asked, cells.place_deg)
    np.testing.assert_array_equal(cells.cells_of_places(asked), cells.cell[apart.argmin(axis=1)])
    np.testing.assert_array_equal(cells.cells_of_places(cells.place_deg), cells.cell)
    with pytest.raises(CoordinateError):
        cells.cells_of_places(np.array([[91.0, 0.0]]))


def test_labels_become_gapless_and_one_point_counts_once():
    places = np.array([[10.0, 180.0], [10.0, -180.0], [0.0, 5.0], [1.0, 5.0]])
    cells = geocells_of(places, np.array([7, 3, 9, 9]))
    assert cells.cell.tolist() == [0, 1, 1]
    assert cells.size.tolist() == [1, 2]
    np.testing.assert_allclose(cells.centre_deg[1], [0.5, 5.0], atol=1e-9)
    assert cells.names()[1] == "cell 1 (0.5, 5.0)"
    with pytest.raises(DataError, match="at least one place"):
        geocells_of(places[:0], np.zeros(0, dtype=np.int64))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_polygons_are_a_partition_of_the_map_that_agrees_with_the_nearest_place(seed):
    cells = world(seed=seed)
    polygons = cell_polygons(cells.place_deg, cells.cell)
    assert len(polygons) == len(cells)
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).sum() == pytest.approx(360 * 180)
    assert shapely.area(shapely.union_all(polygons)) == pytest.approx(360 * 180)
    generator = np.random.default_rng(100 + seed)
    asked = sample_sphere(4000, generator=generator)
    # the antimeridian and both poles are where maps are cut
    seam = np.stack([generator.uniform(-89, 89, 400), np.full(400, 179.9999)], axis=1)
    polar = np.stack([np.full(50, 89.99), generator.uniform(-180, 180, 50)], axis=1)
    asked = np.concatenate([asked, seam, -seam, polar, -polar])
    apart = pairwise_great_circle_km(asked, cells.place_deg)
    own = cells.cells_of_places(asked)
    other = np.where(cells.cell[None] != own[:, None], apart, np.inf).min(axis=1)
    # half a degree of a great circle bends away from a straight line on the map
    clear = other - apart.min(axis=1) > 2.0
    assert clear.mean() > 0.95
    inside = shapely.contains_xy(polygons[own], asked[:, 1], asked[:, 0])
    assert inside[clear].all()


def around(size_deg, count=400, seed=0):
    generator = np.random.default_rng(seed)
    return np.array([46.2, 6.1]) + generator.uniform(-0.5, 0.5, (count, 2)) * size_deg


def grid(step):
    lat, lon = np.meshgrid(np.arange(-75.0, 76, step), np.arange(-180.0, 180, step), indexing="ij")
    return np.stack([lat.ravel(), lon.ravel()], axis=1)


HALF = np.linspace(0.0, 1.0, 40)
HARD = {
    "one hundred metres": (around(1e-3), 1e-3),
    "a town and the world": (np.concatenate([around(0.1, 200), grid(30.0)]), 0.1),
    "two places": (np.array([[10.0, 20.0], [-30.0, 150.0]]), 300.0),
    "three places": (np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]]), 300.0),
    "along a meridian": (np.stack([40 + HALF, np.full(40, 6.0)], axis=1), 90.0),
    "along the equator": (np.stack([np.zeros(40), 40 * HALF], axis=1), 90.0),
    "borders through the poles and the antimeridian": (grid(15.0), 300.0),
    "both poles": (np.concatenate([grid(30.0), [[90.0, 0.0], [-90.0, 0.0]]]), 300.0),
    "beside the antimeridian": (grid(30.0) + np.array([0.0, 1.0]), 300.0),
}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", HARD)
def test_polygons_where_rounding_poles_and_seam_are_near(name, seed):
    places, size_deg = HARD[name]
    generator = np.random.default_rng(seed)
    cells = geocells_of(places, np.minimum(generator.permutation(len(places)), 6))
    polygons = cell_polygons(cells.place_deg, cells.cell)
    assert shapely.is_valid(polygons).all()
    assert shapely.area(polygons).sum() == pytest.approx(360 * 180)
    asked = np.array([46.2, 6.1]) + generator.uniform(-0.5, 0.5, (2000, 2)) * size_deg
    if size_deg > 1.0:
        polar = np.stack([generator.uniform(89.0, 89.999, 50), generator.uniform(-179, 179, 50)], 1)
        asked = np.concatenate([sample_sphere(2000, generator=generator), polar, -polar])
    apart = pairwise_great_circle_km(asked, cells.place_deg)
    own = cells.cells_of_places(asked)
    other = np.where(cells.cell[None] != own[:, None], apart, np.inf).min(axis=1)
    clear = other - apart.min(axis=1) > min(2.0, 2.0 * size_deg)
    assert clear.mean() > 0.5
    inside = shapely.contains_xy(polygons[own], asked[:, 1], asked[:, 0])
    assert inside[clear].all()


@pytest.mark.parametrize("seed", [9, 14, 17])
def test_cells_that_reach_far_as_needles_are_drawn(seed):
    generator = np.random.default_rng(seed)
    places = np.array([46.2, 6.1]) + generator.uniform(-0.5, 0.5, (1000, 2)) / 111.0
    feature = generator.normal(size=(1000, 3))
    sizes = CellSizes(smallest=5, count=30)
    cell = sized_cells(places, feature, np.full(1000, NOISE), sizes)
    polygons = cell_polygons(places, cell)
    inside = shapely.contains_xy(polygons[cell], places[:, 1], places[:, 0])
    assert inside.all()


def test_one_cell_is_the_whole_map_and_places_a_hair_apart_are_refused():
    (whole,) = cell_polygons(np.array([[0.0, 0.0]]), np.zeros(1, dtype=np.int64))
    assert whole.area == pytest.approx(360 * 180)
    hair = np.concatenate([grid(30.0) + 7.0, [[3.0, 3.0], [3.0, 3.0 + 1e-13]]])
    with pytest.raises(DataError, match="too close to others"):
        cell_polygons(hair, np.maximum(np.arange(len(hair)) - len(hair) + 3, 0))


def test_geoparquet_comes_back_to_the_bit_and_other_programs_read_it(tmp_path):
    cells = world()
    cells = Geocells(place_deg=cells.place_deg, cell=cells.cell, provenance={"seed": 3})
    cells.save(tmp_path / "cells.parquet")
    again = Geocells.load(tmp_path / "cells.parquet")
    asked = sample_sphere(500, generator=np.random.default_rng(1))
    np.testing.assert_array_equal(again.cells_of_places(asked), cells.cells_of_places(asked))
    order = np.argsort(cells.cell, kind="stable")
    np.testing.assert_array_equal(again.place_deg, cells.place_deg[order])
    assert again.provenance == {"seed": 3}
    frame = geopandas.read_parquet(tmp_path / "cells.parquet")
    assert frame.crs is not None
    assert frame.crs.to_authority() == ("OGC", "CRS84")
    assert frame["size"].tolist() == cells.size.tolist()
    assert shapely.area(np.asarray(frame.geometry)).sum() == pytest.approx(360 * 180)


def test_what_is_no_geocells_is_said_so(tmp_path):
    with pytest.raises(DataError, match="there are no geocells"):
        Geocells.load(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="holds no geocells"):
        Geocells.load(tmp_path / "text.parquet")
    points = geopandas.GeoSeries(shapely.multipoints([[[0.0, 1.0]]]), crs="OGC:CRS84")
    frame = geopandas.GeoDataFrame({"cell": [0], "places": points}, geometry=points)
    frame.to_parquet(tmp_path / "foreign.parquet")
    with pytest.raises(DataError, match="no geocells of version"):
        Geocells.load(tmp_path / "foreign.parquet")

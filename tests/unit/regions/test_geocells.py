from __future__ import annotations

import geopandas
import numpy as np
import pytest
import shapely

from geoloc.errors import CoordinateError, DataError
from geoloc.geodesy import pairwise_great_circle_km, sample_sphere
from geoloc.regions import Geocells, geocells_of
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


def test_one_cell_is_the_whole_map_and_three_places_bound_no_regions():
    places = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0]])
    (whole,) = cell_polygons(places, np.zeros(3, dtype=np.int64))
    assert whole.area == pytest.approx(360 * 180)
    with pytest.raises(DataError, match="bound no regions"):
        cell_polygons(places, np.array([0, 1, 1]))


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

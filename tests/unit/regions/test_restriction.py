from __future__ import annotations

import json

import geopandas
import numpy as np
import pytest
import shapely

from geoloc.errors import ConfigError, CoordinateError, DataError
from geoloc.geodesy import sample_sphere
from geoloc.regions import within

PARIS, LYON, BERLIN, MUNICH = [48.86, 2.35], [45.76, 4.84], [52.52, 13.40], [48.14, 11.58]
WINDHOEK, TORONTO, FIJI = [-22.56, 17.08], [43.65, -79.38], [-17.8, 178.0]
PLACES = np.array([PARIS, LYON, BERLIN, MUNICH, WINDHOEK, TORONTO, FIJI])


@pytest.mark.parametrize(
    ("regions", "rows"),
    [
        (["FR"], [0, 1]),
        (["fr, DE"], [0, 1, 2, 3]),
        (["NA"], [4]),
        (["continent:NA"], [5]),
        (["continent:eu"], [0, 1, 2, 3]),
        (["DE-BY"], [3]),
        (["region:bavaria", "CA"], [3, 5]),
        (["bbox:40,-90,49,5"], [0, 1, 5]),
        (["bbox:-20,170,-10,-170"], [6]),
        (["bbox:45.76,4.84,45.76,4.84"], [1]),
        (["bbox:40,-90,49,5", "NA"], [0, 1, 4, 5]),
    ],
)
def test_known_towns(regions, rows):
    assert np.flatnonzero(within(PLACES, regions)).tolist() == rows


def crosses(place, ring):
    """Whether a ray to the east crosses the ring an odd number of times: inside it."""
    lat, lon = place
    inside = False
    for (x0, y0), (x1, y1) in zip(ring, ring[1:] + ring[:1], strict=True):
        if (y0 > lat) != (y1 > lat) and lon < x0 + (lat - y0) * (x1 - x0) / (y1 - y0):
            inside = not inside
    return inside


def test_a_polygon_of_a_file_against_a_naive_ray(tmp_path):
    star = [[-20.0, -30.0], [10.0, 0.0], [60.0, -20.0], [20.0, 20.0], [15.0, 70.0], [0.0, 25.0]]
    island = [[100.0, 10.0], [130.0, 12.0], [110.0, 40.0]]
    shapes = [shapely.Polygon(star), shapely.Polygon(island)]
    frame = geopandas.GeoDataFrame({"a": [1, 2]}, geometry=shapes, crs="EPSG:4326")
    places = sample_sphere(3000, generator=np.random.default_rng(0))
    expected = [crosses(place, star) or crosses(place, island) for place in places.tolist()]
    assert 100 < sum(expected) < 1000
    frame.to_file(tmp_path / "shape.geojson")
    frame.to_file(tmp_path / "shape.shp")
    # the same polygons in metres: sides stay straight in Plate Carree
    frame.to_crs("EPSG:4087").to_file(tmp_path / "metres.gpkg")
    for name in ("shape.geojson", "shape.shp", "metres.gpkg"):
        assert within(places, [str(tmp_path / name)]).tolist() == expected


@pytest.mark.parametrize("region", ["XX", "region:Nowhere", "continent:XX", "FR-XX", "planet:FR"])
def test_regions_that_there_are_not(region):
    with pytest.raises(ConfigError, match=f"no region '{region}'"):
        within(PLACES, [region])


def test_boxes_and_files_that_cannot_be_used(tmp_path):
    with pytest.raises(ConfigError, match="SOUTH,WEST,NORTH,EAST"):
        within(PLACES, ["bbox:1,2,3"])
    with pytest.raises(ConfigError, match="south before north"):
        within(PLACES, ["bbox:10,0,5,20"])
    with pytest.raises(DataError, match="no file of polygons"):
        within(PLACES, [str(tmp_path / "absent.geojson")])
    (tmp_path / "bad.geojson").write_text("{")
    with pytest.raises(DataError, match="cannot be read as polygons"):
        within(PLACES, [str(tmp_path / "bad.geojson")])
    point = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Point", "coordinates": [1, 2]},
    }
    tree = {"type": "FeatureCollection", "features": [point]}
    (tmp_path / "point.json").write_text(json.dumps(tree))
    with pytest.raises(DataError, match="holds no polygon"):
        within(PLACES, [str(tmp_path / "point.json")])
    with pytest.raises(CoordinateError):
        within(np.array([[95.0, 0.0]]), ["FR"])

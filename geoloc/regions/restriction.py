"""Places restricted to countries, regions, continents, boxes or polygons of a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float64

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import validate_latlon
from geoloc.places import Areas, AreaTable

_POLYGON_FILES = {".geojson", ".json", ".shp", ".gpkg"}


def within(
    latlon_deg: Float64[np.ndarray, "place 2"], regions: Sequence[str]
) -> Bool[np.ndarray, " place"]:
    """Which places lie in any of the regions.

    A region is one of

    - ``FR``: a country by ISO 3166-1 alpha-2;
    - ``FR-75``: a first-level region by ISO 3166-2;
    - ``continent:EU``: AF, AN, AS, EU, NA, OC or SA;
    - ``region:Bavaria``: first-level regions of that English name, in whatever country;
    - ``bbox:SOUTH,WEST,NORTH,EAST`` in degrees, edges included; WEST beyond EAST crosses the
      antimeridian;
    - a file of polygons (.geojson, .json, .shp, .gpkg), in whatever coordinates it names; without
      any, longitude and latitude.

    Several countries may stand in one, between commas. Countries, regions and continents are
    those of `Areas.locate`: a place at sea up to 25 km off a coast belongs to what lies behind it.

    Raises:
        ConfigError: there is no such region.
        CoordinateError: a place is not finite or out of range.
        DataError: a file cannot be read or holds no polygon.
    """
    validate_latlon(latlon_deg)
    inside = np.zeros(len(latlon_deg), dtype=np.bool_)
    named: list[str] = []
    for region in regions:
        if region.startswith("bbox:"):
            inside |= _in_box(latlon_deg, region)
        elif Path(region).suffix.lower() in _POLYGON_FILES:
            inside |= _in_file(latlon_deg, Path(region))
        else:
            named += [part.strip() for part in region.split(",")]
    if named:
        areas = Areas.load()
        table = areas.locate(latlon_deg)
        for name in named:
            inside |= _in_area(areas, table, name)
    return inside


def _in_area(areas: Areas, table: AreaTable, name: str) -> Bool[np.ndarray, " place"]:
    kind, _, word = name.rpartition(":")
    if kind == "continent":
        chosen = areas.continent == word.upper()
    elif kind == "region":
        chosen = np.array([(each or "").lower() == word.lower() for each in areas.region])
    elif not kind and "-" in word:
        chosen = areas.region_code == word.upper()
    else:
        chosen = areas.country_code == (word.upper() if not kind else None)
    if not chosen.any():
        raise ConfigError(
            f"no region {name!r}: write a country (FR), a first-level region (FR-75 or "
            "region:Bavaria), continent:EU, bbox:SOUTH,WEST,NORTH,EAST, or a file of polygons"
        )
    return np.append(chosen, False)[table.area_index]


def _in_box(latlon_deg: np.ndarray, region: str) -> Bool[np.ndarray, " place"]:
    try:
        south, west, north, east = (float(part) for part in region[len("bbox:") :].split(","))
    except ValueError:
        raise ConfigError(f"{region}: write bbox:SOUTH,WEST,NORTH,EAST in degrees") from None
    if not (-90 <= south <= north <= 90 and -180 <= west <= 180 and -180 <= east <= 180):
        raise ConfigError(
            f"{region}: latitudes from -90 to 90, south before north; longitudes from -180 to 180"
        )
    lat, lon = latlon_deg.T
    beyond_west, before_east = lon >= west, lon <= east
    columns = beyond_west & before_east if west <= east else beyond_west | before_east
    return (lat >= south) & (lat <= north) & columns


def _in_file(latlon_deg: np.ndarray, path: Path) -> Bool[np.ndarray, " place"]:
    import geopandas

    if not path.is_file():
        raise DataError(f"there is no file of polygons at {path}")
    try:
        frame: Any = geopandas.read_file(path)
        if frame.crs is not None:
            frame = frame.to_crs("OGC:CRS84")
    # what pyogrio, GDAL and pyproj raise has no class in common but this
    except Exception as error:
        raise DataError(f"{path} cannot be read as polygons: {str(error).strip()}") from None
    solid = frame.geometry[frame.geom_type.isin(["Polygon", "MultiPolygon"])]
    if not len(solid):
        raise DataError(f"{path} holds no polygon")
    tree = shapely.STRtree(shapely.get_parts(solid.to_numpy()))
    place, _ = tree.query(shapely.points(latlon_deg[:, ::-1]), predicate="intersects")
    inside = np.zeros(len(latlon_deg), dtype=np.bool_)
    inside[place] = True
    return inside

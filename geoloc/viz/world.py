"""Land and borders in degrees, coarse for the globe and fine for a neighbourhood."""

from __future__ import annotations

from functools import cache

import numpy as np
import shapely
from jaxtyping import Float

from geoloc.places import Areas

COARSE_DEG, FINE_DEG = 0.1, 0.01
_STEP_DEG = 1.0
_SMALLEST_ISLAND_DEG = 0.15


@cache
def coarse_land_deg() -> list[Float[np.ndarray, "_ 2"]]:
    """Filled areas for a world map: closed rings of latitude, longitude, islets left out."""
    polygons = Areas.load().polygon
    west, south, east, north = shapely.bounds(polygons).T
    visible = np.maximum(east - west, north - south) >= _SMALLEST_ISLAND_DEG
    return _rings(shapely.simplify(polygons[visible], COARSE_DEG))


@cache
def fine_land_deg() -> list[Float[np.ndarray, "_ 2"]]:
    """Filled areas for a close-up, one ring a polygon in the order of `Areas.polygon`."""
    return _rings(Areas.load().polygon)


@cache
def border_lines_deg(tolerance_deg: float) -> list[Float[np.ndarray, "_ 2"]]:
    """Coasts and borders between countries, dense enough to bend with any projection."""
    lines = [line[:, ::-1] for line in Areas.load().outlines(tolerance_deg=tolerance_deg)]
    return _dense(np.array([shapely.LineString(line) for line in lines], dtype=object))


def polygon_holding(latlon_deg: tuple[float, float]) -> frozenset[int]:
    """Rows of `fine_land_deg` whose polygon holds the place."""
    lat, lon = latlon_deg
    rows = Areas.load().tree.query(shapely.Point(lon, lat), predicate="intersects")
    return frozenset(int(row) for row in rows)


def _rings(polygons: np.ndarray) -> list[Float[np.ndarray, "_ 2"]]:
    # Holes are other areas or lakes, which are drawn as land: the outer ring is enough.
    return _dense(shapely.get_exterior_ring(polygons))


def _dense(lines: np.ndarray) -> list[Float[np.ndarray, "_ 2"]]:
    lonlat, line = shapely.get_coordinates(shapely.segmentize(lines, _STEP_DEG), return_index=True)
    latlon = np.ascontiguousarray(lonlat[:, ::-1])
    return np.split(latlon, np.flatnonzero(np.diff(line)) + 1)

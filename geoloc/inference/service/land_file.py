"""The land of the page's map: coasts to fill and borders to draw, as one small file of integers.

Made by ``python -m geoloc.inference.service.land_file``, which writes ``page/land.json``.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import shapely

from geoloc.artifacts import write_text
from geoloc.places import Areas

TOLERANCE_DEG = 0.05
UNITS_PER_DEG = 100
LAND_FILE = Path(__file__).parent / "page" / "land.json"


def land_json(areas: Areas) -> str:
    """The file's text: ``{"units_per_deg", "credit", "land", "borders"}``.

    ``land`` is a list of polygons, each a list of rings to fill by the even-odd rule (seas inside
    land are holes); ``borders`` is a list of lines between countries. A ring or line is a flat
    list of integers: longitude and latitude of its first vertex in hundredths of a degree, then
    the step to each next vertex. The last vertex of a ring is left out: it is the first.
    """
    lines = np.array(
        [shapely.LineString(line[:, ::-1]) for line in areas.outlines(tolerance_deg=TOLERANCE_DEG)],
        dtype=object,
    )
    land = shapely.union_all(_land_faces(lines, areas))
    coast = shapely.boundary(land)
    shapely.prepare([land, coast])
    middle = shapely.line_interpolate_point(lines, 0.5, normalized=True)
    # what runs along a coast is drawn with the land; at sea are lines of rings that are not whole
    inland = shapely.contains(land, middle) & ~shapely.dwithin(coast, middle, 1e-6)
    borders = lines[inland]
    polygons = [_rings(polygon) for polygon in shapely.get_parts(land)]
    content = {
        "units_per_deg": UNITS_PER_DEG,
        "credit": "Natural Earth, public domain",
        "land": [rings for rings in polygons if rings],
        "borders": [_steps(shapely.get_coordinates(line), closed=False) for line in borders],
    }
    return json.dumps(content, separators=(",", ":")) + "\n"


def _land_faces(lines: np.ndarray, areas: Areas) -> np.ndarray:
    """The polygons that the lines and the edge of a flat map enclose, where they are land."""
    # simplified lines cross here and there: their union has a vertex at each crossing
    noded = shapely.union_all(np.concatenate([lines, _map_edge(lines)]))
    faces = shapely.get_parts(shapely.polygonize(shapely.get_parts(noded)))
    inner = shapely.get_coordinates(shapely.point_on_surface(faces))
    return faces[areas.is_land(np.ascontiguousarray(inner[:, ::-1]))]


def _map_edge(lines: np.ndarray) -> np.ndarray:
    """The rectangle of a flat map, with a vertex wherever a line ends on it."""
    ends = shapely.get_coordinates(
        np.concatenate([shapely.get_point(lines, 0), shapely.get_point(lines, -1)])
    )
    corners = np.array([-90.0, 90.0])
    east, west = (
        np.unique(np.append(ends[ends[:, 0] == meridian, 1], corners)) for meridian in (180, -180)
    )
    edge = np.concatenate(
        [
            np.stack([np.full(len(east), 180.0), east], axis=1),
            np.stack([np.full(len(west), -180.0), west[::-1]], axis=1),
            [[180.0, -90.0]],
        ]
    )
    return np.asarray(shapely.linestrings(np.stack([edge[:-1], edge[1:]], axis=1)))


def _rings(polygon: shapely.Polygon) -> list[list[int]]:
    rings = [polygon.exterior, *polygon.interiors]
    steps = [_steps(shapely.get_coordinates(ring), closed=True) for ring in rings]
    # an islet that rounding leaves without an area
    return [ring for ring in steps if len(ring) >= 6]


def _steps(lonlat: np.ndarray, *, closed: bool) -> list[int]:
    units = np.round(lonlat * UNITS_PER_DEG).astype(np.int64)
    moved = np.append(True, (units[1:] != units[:-1]).any(axis=1))
    units = units[moved]
    if closed:
        units = units[:-1]
    return np.diff(units, axis=0, prepend=np.zeros((1, 2), dtype=np.int64)).reshape(-1).tolist()


if __name__ == "__main__":
    write_text(LAND_FILE, land_json(Areas.load()))

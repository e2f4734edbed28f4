"""Polygons of cells: unions of the Voronoi regions of their places on the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from jaxtyping import Float64, Int64
from scipy.spatial import QhullError, SphericalVoronoi

from geoloc.errors import DataError
from geoloc.geodesy import latlon_from_unit_vectors, nearest_place_index, unit_vectors

_STEP_RAD = np.radians(0.5)
_TOLERANCE = 1e-12


def cell_polygons(
    latlon_deg: Float64[np.ndarray, "place 2"], cell: Int64[np.ndarray, " place"]
) -> np.ndarray:
    """One MultiPolygon a cell in longitude, latitude; together they are the whole map.

    Edges between places of different cells are drawn along great circles in steps of half a
    degree, cut at the antimeridian, and the faces between them are given to the cell of the
    nearest place.

    Args:
        latlon_deg: places, no two the same.
        cell: of each, from 0, without gaps.

    Raises:
        DataError: there are several cells, and fewer than four places or all on one circle.
    """
    frame = [shapely.box(-180, -90, 180, 90).exterior]
    if cell.max() > 0:
        frame += _borders(latlon_deg, cell)
    faces = shapely.get_parts(shapely.polygonize([shapely.unary_union(frame)]))
    inside = shapely.get_coordinates(shapely.point_on_surface(faces))[:, ::-1]
    owner = cell[nearest_place_index(np.ascontiguousarray(inside), latlon_deg)]
    order = np.argsort(owner, kind="stable")
    found: Any = shapely.multipolygons(faces[order], indices=owner[order])
    if len(found) <= cell.max():
        raise DataError("a cell has no area: its places are too close to others to be drawn")
    return found


def _borders(
    latlon_deg: Float64[np.ndarray, "place 2"], cell: Int64[np.ndarray, " place"]
) -> list[Any]:
    """Lines between regions of different cells, in longitude, latitude."""
    try:
        # not scipy's threshold, which takes places within some metres for one
        voronoi: Any = SphericalVoronoi(unit_vectors(latlon_deg), threshold=_TOLERANCE)
        voronoi.sort_vertices_of_regions()
    except (QhullError, ValueError) as error:
        raise DataError(f"these places bound no regions on the sphere: {error}") from None
    place = np.repeat(np.arange(len(latlon_deg)), [len(region) for region in voronoi.regions])
    start = np.concatenate(voronoi.regions)
    end = np.concatenate([np.roll(region, -1) for region in voronoi.regions])
    pair = np.sort(np.stack([start, end], axis=1), axis=1)
    _, first, edge = np.unique(pair, axis=0, return_index=True, return_inverse=True)
    low = np.full(len(first), len(latlon_deg))
    high = np.full(len(first), -1)
    np.minimum.at(low, edge.reshape(-1), cell[place])
    np.maximum.at(high, edge.reshape(-1), cell[place])
    between = first[low < high]
    ends = voronoi.vertices[pair[between]]
    return [part for one in ends for part in _great_circle(one[0], one[1])]


def _great_circle(start: np.ndarray, end: np.ndarray) -> list[Any]:
    """A great circle's arc as lines that do not cross the antimeridian."""
    angle = float(np.arctan2(np.linalg.norm(np.cross(start, end)), start @ end))
    steps = max(2, int(np.ceil(angle / _STEP_RAD)) + 1)
    at = np.linspace(0.0, 1.0, steps)[:, None]
    share = (1.0 - at) * start + at * end
    if (whole := float(np.sin(angle))) > _TOLERANCE:
        share = (np.sin((1.0 - at) * angle) * start + np.sin(at * angle) * end) / whole
    # to the last bit: arcs that meet are joined by their ends
    share[0], share[-1] = start, end
    latlon = latlon_from_unit_vectors(share)
    lat, lon = latlon[:, 0], latlon[:, 1]
    jump = np.flatnonzero(np.abs(np.diff(lon)) > 180.0)
    lines: list[Any] = []
    lonlat = np.stack([lon, lat], axis=1)
    for cut in reversed(jump.tolist()):
        here, there = lonlat[cut], lonlat[cut + 1]
        edge = np.copysign(180.0, here[0])
        gap = (edge - here[0]) / (there[0] + 2 * edge - here[0])
        crossing = here[1] + gap * (there[1] - here[1])
        lines.append(np.concatenate([[[-edge, crossing]], lonlat[cut + 1 :]]))
        lonlat = np.concatenate([lonlat[: cut + 1], [[edge, crossing]]])
    lines.append(lonlat)
    return [shapely.LineString(line) for line in lines]

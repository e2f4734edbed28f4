"""Polygons of cells: unions of the Voronoi regions of their places on the sphere."""

from __future__ import annotations

from typing import Any

import numpy as np
import shapely
from jaxtyping import Float64, Int64

from geoloc.errors import DataError
from geoloc.geodesy import latlon_from_unit_vectors, nearest_place_index, unit_vectors
from geoloc.regions.sphere_neighbours import voronoi_edges

_STEP_RAD = np.radians(0.5)
_POLAR = np.cos(np.radians(5.0))
_POLE_DEG = 1e-9
_NEAR_A_POLE = np.concatenate([side * _STEP_RAD * 0.5 ** np.arange(24) for side in (-1, 0, 1)])


def cell_polygons(
    latlon_deg: Float64[np.ndarray, "place 2"], cell: Int64[np.ndarray, " place"]
) -> np.ndarray:
    """One MultiPolygon a cell in longitude, latitude; together they are the whole map.

    Edges between places of different cells are drawn along great circles in steps of half a
    degree and less near the poles, cut at the antimeridian, and the faces between them are given to
    the cell of their places.

    Args:
        latlon_deg: places, no two the same.
        cell: of each, from 0, without gaps.

    Raises:
        DataError: a cell's places are so near to others that it has no area.
    """
    frame = [shapely.box(-180, -90, 180, 90).exterior]
    if cell.max() > 0:
        frame += _borders(latlon_deg, cell)
    faces = shapely.get_parts(shapely.polygonize([shapely.unary_union(frame)]))
    owner = _owners(faces, latlon_deg, cell)
    if len(np.unique(owner)) <= cell.max():
        raise DataError("a cell has no area: its places are too close to others to be drawn")
    order = np.argsort(owner, kind="stable")
    of_cells = np.split(faces[order], np.flatnonzero(np.diff(owner[order])) + 1)
    # a thin face may lie beside another of its cell
    joined = [shapely.get_parts(shapely.unary_union(each)) for each in of_cells]
    return np.array([shapely.MultiPolygon(list(each)) for each in joined], dtype=object)


def _owners(
    faces: np.ndarray, latlon_deg: np.ndarray, cell: np.ndarray
) -> Int64[np.ndarray, " face"]:
    """The cell of the places within each face; of none, of the place nearest to a point of it.

    A face may reach far as a needle thinner than a chord's distance from its great circle, so that
    a point of it tells less than its places do.
    """
    inside = shapely.get_coordinates(shapely.point_on_surface(faces))[:, ::-1]
    owner = cell[nearest_place_index(np.ascontiguousarray(inside), latlon_deg)]
    place, face = shapely.STRtree(faces).query(
        shapely.points(latlon_deg[:, ::-1]), predicate="intersects"
    )
    both, votes = np.unique(np.stack([face, cell[place]]), axis=1, return_counts=True)
    of_face, of_cell = both[:, np.argsort(votes, kind="stable")]
    owner[of_face] = of_cell
    return owner


def _borders(
    latlon_deg: Float64[np.ndarray, "place 2"], cell: Int64[np.ndarray, " place"]
) -> list[Any]:
    """Lines between regions of different cells, in longitude, latitude."""
    xyz = unit_vectors(latlon_deg)
    one, other, vertex, start, end = voronoi_edges(xyz)
    between = (cell[one] != cell[other]) & (start != end)
    axis = xyz[other[between]] - xyz[one[between]]
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    ends = zip(vertex[start[between]], vertex[end[between]], axis, strict=True)
    return [line for each in ends for line in _cut_at_the_seam(_on_the_map(_arc(*each)))]


def _arc(start: np.ndarray, end: np.ndarray, axis: np.ndarray) -> Float64[np.ndarray, "point 3"]:
    """Points from one unit vector to another, counterclockwise around an axis across both."""
    beside = np.cross(axis, start)
    angle = float(np.arctan2(beside @ end, start @ end))
    if angle < -np.pi / 2:
        # half a turn but for rounding
        angle += 2.0 * np.pi
    if angle <= 0.0:
        return np.stack([start, end])
    at = np.linspace(0.0, angle, max(2, int(np.ceil(angle / _STEP_RAD)) + 1))
    # longitudes turn fast where an arc passes a pole
    polar = float(np.arctan2(beside[2], start[2]))
    near = [polar + turn * np.pi for turn in range(-1, 3)]
    if np.hypot(start[2], beside[2]) > _POLAR:
        close = np.concatenate([each + _NEAR_A_POLE for each in near])
        at = np.unique(np.concatenate([at, close[(close > 0.0) & (close < angle)]]))
    arc = np.cos(at)[:, None] * start + np.sin(at)[:, None] * beside
    # to the last bit: arcs that meet are joined by their ends
    arc[0], arc[-1] = start, end
    return arc


def _on_the_map(arc: np.ndarray) -> Float64[np.ndarray, "point 2"]:
    """Longitude and latitude; at a pole, an edge of the map, those of the points beside it."""
    lonlat = latlon_from_unit_vectors(arc)[:, ::-1]
    polar = np.flatnonzero(np.abs(lonlat[:, 1]) > 90.0 - _POLE_DEG)
    for at in reversed(polar.tolist()):
        beside = lonlat[[near for near in (at - 1, at + 1) if 0 <= near < len(lonlat)], 0]
        top = np.full(len(beside), np.copysign(90.0, lonlat[at, 1]))
        ends = np.stack([beside, top], axis=1)
        lonlat = np.concatenate([lonlat[:at], ends, lonlat[at + 1 :]])
    return lonlat


def _cut_at_the_seam(lonlat: np.ndarray) -> list[Any]:
    """A line as lines that do not cross the antimeridian."""
    lines: list[Any] = []
    for cut in reversed(np.flatnonzero(np.abs(np.diff(lonlat[:, 0])) > 180.0).tolist()):
        here, there = lonlat[cut], lonlat[cut + 1]
        edge = np.copysign(180.0, here[0])
        whole = there[0] + 2 * edge - here[0]
        crossing = here[1] + (edge - here[0]) / whole * (there[1] - here[1]) if whole else here[1]
        lines.append(np.concatenate([[[-edge, crossing]], lonlat[cut + 1 :]]))
        lonlat = np.concatenate([lonlat[: cut + 1], [[edge, crossing]]])
    lines.append(lonlat)
    return [shapely.LineString(line) for line in lines]

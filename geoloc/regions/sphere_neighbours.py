"""Which places are neighbours on the sphere, by the Delaunay triangulation and its dual."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import ConvexHull, KDTree

from geoloc.geodesy import unit_vectors

_ALL_PAIRS = 8
_SMALL = 0.5
_FLAT = 1e-9
_SAME = 1e-11


def neighbour_edges(
    latlon_deg: Float64[np.ndarray, "place 2"],
) -> Int64[np.ndarray, "edge 2"]:
    """Pairs of places whose Voronoi regions touch, each once, the lower index first.

    Among them is, for any set of places, the shortest pair between it and the rest. Up to eight
    places are all neighbours.

    Args:
        latlon_deg: places, no two the same.
    """
    count = len(latlon_deg)
    if count <= _ALL_PAIRS:
        return np.stack(np.triu_indices(count, 1), axis=1).astype(np.int64)
    xyz = unit_vectors(latlon_deg)
    spread = _spread(xyz)
    ring = _ring(spread)
    if ring is not None:
        edges = np.stack([ring, np.roll(ring, -1)], axis=1)
    else:
        triangle = _triangles(spread)
        edges = np.concatenate([triangle[:, [0, 1]], triangle[:, [0, 2]], triangle[:, [1, 2]]])
    left = np.setdiff1d(np.arange(count), edges)
    if len(left):
        # places so near to others that the hull has no corner there
        nearest = np.asarray(KDTree(xyz).query(xyz[left], k=2)[1])
        other = np.where(nearest[:, 0] == left, nearest[:, 1], nearest[:, 0])
        edges = np.concatenate([edges, np.stack([left, other], axis=1)])
    return np.unique(np.sort(edges, axis=1), axis=0).astype(np.int64)


def voronoi_edges(
    xyz: Float64[np.ndarray, "place 3"],
) -> tuple[
    Int64[np.ndarray, " edge"],
    Int64[np.ndarray, " edge"],
    Float64[np.ndarray, "vertex 3"],
    Int64[np.ndarray, " edge"],
    Int64[np.ndarray, " edge"],
]:
    """The edges between the Voronoi regions of two places or more.

    Args:
        xyz: unit vectors, no two the same.

    Returns:
        The place on either side of each edge; the vertices, as unit vectors; the one that each
        edge starts and the one that it ends at, counterclockwise around the second place less the
        first.
    """
    ring = _ring(spread := _spread(xyz))
    if ring is not None:
        # regions between two ends of an axis, like the segments of an orange
        three = xyz[ring[[0, len(ring) // 3, 2 * len(ring) // 3]]]
        axis = np.cross(three[1] - three[0], three[2] - three[0])
        if len(ring) == 2:
            across = xyz[ring[1]] - xyz[ring[0]]
            axis = np.cross(across, np.eye(3)[int(np.argmin(np.abs(across)))])
        axis /= np.linalg.norm(axis)
        none = np.zeros(len(ring), dtype=np.int64)
        return ring, np.roll(ring, -1), np.stack([axis, -axis]), none, none + 1
    triangle = _triangles(spread)
    a, b, c = (xyz[triangle[:, corner]] for corner in range(3))
    vertex = np.cross(b - a, c - a)
    vertex /= np.linalg.norm(vertex, axis=1, keepdims=True)
    # of each edge: from the lower place the triangle on its left, then the one on its right
    one, other = triangle.T.ravel(), np.roll(triangle, -1, axis=1).T.ravel()
    of = np.tile(_joined(vertex), 3)
    order = np.lexsort((one > other, np.maximum(one, other), np.minimum(one, other)))
    left, right = order[::2], order[1::2]
    return one[left], other[left], vertex, of[left], of[right]


def _joined(vertex: Float64[np.ndarray, "vertex 3"]) -> Int64[np.ndarray, " vertex"]:
    """A number for each vertex; those that are one but for rounding have one number."""
    pair = KDTree(vertex).query_pairs(_SAME, output_type="ndarray")
    count = len(vertex)
    graph = coo_array((np.ones(len(pair)), (pair[:, 0], pair[:, 1])), shape=(count, count))
    part = connected_components(graph, directed=False)[1]
    return np.unique(part, return_index=True)[1][part].astype(np.int64)


def _ring(spread: Float64[np.ndarray, "place 3"]) -> Int64[np.ndarray, " place"] | None:
    """The places in the order of the circle that they all lie on; None where they do not."""
    centred = spread - spread.mean(axis=0)
    _, size, across = np.linalg.svd(centred, full_matrices=False)
    if len(spread) > 3 and size[2] > _FLAT * size[0]:
        return None
    return np.argsort(np.arctan2(centred @ across[1], centred @ across[0]), kind="stable")


def _triangles(spread: Float64[np.ndarray, "place 3"]) -> Int64[np.ndarray, "triangle 3"]:
    """The Delaunay triangulation on the sphere; corners go counterclockwise seen from outside.

    The faces of the convex hull (K. Q. Brown, Information Processing Letters 9, 1979).
    """
    hull: Any = ConvexHull(spread)
    triangle = np.asarray(hull.simplices, dtype=np.int64)
    a, b, c = (spread[triangle[:, corner]] for corner in range(3))
    inward = (np.cross(b - a, c - a) * hull.equations[:, :3]).sum(axis=1) < 0
    triangle[inward] = triangle[inward][:, [0, 2, 1]]
    return triangle


def _spread(xyz: Float64[np.ndarray, "place 3"]) -> Float64[np.ndarray, "place 3"]:
    """Unit vectors of a small region drawn apart: stereographic, stretched, and back.

    Places of a small region lie in one plane but for rounding. This takes circles to circles, and
    leaves the triangulation as it is, of which a triangle is a circle with all places on one side.
    """
    mean = xyz.mean(axis=0)
    length = float(np.linalg.norm(mean))
    if length < _SMALL:
        return xyz
    # the mean direction, and two across it that go counterclockwise around it
    axis = mean / length
    helper = np.eye(3)[int(np.argmin(np.abs(axis)))]
    east = np.cross(axis, helper)
    east /= np.linalg.norm(east)
    north = np.cross(axis, east)
    across = (xyz - axis) @ np.stack([east, north], axis=1)
    along = xyz @ axis
    squared = (across**2).sum(axis=1)
    # 1 - along, without cancellation where along is near 1
    lack = np.where(along > 0.0, squared / (1.0 + along), 1.0 - along)
    stretch = 1.0 / max(float(np.median(np.sqrt(lack / (2.0 - lack)))), 1e-12)
    if stretch <= 1.0 / _SMALL:
        return xyz
    whole = (1.0 + along) + stretch**2 * lack
    parts = [2.0 * stretch * across, ((1.0 + along) - stretch**2 * lack)[:, None]]
    return np.concatenate(parts, axis=1) / whole[:, None]

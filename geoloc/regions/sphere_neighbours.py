"""Which places are neighbours on the sphere: edges of the Delaunay triangulation."""

from __future__ import annotations

from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import ConvexHull

from geoloc.geodesy import unit_vectors

_ALL_PAIRS = 8


def neighbour_edges(
    latlon_deg: Float64[np.ndarray, "place 2"],
) -> Int64[np.ndarray, "edge 2"]:
    """Pairs of places whose Voronoi regions touch, each once, the lower index first.

    The edges of the convex hull of the unit vectors, which is their Delaunay triangulation on the
    sphere (K. Q. Brown, Information Processing Letters 9, 1979). Among them is, for any set of
    places, the shortest pair between it and the rest. Up to eight places are all neighbours.

    Args:
        latlon_deg: places, no two the same.
    """
    count = len(latlon_deg)
    if count <= _ALL_PAIRS:
        return np.stack(np.triu_indices(count, 1), axis=1).astype(np.int64)
    # joggled: places may lie on one circle, where no hull has a volume
    hull: Any = ConvexHull(unit_vectors(latlon_deg), qhull_options="QJ")
    triangle = np.sort(hull.simplices, axis=1)
    edges = np.concatenate([triangle[:, [0, 1]], triangle[:, [0, 2]], triangle[:, [1, 2]]])
    return np.unique(edges, axis=0).astype(np.int64)

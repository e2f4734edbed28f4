"""The edges between areas: coasts, borders, and the lines that a map draws."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from jaxtyping import Bool, Float, Int, Shaped


@dataclass(frozen=True, slots=True, kw_only=True)
class Edges:
    """Edges of polygons that share their borders vertex by vertex, each edge once.

    Attributes:
        start: longitude and latitude in degrees where an edge starts.
        end: longitude and latitude in degrees where it ends.
        area: index of the area on one side.
        other_area: index of the area on the other side; -1 where that is the sea.
    """

    start: Float[np.ndarray, "edge 2"]
    end: Float[np.ndarray, "edge 2"]
    area: Int[np.ndarray, " edge"]
    other_area: Int[np.ndarray, " edge"]

    def where(self, kept: Bool[np.ndarray, " edge"]) -> Edges:
        """The edges where `kept` is True."""
        return Edges(
            start=self.start[kept],
            end=self.end[kept],
            area=self.area[kept],
            other_area=self.other_area[kept],
        )


def find_edges(
    polygons: Shaped[np.ndarray, " polygon"], polygon_area: Int[np.ndarray, " polygon"]
) -> Edges:
    """Every edge of the polygons, once, with the areas on its sides.

    The cuts that a flat map needs, along the antimeridian and at the south pole, are left out: on
    the sphere there is nothing.

    Args:
        polygons: shapely polygons in longitude, latitude; neighbours share vertices exactly.
        polygon_area: the area that each polygon belongs to.
    """
    lonlat, ring = shapely.get_coordinates(_rings(polygons)[0], return_index=True)
    area_of_ring = polygon_area[_rings(polygons)[1]]
    follows = ring[1:] == ring[:-1]
    start, end, area = lonlat[:-1][follows], lonlat[1:][follows], area_of_ring[ring[:-1][follows]]
    real = ~_is_map_cut(start, end)
    start, end, area = start[real], end[real], area[real]
    key = _undirected_key(start, end)
    order = np.argsort(key, kind="stable")
    starts_group = np.append(True, key[order][1:] != key[order][:-1])
    first = np.flatnonzero(starts_group)
    last = np.append(first[1:], len(order)) - 1
    other = np.where(last > first, area[order[last]], -1)
    chosen = order[first]
    return Edges(start=start[chosen], end=end[chosen], area=area[chosen], other_area=other)


def _rings(polygons: np.ndarray) -> Any:
    return shapely.get_rings(polygons, return_index=True)


def _is_map_cut(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    along_antimeridian = (np.abs(start[:, 0]) == 180.0) & (start[:, 0] == end[:, 0])
    at_south_pole = (start[:, 1] == -90.0) & (end[:, 1] == -90.0)
    return along_antimeridian | at_south_pole


def _undirected_key(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """One whole number an edge, the same in both directions."""
    both = np.ascontiguousarray(np.concatenate((start, end))).view(np.complex128).ravel()
    names, vertex = np.unique(both, return_inverse=True)
    a, b = vertex[: len(start)], vertex[len(start) :]
    return np.minimum(a, b).astype(np.int64) * len(names) + np.maximum(a, b)


def draw_lines(edges: Edges, *, tolerance_deg: float) -> list[Float[np.ndarray, "vertex 2"]]:
    """The edges chained into lines and thinned out, as latitude, longitude in degrees.

    Ends where three areas meet stay in place, so lines still join after thinning. Closed lines
    (islands) smaller than the tolerance in both directions are left out.

    Source of the thinning: D. Douglas, T. Peucker, Cartographica 10(2), 1973, pp. 112-122.
    """
    segments: Any = shapely.linestrings(np.stack((edges.start, edges.end), axis=1))
    merged = shapely.get_parts(shapely.line_merge(shapely.multilinestrings(segments)))
    west, south, east, north = shapely.bounds(merged).T
    visible = np.maximum(east - west, north - south) >= tolerance_deg
    thinned = shapely.simplify(merged[visible | ~shapely.is_closed(merged)], tolerance_deg)
    lonlat, line = shapely.get_coordinates(thinned, return_index=True)
    cuts = np.flatnonzero(np.diff(line)) + 1
    return np.split(np.ascontiguousarray(lonlat[:, ::-1]), cuts)

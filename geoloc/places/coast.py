"""The nearest coast to a point at sea, in kilometres on the sphere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import shapely
from jaxtyping import Float, Int
from scipy.spatial import KDTree

from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors
from geoloc.places.borders import Edges

# Pieces of at most 0.1 degree: their chords stay within 2.5 m of the sphere.
_PIECE_DEG = 0.1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Coast:
    """Short straight pieces of coast in space, with the area behind each.

    Attributes:
        start: unit vector where a piece starts.
        end: unit vector where it ends.
        area: index of the area that the piece bounds.
        half_length: half the length of the longest piece, in Earth radii.
        tree: scipy KDTree over the middles of the pieces.
    """

    start: Float[np.ndarray, "piece 3"]
    end: Float[np.ndarray, "piece 3"]
    area: Int[np.ndarray, " piece"]
    half_length: float
    tree: Any

    @classmethod
    def build(cls, edges: Edges) -> Coast:
        """The coast among the edges: those with an area on one side only."""
        coastal = edges.where(edges.other_area < 0)
        lines = shapely.linestrings(np.stack((coastal.start, coastal.end), axis=1))
        lonlat, line = shapely.get_coordinates(
            shapely.segmentize(lines, _PIECE_DEG), return_index=True
        )
        follows = line[1:] == line[:-1]
        xyz = unit_vectors(lonlat[:, ::-1])
        start, end = xyz[:-1][follows], xyz[1:][follows]
        return cls(
            start=start,
            end=end,
            area=coastal.area[line[:-1][follows]],
            half_length=float(np.linalg.norm(end - start, axis=1).max()) / 2,
            tree=KDTree((start + end) / 2),
        )

    def nearest_area(
        self, latlon_deg: Float[np.ndarray, "place 2"], *, within_km: float
    ) -> Int[np.ndarray, " place"]:
        """Index of the area with the nearest coast; -1 where none lies within `within_km`.

        Right to some metres on the sphere. Of areas that meet at the nearest point the one with
        the lowest index is taken.
        """
        xyz = unit_vectors(latlon_deg)
        limit = _chord(within_km)
        # the middle of the nearest piece is at most half a piece farther than the piece itself
        to_middle, _ = self.tree.query(xyz, distance_upper_bound=limit + 1.001 * self.half_length)
        near = np.flatnonzero(np.isfinite(to_middle))
        nearest = np.full(len(xyz), -1, dtype=np.int64)
        if not len(near):
            return nearest
        radius = np.minimum(to_middle[near], limit) + 1.001 * self.half_length
        place, piece = _pairs(self.tree.query_ball_point(xyz[near], radius))
        apart = _distance_to_pieces(xyz[near][place], self.start[piece], self.end[piece])
        order = np.lexsort((self.area[piece], apart, place))
        first = order[np.append(True, np.diff(place[order]) > 0)]
        first = first[apart[first] <= limit]
        nearest[near[place[first]]] = self.area[piece[first]]
        return nearest


def _chord(distance_km: float) -> float:
    return 2.0 * float(np.sin(min(distance_km / EARTH_RADIUS_KM, np.pi) / 2))


def _pairs(found: Any) -> tuple[np.ndarray, np.ndarray]:
    """Lists of pieces a place, laid flat: which place, which piece."""
    counts = np.fromiter((len(pieces) for pieces in found), dtype=np.int64, count=len(found))
    pieces = np.concatenate([np.asarray(some, dtype=np.int64) for some in found])
    return np.repeat(np.arange(len(found)), counts), pieces


def _distance_to_pieces(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Straight distance from points to straight pieces, row by row, in Earth radii."""
    along = end - start
    share = ((point - start) * along).sum(axis=1) / (along * along).sum(axis=1)
    closest = start + np.clip(share, 0.0, 1.0)[:, None] * along
    return np.linalg.norm(point - closest, axis=1)

"""The quadtree of OSV-5M: boxes of latitude and longitude, quartered where places are many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import validate_latlon

DEPTH = 10
_DEEPEST = 31


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Quadtree:
    """The leaves that hold places, from south-west to north-east along the tree.

    Attributes:
        number: of each place's leaf.
        low_deg: southern and western edge of each leaf.
        high_deg: northern and eastern edge.
        count: places in each leaf.
        depth: how often the whole was quartered to get each leaf.
    """

    number: Int64[np.ndarray, " place"]
    low_deg: Float64[np.ndarray, "leaf 2"]
    high_deg: Float64[np.ndarray, "leaf 2"]
    count: Int64[np.ndarray, " leaf"]
    depth: Int64[np.ndarray, " leaf"]

    def centres(self) -> Float64[np.ndarray, "leaf 2"]:
        """The middle of each leaf, in degrees."""
        return (self.low_deg + self.high_deg) / 2

    def means(self, latlon_deg: Float64[np.ndarray, "place 2"]) -> Float64[np.ndarray, "leaf 2"]:
        """The mean latitude and longitude of each leaf's places, which lies inside the leaf.

        Degrees are averaged, as OSV-5M does: on the sphere the mean of a wide leaf's places could
        lie poleward of the leaf.
        """
        sums = [np.bincount(self.number, weights=axis) for axis in latlon_deg.T]
        mean = np.stack(sums, axis=1) / self.count[:, None]
        # a mean of equal numbers may round to beside them
        return np.clip(mean, self.low_deg, self.high_deg)


def quadtree(
    latlon_deg: Float64[np.ndarray, "place 2"], *, split_at: int, depth: int = DEPTH
) -> Quadtree:
    """Quarter the box around all places while a box holds `split_at` places or more.

    Boxes are halved in latitude and longitude; a place on the line belongs to the north and east.
    Leaves without places are left out. The same tree as OSV-5M's columns ``quadtree_10_1000`` and
    so on, leaf by leaf in its order, when given its training places.

    Args:
        latlon_deg: places.
        split_at: a box with so many places or more is quartered.
        depth: no box is quartered more often than this.

    Raises:
        ConfigError: `split_at` is below 1 or `depth` is not from 0 to 31.
        CoordinateError: a place is not finite or out of range.
        DataError: there are no places.

    Source: Astruc et al., "OpenStreetView-5M: The Many Roads to Global Visual Geolocation", CVPR
    2024, section 4, as its published tables have it.
    """
    if split_at < 1 or not 0 <= depth <= _DEEPEST:
        raise ConfigError(
            f"a quadtree that splits at {split_at} places, of depth {depth}: take at least 1, and "
            f"a depth from 0 to {_DEEPEST}"
        )
    if not len(latlon_deg):
        raise DataError("a quadtree needs at least one place")
    validate_latlon(latlon_deg)
    low = np.tile(latlon_deg.min(axis=0), (len(latlon_deg), 1))
    high = np.tile(latlon_deg.max(axis=0), (len(latlon_deg), 1))
    # the way to each place's box, two bits a level from the left; a leaf's own stay zero below it
    way = np.zeros(len(latlon_deg), dtype=np.int64)
    level = np.zeros(len(latlon_deg), dtype=np.int64)
    open_ = np.arange(len(latlon_deg))
    for step in range(depth):
        _, box, count = np.unique(way[open_], return_inverse=True, return_counts=True)
        open_ = open_[count[box] >= split_at]
        if not len(open_):
            break
        middle = 0.5 * (low[open_] + high[open_])
        upper = latlon_deg[open_] >= middle
        low[open_] = np.where(upper, middle, low[open_])
        high[open_] = np.where(upper, high[open_], middle)
        quarter = 2 * upper[:, 0].astype(np.int64) + upper[:, 1]
        way[open_] |= quarter << 2 * (_DEEPEST - 1 - step)
        level[open_] = step + 1
    # leaves do not overlap, so the way to each is its own though leaves differ in depth
    _, first, number, count = np.unique(
        way, return_index=True, return_inverse=True, return_counts=True
    )
    return Quadtree(
        number=number.reshape(-1).astype(np.int64),
        low_deg=low[first],
        high_deg=high[first],
        count=count.astype(np.int64),
        depth=level[first],
    )

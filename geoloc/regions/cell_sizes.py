"""Cells of wanted sizes from labels: noise and small cells are merged, large ones are cut."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import nearest_place_index, unit_vectors
from geoloc.regions.cell_merging import merged_cells
from geoloc.regions.sphere_neighbours import neighbour_edges

NOISE = -1


@dataclass(frozen=True, slots=True, kw_only=True)
class CellSizes:
    """How large cells may be.

    Attributes:
        smallest: places that a cell has at least.
        largest: places that a cell has at most, `smallest` twice or more; None leaves large ones.
        count: cells there are to be, in place of `largest`; there are fewer where `smallest` allows
            no further cut. None for as many as there come to be.
        least_share: of a cell's places that each side of a cut keeps at least, in (0, 0.5]; at 0.5
            a cell is halved.
        place_weight: how much cuts look at places beside features: the variance of all places on
            the sphere as a multiple of the features'. At 0 cells are as alike as they can be, and
            may be long bands.
    """

    smallest: int = 1
    largest: int | None = None
    count: int | None = None
    least_share: float = 0.3
    place_weight: float = 1.0

    def __post_init__(self) -> None:
        if self.smallest < 1 or (self.count is not None and self.count < 1):
            raise ConfigError("the smallest size of a cell and their count are 1 or more")
        if self.largest is not None and self.count is not None:
            raise ConfigError("say how large cells may be or how many there are to be, not both")
        if self.largest is not None and self.largest < 2 * self.smallest:
            raise ConfigError(
                f"largest {self.largest} is below twice smallest {self.smallest}: a cell that is "
                "too large by one could not be cut"
            )
        if not self.place_weight >= 0.0:
            raise ConfigError(f"the weight of places is 0 or more, not {self.place_weight:g}")
        if not 0.0 < self.least_share <= 0.5:
            raise ConfigError(f"a side's least share is in (0, 0.5], not {self.least_share:g}")


def sized_cells(
    latlon_deg: Float64[np.ndarray, "place 2"],
    feature: Float64[np.ndarray, "place feature"],
    label: Int64[np.ndarray, " place"],
    sizes: CellSizes,
) -> Int64[np.ndarray, " place"]:
    """Labels as cells of the wanted sizes, numbered from 0 without gaps.

    First noise goes to the cell of the nearest labelled place. Then cells below the smallest size,
    the smallest first, are joined to the cell of the place nearest to any of theirs. Then cells
    above the largest size (or the largest, until there are `count`) are cut in two by a plane
    across one of the three main directions of their places, where the sums of squares of features
    and places on both sides are least: a regression tree on the sphere (L. Breiman et al. 1984)
    within each cluster. Where there are more than `count` the smallest are joined.

    Args:
        latlon_deg: places, no two the same.
        feature: of each.
        label: cluster of each, `NOISE` for none; all may be noise.
        sizes: what is wanted.

    Raises:
        DataError: there are fewer places than the smallest cell holds, or than `count` times that.
    """
    needed = sizes.smallest * (sizes.count or 1)
    if len(latlon_deg) < needed:
        raise DataError(f"{len(latlon_deg):,} places cannot fill cells of {needed:,} in all")
    cell = _without_noise(latlon_deg, label)
    edges = neighbour_edges(latlon_deg)
    cell = merged_cells(latlon_deg, cell, edges, smallest=sizes.smallest)
    cell = _cut(unit_vectors(latlon_deg), _judged_by(latlon_deg, feature, sizes), cell, sizes)
    if sizes.count is not None:
        cell = merged_cells(latlon_deg, cell, edges, smallest=1, count=sizes.count)
    return np.unique(cell, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _without_noise(latlon_deg: np.ndarray, label: np.ndarray) -> Int64[np.ndarray, " place"]:
    kept = np.flatnonzero(label != NOISE)
    if not len(kept):
        return np.zeros(len(label), dtype=np.int64)
    nearest = kept[nearest_place_index(latlon_deg, latlon_deg[kept])]
    found = np.where(label == NOISE, label[nearest], label)
    return np.unique(found, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _judged_by(
    latlon_deg: np.ndarray, feature: np.ndarray, sizes: CellSizes
) -> Float64[np.ndarray, "place axis"]:
    """Features, and unit vectors of places with `place_weight` times their variance."""
    place = unit_vectors(latlon_deg)
    variance = place.var(axis=0).sum()
    if sizes.place_weight == 0.0 or variance == 0.0:
        return feature
    told = feature.var(axis=0).sum()
    stretch = np.sqrt(sizes.place_weight * (told if told > 0 else 1.0) / variance)
    return np.concatenate([feature, stretch * place], axis=1)


def _cut(
    xyz: np.ndarray, feature: np.ndarray, cell: np.ndarray, sizes: CellSizes
) -> Int64[np.ndarray, " place"]:
    """Cut the largest cell in two until none is too large, or there are as many as wanted."""
    cell = cell.copy()
    members = [np.flatnonzero(cell == each) for each in range(int(cell.max()) + 1)]
    heap = [(-len(rows), each) for each, rows in enumerate(members)]
    heapq.heapify(heap)
    while heap:
        negative, each = heapq.heappop(heap)
        too_few = sizes.count is not None and len(members) < sizes.count
        too_large = sizes.largest is not None and -negative > sizes.largest
        if not (too_few or too_large) or -negative < 2 * sizes.smallest:
            break
        rows = members[each]
        beyond = _side(xyz[rows], feature[rows], sizes)
        members[each] = rows[~beyond]
        members.append(rows[beyond])
        cell[rows[beyond]] = len(members) - 1
        for part in (each, len(members) - 1):
            heapq.heappush(heap, (-len(members[part]), part))
    return cell


def _side(xyz: np.ndarray, feature: np.ndarray, sizes: CellSizes) -> np.ndarray:
    """Which places lie beyond the best plane."""
    count = len(xyz)
    least = max(sizes.smallest, int(np.floor(sizes.least_share * count)), 1)
    least = min(least, count // 2)
    across = np.linalg.svd(xyz - xyz.mean(axis=0), full_matrices=False)[2]
    before = np.arange(least, count - least + 1)
    best, found = np.inf, np.zeros(count, dtype=bool)
    centred = feature - feature.mean(axis=0)
    for direction in across:
        order = np.argsort(xyz @ direction, kind="stable")
        # with the mean at 0 both sides' sums are opposite, and what is lost is theirs squared
        total = np.cumsum(centred[order], axis=0)[before - 1]
        gain = (total**2).sum(axis=1) * (1.0 / before + 1.0 / (count - before))
        at = int(np.argmax(gain))
        if -gain[at] < best:
            best = -gain[at]
            found = np.zeros(count, dtype=bool)
            found[order[before[at] :]] = True
    return found

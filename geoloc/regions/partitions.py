"""Other partitions into about as many cells, and what a partition is worth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias, assert_never, get_args

import numpy as np
from jaxtyping import Float64, Int64
from scipy.cluster.vq import kmeans2

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km, unit_vectors
from geoloc.regions.cell_sizes import CellSizes, sized_cells
from geoloc.regions.cells import cells_of, mean_places
from geoloc.regions.quadtree import quadtree

Partition: TypeAlias = Literal["quadtree", "h3", "k-means", "k-means-both", "cuts"]
"""Boxes, hexagons, clusters of places, of places and features, and cuts without clusters."""

PARTITIONS: tuple[Partition, ...] = get_args(Partition)
_H3_LEVELS = 16


def partition(
    name: Partition,
    latlon_deg: Float64[np.ndarray, "place 2"],
    feature: Float64[np.ndarray, "place feature"],
    *,
    count: int,
    seed: int = 0,
    sizes: CellSizes | None = None,
) -> Int64[np.ndarray, " place"]:
    """The cell of each place, from 0, in a partition of about `count` cells.

    ``k-means`` and ``cuts`` have as many but for empty clusters; ``quadtree`` and ``h3`` come as
    near as their boxes and levels allow. ``k-means-both`` gives features as much variance as places
    have as unit vectors. ``cuts`` are those of `sized_cells`, without clusters before them.

    Args:
        name: kind.
        latlon_deg: places, no two the same.
        feature: of each.
        count: cells there are to be.
        seed: of k-means.
        sizes: what ``cuts`` heed, with `count` in place of theirs.

    Raises:
        ConfigError: `count` is not from 1 to the number of places, or H3's library is missing.
    """
    if not 1 <= count <= len(latlon_deg):
        raise ConfigError(f"{count} cells of {len(latlon_deg)} places: take from 1 to as many")
    match name:
        case "quadtree":
            return _quadtree(latlon_deg, count)
        case "h3":
            return _h3(latlon_deg, count)
        case "k-means":
            return _kmeans(unit_vectors(latlon_deg), count, seed)
        case "k-means-both":
            place, centred = unit_vectors(latlon_deg), feature - feature.mean(axis=0)
            stretch = np.sqrt(place.var(axis=0).sum() / max(centred.var(axis=0).sum(), 1e-300))
            return _kmeans(np.concatenate([place, stretch * centred], axis=1), count, seed)
        case "cuts":
            whole = np.zeros(len(latlon_deg), dtype=np.int64)
            heeded = replace(sizes or CellSizes(), count=count, largest=None)
            return sized_cells(latlon_deg, feature, whole, heeded)
        case _:
            assert_never(name)


def _h3(latlon_deg: np.ndarray, count: int) -> Int64[np.ndarray, " place"]:
    """The level whose number of cells with places, which grows with it, is nearest to `count`."""
    tried: list[Int64[np.ndarray, " place"]] = []
    for level in range(_H3_LEVELS):
        tried.append(cells_of(latlon_deg, "h3", level)[0])
        if int(tried[-1].max()) + 1 >= count:
            break
    return min(tried, key=lambda cell: abs(int(cell.max()) + 1 - count))


def _quadtree(latlon_deg: np.ndarray, count: int) -> Int64[np.ndarray, " place"]:
    """The tree whose number of leaves, which falls as `split_at` grows, is nearest to `count`."""
    low, high = 1, len(latlon_deg) + 1
    while high - low > 1:
        middle = (low + high) // 2
        leaves = len(quadtree(latlon_deg, split_at=middle).count)
        low, high = (middle, high) if leaves >= count else (low, middle)
    both = [quadtree(latlon_deg, split_at=split_at).number for split_at in (low, high)]
    return min(both, key=lambda cell: abs(int(cell.max()) + 1 - count))


def _kmeans(point: np.ndarray, count: int, seed: int) -> Int64[np.ndarray, " place"]:
    found: Any = kmeans2(
        point, count, minit="++", iter=30, missing="warn", rng=np.random.default_rng(seed)
    )
    return np.unique(found[1], return_inverse=True)[1].reshape(-1).astype(np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionWorth:
    """What a partition is worth, before anything is learned.

    Attributes:
        cells: how many.
        smallest: places of the smallest cell.
        largest: of the largest.
        evenness: entropy of the sizes over that of equal ones, 1 where all are equal.
        within_variance: of the features inside of cells, as a share of all their variance.
        spread_km: median great circle from a place to its cell's mean place.
    """

    cells: int
    smallest: int
    largest: int
    evenness: float
    within_variance: float
    spread_km: float


def partition_worth(
    latlon_deg: Float64[np.ndarray, "place 2"],
    feature: Float64[np.ndarray, "place feature"],
    cell: Int64[np.ndarray, " place"],
) -> PartitionWorth:
    """Measure a partition by its sizes, by its features and on the sphere.

    Evenness is Pielou's (E. C. Pielou, Journal of Theoretical Biology 13, 1966); of one cell it is
    1.

    Args:
        latlon_deg: places.
        feature: of each.
        cell: of each, from 0, without gaps.
    """
    size = np.bincount(cell)
    share = size / size.sum()
    entropy = -float((share * np.log(share)).sum())
    centred = feature - feature.mean(axis=0)
    sums = np.stack([np.bincount(cell, weights=axis) for axis in centred.T], axis=1)
    between = ((sums**2).sum(axis=1) / size).sum()
    total = (centred**2).sum()
    centre = mean_places(latlon_deg, cell)[cell]
    return PartitionWorth(
        cells=len(size),
        smallest=int(size.min()),
        largest=int(size.max()),
        evenness=entropy / float(np.log(len(size))) if len(size) > 1 else 1.0,
        within_variance=float(1.0 - between / total) if total > 0 else 0.0,
        spread_km=float(np.median(np.asarray(great_circle_km(latlon_deg, centre)))),
    )

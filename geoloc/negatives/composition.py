"""Composition: which samples share a batch, so that hard negatives meet their anchors."""

from __future__ import annotations

from collections import deque

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from geoloc.errors import ConfigError
from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors


def compose_batches(
    hard: Int64[np.ndarray, "n per_anchor"],
    latlon_deg: Float64[np.ndarray, "n 2"],
    *,
    batch_size: int,
    share: float,
    same_place_km: float = 0.0,
    seed: int = 0,
    epoch: int = 0,
) -> list[Int64[np.ndarray, " batch"]]:
    """Batches in which up to a share of the samples are hard negatives of others in the batch.

    Samples are taken in a random order; each brings its hardest negative that is still free, until
    the batch has its share. Every sample comes once an epoch. Two samples of one place are not put
    into one batch: the second waits for a later one, and only where no later batch can take it (at
    the end of the epoch, or in a place that holds more samples than there are batches) it joins
    the first regardless.

    Args:
        hard: rows of each sample's hard negatives, hardest first, -1 for none.
        latlon_deg: places in degrees.
        batch_size: samples a batch; the last batch has what is left.
        share: of a batch that may be brought along, in [0, 1); 0 gives random batches.
        same_place_km: samples within this distance are of one place; 0 keeps none apart.
        seed: of the order.
        epoch: likewise.

    Raises:
        ConfigError: the batch size is below 1 or the share not in [0, 1).
    """
    if batch_size < 1 or not 0.0 <= share < 1.0:
        raise ConfigError(f"batches of {batch_size} with a share of {share} cannot be composed")
    n = len(latlon_deg)
    order = np.random.default_rng([seed, epoch]).permutation(n)
    table = _BatchTable(hard, _neighbours(latlon_deg, same_place_km))
    waiting: deque[int] = deque(order.tolist())
    batches: list[Int64[np.ndarray, " batch"]] = []
    while waiting:
        size = min(batch_size, n - batch_size * len(batches))
        batches.append(table.fill(waiting, size=size, brought=round(share * size)))
    return batches


class _BatchTable:
    """Which samples are used up, and which are in the batch that is being filled."""

    def __init__(self, hard: Int64[np.ndarray, "n per_anchor"], near: dict[int, list[int]]) -> None:
        self._hard = hard
        self._near = near
        self._batch_of = np.full(len(hard), -1, dtype=np.int64)
        self._number = -1

    def fill(self, waiting: deque[int], *, size: int, brought: int) -> Int64[np.ndarray, " batch"]:
        """The next batch; the samples it takes leave the queue."""
        self._number += 1
        rows: list[int] = []
        held: list[int] = []
        while waiting and len(rows) < size:
            row = waiting.popleft()
            if self._batch_of[row] >= 0:
                continue
            if self._meets_its_place(row):
                held.append(row)
                continue
            self._take(row, rows)
            partner = self._free_partner(row) if brought and len(rows) < size else None
            if partner is not None:
                self._take(partner, rows)
                brought -= 1
        # Too few of other places are left: better together than not at all.
        while held and len(rows) < size:
            self._take(held.pop(0), rows)
        waiting.extendleft(reversed(held))
        while waiting and self._batch_of[waiting[0]] >= 0:
            waiting.popleft()
        return np.array(rows, dtype=np.int64)

    def _take(self, row: int, rows: list[int]) -> None:
        self._batch_of[row] = self._number
        rows.append(row)

    def _free_partner(self, row: int) -> int | None:
        for partner in self._hard[row].tolist():
            if partner >= 0 and self._batch_of[partner] < 0 and not self._meets_its_place(partner):
                return partner
        return None

    def _meets_its_place(self, row: int) -> bool:
        return any(self._batch_of[other] == self._number for other in self._near.get(row, ()))


def _neighbours(
    latlon_deg: Float64[np.ndarray, "n 2"], same_place_km: float
) -> dict[int, list[int]]:
    """Of each sample that has any, the others within the distance."""
    near: dict[int, list[int]] = {}
    if same_place_km <= 0.0 or len(latlon_deg) < 2:
        return near
    chord = 2.0 * np.sin(min(same_place_km / EARTH_RADIUS_KM, np.pi) / 2.0)
    pairs = KDTree(unit_vectors(latlon_deg)).query_pairs(chord, output_type="ndarray")
    for one, other in pairs.tolist():
        near.setdefault(one, []).append(other)
        near.setdefault(other, []).append(one)
    return near

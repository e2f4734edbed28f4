"""Small cells joined to their nearest, along edges of the triangulation of their places."""

from __future__ import annotations

import heapq
from itertools import pairwise

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import DataError
from geoloc.geodesy import great_circle_km


def merged_cells(
    latlon_deg: Float64[np.ndarray, "place 2"],
    cell: Int64[np.ndarray, " place"],
    edges: Int64[np.ndarray, "edge 2"],
    *,
    smallest: int,
    count: int | None = None,
) -> Int64[np.ndarray, " place"]:
    """Join the smallest cell to its nearest until none is too small and there are not too many.

    The nearest is the cell of the place outside that is nearest to any place inside.

    Args:
        latlon_deg: places.
        cell: of each, from 0, without gaps.
        edges: of their triangulation (`neighbour_edges`).
        smallest: places that a cell has at least.
        count: how many cells there may be; None for any number.

    Raises:
        DataError: a cell that is too small has no neighbour.
    """
    cells = _Cells(latlon_deg, cell, edges)
    heap = [(int(size), each) for each, size in enumerate(cells.size.tolist())]
    heapq.heapify(heap)
    left = len(heap)
    while left > 1:
        size, each = heapq.heappop(heap)
        if cells.is_old(each, size):
            continue
        if size >= smallest and (count is None or left <= count):
            break
        other = cells.join(each)
        heapq.heappush(heap, (int(cells.size[other]), other))
        left -= 1
    return cells.labels()


class _Cells:
    """Cells that are joined: who was joined to whom, sizes, and edges that leave each."""

    def __init__(self, latlon_deg: np.ndarray, cell: np.ndarray, edges: np.ndarray) -> None:
        self.size = np.bincount(cell)
        self._cell = cell
        self._joined_to = list(range(len(self.size)))
        leaving = edges[cell[edges[:, 0]] != cell[edges[:, 1]]]
        length = great_circle_km(latlon_deg[leaving[:, 0]], latlon_deg[leaving[:, 1]])
        self._ends = cell[leaving[np.argsort(np.asarray(length), kind="stable")]]
        # rows of `_ends` that each cell is an end of, the shortest first
        each, row = self._ends.T.ravel(), np.tile(np.arange(len(leaving)), 2)
        order = np.lexsort((row, each))
        first = np.searchsorted(each[order], np.arange(len(self.size) + 1))
        self._rows = [row[order[a:b]] for a, b in pairwise(first.tolist())]

    def is_old(self, each: int, size: int) -> bool:
        """Whether the cell was joined to another, or another to it, since it had that size."""
        return self._joined_to[each] != each or size != int(self.size[each])

    def join(self, each: int) -> int:
        """Join a cell to its nearest, whose number is returned."""
        for row in self._rows[each].tolist():
            one, two = (self._last(int(end)) for end in self._ends[row])
            if one != two:
                other = two if one == each else one
                break
        else:
            raise DataError("a cell has no neighbour: its places are not of the triangulation")
        self._joined_to[each] = other
        self.size[other] += self.size[each]
        self._rows[other] = np.sort(np.concatenate([self._rows[each], self._rows[other]]))
        return other

    def labels(self) -> Int64[np.ndarray, " place"]:
        """The cell of each place, from 0, without gaps."""
        last = np.array([self._last(each) for each in range(len(self._joined_to))])
        return np.unique(last[self._cell], return_inverse=True)[1].reshape(-1).astype(np.int64)

    def _last(self, each: int) -> int:
        while self._joined_to[each] != each:
            self._joined_to[each] = self._joined_to[self._joined_to[each]]
            each = self._joined_to[each]
        return each

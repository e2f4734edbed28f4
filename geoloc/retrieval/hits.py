"""Which candidates can be among the best, from a first pass over all of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from geoloc.retrieval.first_pass import FirstPass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """How a pass is cut.

    Attributes:
        tile: candidates multiplied at a time.
        group: candidates that share a maximum.
        most: hits listed at a time, all queries together.
    """

    tile: int = 2048
    group: int = 32
    most: int = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Hits:
    """Candidates that may be among the k best, sorted by query.

    Attributes:
        row: which query.
        column: which candidate.
        overfull: queries with more of them than can be listed; none of theirs is.
    """

    row: Int64[Tensor, " hit"]
    column: Int64[Tensor, " hit"]
    overfull: Int64[Tensor, " overfull"]


def find_hits(
    first_pass: FirstPass,
    query: Float32[Tensor, "query embedding"],
    k: int,
    *,
    count: int,
    tiling: Tiling,
) -> Hits:
    """Every candidate whose product lies within the window below the k-th best product.

    One maximum is taken of each group of candidates of a tile; the k-th largest maximum so far is
    a lower bound on the k-th best product, and only groups that come near it are looked into.

    Args:
        first_pass: multiplies.
        query: unit vectors.
        k: how many best are wanted, at most `count`.
        count: how many candidates there are.
        tiling: how to cut the pass.
    """
    prepared = first_pass.prepare(query)
    hits = _Collector(window=prepared.window, k=k, most=tiling.most)
    for start in range(0, count, tiling.tile):
        stop = min(start + tiling.tile, count)
        product = first_pass.product(prepared.code, start, stop)
        whole = (stop - start) // tiling.group * tiling.group
        if whole:
            hits.add(product[:, :whole], start, tiling.group)
        if start + whole < stop:
            hits.add(product[:, whole:], start + whole, 1)
    return hits.result()


class _Collector:
    """The hits of tiles seen so far, and the k best group maxima of each query."""

    def __init__(self, *, window: Tensor, k: int, most: int) -> None:
        floating = window.dtype.is_floating_point
        # Integers: a window can be taken from the extremes without overflow.
        self._lowest, self._highest = (-math.inf, math.inf) if floating else (-(2**30), 2**30)
        self._best = window.new_full((len(window), k), self._lowest)
        self._window, self._most = window, most
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._listed = 0
        self._overfull = torch.zeros(len(window), dtype=torch.bool, device=window.device)

    def add(self, product: Tensor, start: int, group: int) -> None:
        """Take the hits of one tile; `group` divides its width."""
        grouped = product.unflatten(1, (group, -1))
        top = grouped.amax(dim=1)
        rising = (top >= self._reach()).any(dim=1).nonzero().flatten()
        better = torch.cat([self._best[rising], top[rising]], dim=1)
        self._best[rising] = better.topk(self._best.shape[1], dim=1).values
        reach = self._reach()
        at, which = (top >= reach).nonzero(as_tuple=True)
        member = grouped[at, :, which]
        hit, inside = (member >= reach[at]).nonzero(as_tuple=True)
        row, column = at[hit], start + inside * grouped.shape[2] + which[hit]
        self._parts.append((row, column, member[hit, inside]))
        self._listed += len(row)
        if self._listed > self._most:
            self._prune()

    def _reach(self) -> Tensor:
        reach = self._best[:, -1:] - self._window
        return reach.masked_fill_(self._overfull.unsqueeze(1), self._highest)

    def _prune(self) -> None:
        """Drop what no longer reaches; give up the longest lists if that is not enough."""
        row, column, score = (torch.cat(part) for part in zip(*self._parts, strict=True))
        keep = score >= self._reach().flatten()[row]
        length = torch.bincount(row[keep], minlength=len(self._window))
        if int(length.sum()) > self._most:
            self._overfull |= length > self._most // len(self._window)
            keep &= ~self._overfull[row]
        self._parts = [(row[keep], column[keep], score[keep])]
        self._listed = int(keep.sum())

    def result(self) -> Hits:
        """What is left now that the k-th best is known."""
        self._prune()
        row, column, _ = self._parts[0]
        by_row = row.argsort(stable=True)
        return Hits(
            row=row[by_row],
            column=column[by_row],
            overfull=self._overfull.nonzero().flatten(),
        )

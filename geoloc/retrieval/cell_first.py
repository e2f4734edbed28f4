"""Cell first, then place: candidates are sought in the cells that a query fits best."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.retrieval.index import Ranking, check_search

CellScore: TypeAlias = Literal["mass", "max", "centroid", "head"]
"""What cells are told by: summed softmax of their candidates, their best one, their mean, or a
classifier's logits."""

_QUERIES_AT_A_TIME = 256
_VECTORS_AT_A_TIME = 1 << 16


class CellFirstIndex:
    """The best candidates of the best cells: first those of the `probe` best, by their score.

    Where those have fewer than are asked for, the next cells' follow, cell by cell, so that scores
    need not fall along a row. ``centroid`` compares a query with one unit vector a cell (the mean
    of its candidates) and with the candidates of the probed cells alone, as an inverted file does
    (J. Sivic and A. Zisserman, ICCV 2003), with cells that are regions. ``max`` and ``mass``
    compare with all: one cell by ``max`` has the best candidate of all in it, and one by ``mass``
    has the greatest sum of softmax, so that many good candidates together outweigh the best.
    ``head`` asks a classifier of the query for the cell (L. Haas et al., PIGEON, CVPR 2024), and
    compares with the candidates of the probed cells alone.

    Args:
        embedding: unit vectors, one a candidate.
        cell: of each candidate, from 0; a number without candidates is left out.
        score: what cells are told by.
        probe: how many of the best cells are searched together.
        scale: factor on scores in the softmax of ``mass``.
        head: for ``head``: from unit vectors, on `device`, to a logit for each number of a cell.
        device: where to search; by default where `embedding` is.

    Raises:
        ConfigError: `probe` is below 1.
        ValueError: there are no candidates, or ``head`` has none to ask.
    """

    def __init__(
        self,
        embedding: Float[Tensor, "candidate embedding"],
        cell: Int64[Tensor, " candidate"],
        *,
        score: CellScore = "centroid",
        probe: int = 8,
        scale: float = 1.0,
        head: Callable[[Tensor], Tensor] | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        if probe < 1:
            raise ConfigError(f"at least one cell is searched, not {probe}")
        if not len(embedding):
            raise ValueError("an index needs at least one candidate")
        if score == "head" and head is None:
            raise ValueError("score head needs a head to ask")
        self._vector = embedding.detach().float().to(device or embedding.device)
        where = self._vector.device
        self._number, own, size = cell.to(where).unique(return_inverse=True, return_counts=True)
        self._cell, self._size = own, size
        self._row = own.argsort(stable=True)
        self._first = size.cumsum(0) - size
        self._score: CellScore = score
        self._head = head
        self._probe, self._scale = min(probe, len(size)), scale
        sums = torch.zeros(len(size), self._vector.shape[1], device=where)
        self._centroid = F.normalize(sums.index_add_(0, own, self._vector), dim=1)

    def __len__(self) -> int:
        return len(self._vector)

    @torch.no_grad()
    def search(self, query: Float[Tensor, "query embedding"], k: int) -> Ranking:
        """The min(k, n) candidates, those of the best cells first.

        Raises:
            ValueError: k is below 1 or the widths differ.
            DataError: a query is not of length one.
        """
        check_search(query, k, embedding_dim=self._vector.shape[1])
        k = min(k, len(self))
        blocks = query.detach().float().to(self._vector.device).split(_QUERIES_AT_A_TIME)
        parts = [self._search(block, k) for block in blocks]
        return Ranking(
            index=torch.cat([part.index for part in parts]).to(query.device),
            score=torch.cat([part.score for part in parts]).to(query.device),
        )

    @torch.no_grad()
    def compared(self, query: Float[Tensor, "query embedding"]) -> Float[Tensor, " query"]:
        """How many vectors each query is compared with where one candidate is asked for."""
        if self._score in ("mass", "max"):
            return torch.full((len(query),), float(len(self)))
        query = query.float().to(self._vector.device)
        best = self._cell_scores(query).topk(self._probe, dim=1).indices
        return (len(self._size) + self._size[best].sum(dim=1)).float().cpu()

    def _search(self, query: Float32[Tensor, "query embedding"], k: int) -> Ranking:
        ranked = self._cell_scores(query).sort(dim=1, descending=True, stable=True).indices
        reached = self._size[ranked].cumsum(dim=1)
        enough = int((reached < k).sum(dim=1).max()) + 1
        ranked = ranked[:, : max(enough, self._probe)]
        widest = int(self._size[ranked].sum(dim=1).max())
        step = max(1, _VECTORS_AT_A_TIME // widest)
        pairs = zip(query.split(step), ranked.split(step), strict=True)
        parts = [self._best_of(some, cells, k) for some, cells in pairs]
        return Ranking(
            index=torch.cat([part.index for part in parts]),
            score=torch.cat([part.score for part in parts]),
        )

    def _cell_scores(self, query: Float32[Tensor, "query embedding"]) -> Tensor:
        """(query, cell)."""
        if self._score == "centroid":
            return query @ self._centroid.T
        if self._head is not None and self._score == "head":
            return self._head(query)[:, self._number]
        score = query @ self._vector.T
        cell = self._cell.expand(len(query), -1)
        found = score.new_full((len(query), len(self._size)), -torch.inf)
        if self._score == "max":
            return found.scatter_reduce_(1, cell, score, "amax")
        share = torch.softmax(self._scale * score, dim=1)
        return torch.zeros_like(found).scatter_add_(1, cell, share)

    def _best_of(self, query: Tensor, cells: Tensor, k: int) -> Ranking:
        """The candidates of ranked cells: of the probed ones together, then cell by cell."""
        size = self._size[cells]
        width, total = int(size.sum(dim=1).max()), size.sum(dim=1, keepdim=True)
        place = torch.arange(width, device=query.device).expand(len(query), width)
        end = size.cumsum(dim=1)
        which = torch.searchsorted(end, place.contiguous(), right=True)
        which = which.clamp(max=cells.shape[1] - 1)
        inside = place - (end - size).gather(1, which)
        row = self._row[(self._first[cells.gather(1, which)] + inside).clamp(max=len(self) - 1)]
        score = torch.einsum("qce,qe->qc", self._vector[row], query)
        real = place < total
        # equal scores in the order of the gallery, as exact search has them
        row, by_row = torch.where(real, row, len(self)).sort(dim=1)
        score = score.gather(1, by_row).masked_fill(row == len(self), -torch.inf)
        group = (which - self._probe + 1).clamp(min=0).gather(1, by_row)
        group = group.masked_fill(row == len(self), cells.shape[1] + 1)
        by_score = score.argsort(dim=1, descending=True, stable=True)
        order = by_score.gather(1, group.gather(1, by_score).argsort(dim=1, stable=True))[:, :k]
        return Ranking(index=row.gather(1, order), score=score.gather(1, order))

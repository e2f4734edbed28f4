"""Exact search for the candidates of highest cosine, and what every index answers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from geoloc.retrieval.vectors import check_unit

_MARGIN = 16
_QUERIES_AT_A_TIME = 256
_CANDIDATES_AT_A_TIME = 16_384
_PRODUCTS_AT_A_TIME = 1 << 22


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ranking:
    """The best candidates of each query, best first.

    Attributes:
        index: rows of the gallery.
        score: their inner products with the query (cosines), not increasing along a row.
    """

    index: Int64[Tensor, "query k"]
    score: Float32[Tensor, "query k"]


@runtime_checkable
class NearestIndex(Protocol):
    """Whatever finds the candidates of highest inner product."""

    def __len__(self) -> int:
        """How many candidates there are."""
        ...

    def search(self, query: Float[Tensor, "query embedding"], k: int) -> Ranking:
        """The min(k, n) best candidates of each query."""
        ...


def check_search(query: Tensor, k: int, *, embedding_dim: int) -> None:
    """Refuse what no index can answer.

    Raises:
        ValueError: k is below 1 or the embeddings differ in width.
        DataError: a query is not of length one.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    if query.shape[1] != embedding_dim:
        raise ValueError(f"queries of width {query.shape[1]}, candidates of {embedding_dim}")
    check_unit(query, what="query")


def best_first(score: Tensor, index: Tensor, k: int) -> Ranking:
    """Order candidates by falling score, of equal scores the lower index first; keep k.

    Args:
        score: (query, candidate), any order.
        index: the candidates' rows in the gallery, same shape.
        k: how many to keep.
    """
    index, by_index = index.sort(dim=1)
    score, by_score = score.gather(1, by_index).sort(dim=1, descending=True, stable=True)
    return Ranking(index=index.gather(1, by_score)[:, :k], score=score[:, :k])


class ExactIndex:
    """Brute-force search in blocks: exact, memory flat, the same answer every time.

    Scores of a matrix product differ in the last bits with a row's position in it, and
    `torch.topk` breaks ties as it likes. So the product only draws up a short list of k + 16; its
    members are scored again one by one in float64 and rounded to float32, and ordered by
    (score, index). Where the list may have cut off an equal of the k-th best, everything within
    the product's rounding error of it is scored again for that query.

    Rounding error of an inner product of n terms: 4·sqrt(n)·u with probability very near one
    (Higham and Mary 2019, "A new approach to probabilistic rounding error analysis", λ = 4).

    Args:
        embedding: unit vectors, one a candidate.
        device: where to search; by default where `embedding` is.

    Raises:
        DataError: a vector is not of length one.
        ValueError: there are no candidates.
    """

    def __init__(
        self,
        embedding: Float[Tensor, "candidate embedding"],
        *,
        device: torch.device | str | None = None,
    ) -> None:
        if not embedding.shape[0]:
            raise ValueError("an index needs at least one candidate")
        check_unit(embedding, what="candidate")
        self._candidate = embedding.detach().to(device=device, dtype=torch.float32).contiguous()

    def __len__(self) -> int:
        return self._candidate.shape[0]

    @torch.no_grad()
    def search(self, query: Float[Tensor, "query embedding"], k: int) -> Ranking:
        """The min(k, n) candidates of highest cosine, best first; ties by the lower index.

        Args:
            query: unit vectors on any device; the answer comes back on the same.
            k: how many to return for each.

        Raises:
            ValueError: k is below 1 or the widths differ.
            DataError: a query is not of length one.
        """
        check_search(query, k, embedding_dim=self._candidate.shape[1])
        k = min(k, len(self))
        parts = [
            self._search_block(block.to(self._candidate), k)
            for block in query.detach().split(_QUERIES_AT_A_TIME)
        ]
        return Ranking(
            index=torch.cat([part.index for part in parts]).to(query.device),
            score=torch.cat([part.score for part in parts]).to(query.device),
        )

    def _search_block(self, query: Tensor, k: int) -> Ranking:
        size = min(k + _MARGIN, len(self))
        rough, index = self._short_list(query, size)
        row = torch.arange(len(query), device=query.device).repeat_interleave(size)
        score = self._score_pairs(query, row, index.flatten()).view(len(query), size)
        best = best_first(score, index, k)
        if size == len(self) or not len(query):
            return best
        reach = best.score[:, -1] - self._rounding_error()
        cut_close = rough.amin(dim=1) >= reach
        for at in cut_close.nonzero().flatten().tolist():
            wider = self._search_widely(query[at : at + 1], float(reach[at]), k)
            best.index[at], best.score[at] = wider.index[0], wider.score[0]
        return best

    def _short_list(self, query: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """The `size` best by matrix product; whatever it leaves out scores no better there."""
        score = query.new_empty((len(query), 0))
        index = torch.empty((len(query), 0), dtype=torch.int64, device=query.device)
        for start in range(0, len(self), _CANDIDATES_AT_A_TIME):
            product = query @ self._candidate[start : start + _CANDIDATES_AT_A_TIME].T
            some, at = product.topk(min(size, product.shape[1]), dim=1)
            score, index = torch.cat([score, some], 1), torch.cat([index, at + start], 1)
            score, at = score.topk(min(size, score.shape[1]), dim=1)
            index = index.gather(1, at)
        return score, index

    def _search_widely(self, query: Tensor, reach: float, k: int) -> Ranking:
        """One query among all candidates whose product reaches `reach`, however many."""
        near = [
            start
            + (query @ self._candidate[start : start + _CANDIDATES_AT_A_TIME].T)[0]
            .ge(reach)
            .nonzero()
            .flatten()
            for start in range(0, len(self), _CANDIDATES_AT_A_TIME)
        ]
        index = torch.cat(near)
        score = self._score_pairs(query, torch.zeros_like(index), index)
        return best_first(score.unsqueeze(0), index.unsqueeze(0), k)

    def _score_pairs(self, query: Tensor, row: Tensor, index: Tensor) -> Tensor:
        """Inner products pair by pair: equal vectors score equally wherever they stand."""
        # Apple's GPU has no float64; there float32 must do.
        wide = torch.float32 if query.device.type == "mps" else torch.float64
        pairs = max(1, _PRODUCTS_AT_A_TIME // query.shape[1])
        parts = [
            (query[rows].to(wide) * self._candidate[columns].to(wide)).sum(dim=1).float()
            for rows, columns in zip(row.split(pairs), index.split(pairs), strict=True)
        ]
        return torch.cat(parts)

    def _rounding_error(self) -> float:
        lowered = (
            self._candidate.device.type != "cpu"
            and torch.get_float32_matmul_precision() != "highest"
        )
        unit = 2.0**-11 if lowered else 2.0**-24
        return 2.0 * 4.0 * math.sqrt(self._candidate.shape[1]) * unit

"""Exact search for the candidates of highest cosine, and what every index answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from geoloc.retrieval.first_pass import (
    EQUAL_AFTER_ROUNDING,
    CodedPass,
    FirstPass,
    FloatPass,
    Precision,
    fastest_precision,
    rounding_error,
)
from geoloc.retrieval.hits import Tiling, find_hits
from geoloc.retrieval.vector_rows import HeldVectors, VectorRows, score_pairs
from geoloc.retrieval.vectors import check_unit

_QUERIES_AT_A_TIME = 1024
_BEST_AT_A_TIME = 1 << 20
# Of candidates that float32 cannot tell apart, in one query: lists are padded to the longest.
_LONGEST_LIST = 4096
# Coding all candidates costs as much as some hundred queries save.
_QUERIES_WORTH_CODING = 256


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

    Scores are float64 sums rounded to float32; candidates are ordered by (score, index). A first
    pass of cheap products with a proven bound on their error (`CodedPass`, `FloatPass`) leaves only
    candidates that can be among the k best; those are scored again in float32, and what is then
    still within the bound of float32 sums, in float64. No step of it trusts a short list of fixed
    length, so the answer does not depend on which pass is taken, only the time does.

    Args:
        embedding: unit vectors, one a candidate; or `VectorRows`, such as those of a mapped file.
        device: where to search; by default where `embedding` is.
        first_pass: precision of its products; by default float32 for the first few hundred
            queries, then what is fastest on the device (`fastest_precision`): codes in int8 add a
            quarter to the memory of the vectors, those in float16 one half. Vectors in a file
            stay there and are multiplied in float32, unless codes are asked for.
        tiling: how the pass is cut; by default as suits the device.

    Raises:
        DataError: a vector is not of length one.
        ValueError: there are no candidates.
    """

    def __init__(
        self,
        embedding: Float[Tensor, "candidate embedding"] | VectorRows,
        *,
        device: torch.device | str | None = None,
        first_pass: Precision | None = None,
        tiling: Tiling | None = None,
    ) -> None:
        held = isinstance(embedding, Tensor)
        self._candidate = HeldVectors(embedding, device=device) if held else embedding
        self._float_pass = FloatPass(self._candidate)
        # Codes of vectors that are left in a file would be what is not to be held.
        default = fastest_precision(self._candidate.device) if held else "float32"
        self._precision: Precision = first_pass or default
        self._first_pass: FirstPass | None = None
        self._queries_until_coded = _QUERIES_WORTH_CODING if first_pass is None else 0
        on_cpu = self._candidate.device.type == "cpu"
        # A GPU wants large products; each tile makes the host wait for it once or twice.
        self._tiling = tiling or (Tiling() if on_cpu else Tiling(tile=1 << 18))

    def __len__(self) -> int:
        return len(self._candidate)

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
        check_search(query, k, embedding_dim=self._candidate.embedding_dim)
        k = min(k, len(self))
        first_pass = self._pass_for(len(query))
        size = max(1, min(_QUERIES_AT_A_TIME, _BEST_AT_A_TIME // k))
        parts = [
            self._search_block(block.to(self._candidate.device, torch.float32), k, first_pass)
            for block in query.detach().split(size)
        ]
        return Ranking(
            index=torch.cat([part.index for part in parts]).to(query.device),
            score=torch.cat([part.score for part in parts]).to(query.device),
        )

    def _pass_for(self, queries: int) -> FirstPass:
        self._queries_until_coded -= queries
        if self._first_pass is None and self._queries_until_coded <= 0:
            self._first_pass = (
                self._float_pass
                if self._precision == "float32"
                else CodedPass(self._candidate, self._precision)
            )
        return self._first_pass or self._float_pass

    def _search_block(self, query: Tensor, k: int, first_pass: FirstPass) -> Ranking:
        hits = find_hits(first_pass, query, k, count=len(self), tiling=self._tiling)
        row, column = self._within_float32(query, hits.row, hits.column, k)
        length = torch.bincount(row, minlength=len(query))
        long = length > max(_LONGEST_LIST, 4 * k)
        listed = ~long[row]
        best = self._settle(query, row[listed], column[listed], k)
        long[hits.overfull] = True
        left = long.nonzero().flatten()
        if len(left) and first_pass is not self._float_pass:
            again = self._search_block(query[left], k, self._float_pass)
            best.index[left], best.score[left] = again.index, again.score
        elif len(left):
            for at in left.tolist():
                wider = self._search_widely(query[at : at + 1], k)
                best.index[at], best.score[at] = wider.index[0], wider.score[0]
        return best

    def _settle(self, query: Tensor, row: Tensor, column: Tensor, k: int) -> Ranking:
        """The k best of each query's hits, which are sorted by query."""
        length = torch.bincount(row, minlength=len(query))
        width = max(k, int(length.max())) if len(query) else k
        place = torch.arange(len(row), device=row.device) - (length.cumsum(0) - length)[row]
        score = query.new_full((len(query), width), -torch.inf)
        index = torch.full_like(score, len(self), dtype=torch.int64)
        score[row, place] = score_pairs(self._candidate, query, row, column)
        index[row, place] = column
        return best_first(score, index, k)

    def _within_float32(
        self, query: Tensor, row: Tensor, column: Tensor, k: int
    ) -> tuple[Tensor, Tensor]:
        """The hits that float32 sums cannot tell from the k best.

        A GPU scores all of them in float64 sooner than it waits for the host once a query.
        """
        if query.device.type != "cpu":
            return row, column
        window = 2.0 * rounding_error(query.shape[1], query.device) + EQUAL_AFTER_ROUNDING
        length = torch.bincount(row, minlength=len(query)).tolist()
        kept: list[Tensor] = []
        for one, hit in zip(query, column.split(length), strict=True):
            if len(hit) > k:
                score = self._candidate.pick(hit) @ one
                hit = hit[score >= score.topk(k).values[-1] - window]
            kept.append(hit)
        number = torch.tensor([len(hit) for hit in kept], dtype=torch.int64, device=row.device)
        each = torch.arange(len(query), device=row.device)
        return each.repeat_interleave(number), torch.cat([column[:0], *kept])

    def _search_widely(self, query: Tensor, k: int) -> Ranking:
        """One query among all candidates that reach its k-th best product, however many."""
        tile = self._tiling.tile
        product = torch.cat(
            [
                self._float_pass.product(query, start, min(start + tile, len(self)))
                for start in range(0, len(self), tile)
            ],
            dim=1,
        )
        window = self._float_pass.prepare(query).window
        reach = product.topk(k, dim=1).values[:, -1:] - window
        column = (product >= reach)[0].nonzero().flatten()
        score = score_pairs(self._candidate, query, torch.zeros_like(column), column)
        return best_first(score.unsqueeze(0), column.unsqueeze(0), k)

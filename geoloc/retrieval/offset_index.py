"""Search by inner product plus an offset of each candidate, through any index of unit vectors."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.retrieval.index import NearestIndex, Ranking
from geoloc.retrieval.vectors import check_unit


class OffsetIndex:
    """The candidates of highest ``query @ vector + offset``, found by an index of unit vectors.

    A candidate v with offset b is searched as the unit vector (v, b, rest) / M, where M is the
    greatest length of (v, b) and `rest` fills up to it, and a query x as (x, 1, 0) / sqrt(2): their
    inner product is (x @ v + b) / (M sqrt(2)), so that order and ties are those of x @ v + b under
    every kind of index. Source: the reduction of maximum inner products to nearest neighbours,
    Bachrach et al. 2014 (RecSys, section 3.1); Neyshabur and Srebro 2015 (ICML, equation 7).

    Args:
        vector: of any length, one a candidate.
        offset: added to each candidate's inner products.
        build: makes the index of unit vectors, such as `build_index` with its kind given.

    Raises:
        ValueError: there are no candidates, or all of them are zero, offset and all.
    """

    def __init__(
        self,
        vector: Float[Tensor, "candidate embedding"],
        offset: Float[Tensor, " candidate"],
        build: Callable[[Tensor], NearestIndex],
    ) -> None:
        raised = torch.cat([vector.float(), offset.float().unsqueeze(1)], dim=1)
        square = torch.linalg.vector_norm(raised, dim=1, keepdim=True, dtype=torch.float64) ** 2
        if not len(square) or not float(square.max()) > 0.0:
            raise ValueError("an index needs at least one candidate that is not zero")
        rest = (square.max() - square).clamp(min=0.0).sqrt()
        length = math.sqrt(float(square.max()))
        self._inner = build(torch.cat([raised, rest.float()], dim=1) / length)
        self._stretch = length * math.sqrt(2.0)

    def __len__(self) -> int:
        return len(self._inner)

    def search(self, query: Float[Tensor, "query embedding"], k: int) -> Ranking:
        """The min(k, n) candidates of highest inner product plus offset, best first.

        Args:
            query: unit vectors on any device; the answer comes back on the same.
            k: how many to return for each.

        Raises:
            ValueError: k is below 1 or the widths differ.
            DataError: a query is not of length one.
        """
        check_unit(query, what="query")
        more = query.new_tensor([1.0, 0.0], dtype=torch.float32).expand(len(query), 2)
        raised = torch.cat([query.float(), more], dim=1) / math.sqrt(2.0)
        found = self._inner.search(raised, k)
        return Ranking(index=found.index, score=self._stretch * found.score)

"""The same search by faiss: its exact flat index behind our Protocol."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.retrieval.index import Ranking, best_first, check_search
from geoloc.retrieval.vectors import check_unit


def _faiss() -> Any:
    try:
        import faiss  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ConfigError(
            "faiss is not installed: `pip install 'geoloc[cpu]'` (or 'geoloc[gpu]'), "
            "or use the exact index, which needs nothing"
        ) from None
    return faiss


class FaissFlatIndex:
    """Exact inner-product search by faiss (`IndexFlatIP`; Johnson, Douze and Jégou 2017).

    Scores are those of float32 sums, so that near-equals may change places with `ExactIndex`;
    of candidates with equal scores the lower index comes first, but which of the equals of the
    k-th best are returned is up to faiss.

    Args:
        embedding: unit vectors, one a candidate.

    Raises:
        ConfigError: faiss is not installed.
        DataError: a vector is not of length one.
        ValueError: there are no candidates.
    """

    def __init__(self, embedding: Float[Tensor, "candidate embedding"]) -> None:
        faiss = _faiss()
        if not embedding.shape[0]:
            raise ValueError("an index needs at least one candidate")
        check_unit(embedding, what="candidate")
        self._dim = int(embedding.shape[1])
        self._index: Any = faiss.IndexFlatIP(self._dim)
        self._index.add(_rows(embedding))

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def search(self, query: Float[Tensor, "query embedding"], k: int) -> Ranking:
        """The min(k, n) candidates of highest cosine, best first.

        Args:
            query: unit vectors on any device; the answer comes back on the same.
            k: how many to return for each.

        Raises:
            ValueError: k is below 1 or the widths differ.
            DataError: a query is not of length one.
        """
        check_search(query, k, embedding_dim=self._dim)
        k = min(k, len(self))
        score, index = self._index.search(_rows(query), k)
        ranking = best_first(torch.from_numpy(score), torch.from_numpy(index), k)
        return Ranking(index=ranking.index.to(query.device), score=ranking.score.to(query.device))


def _rows(vectors: Tensor) -> np.ndarray:
    return np.ascontiguousarray(vectors.detach().cpu().float().numpy())

"""The rank of a query's own candidate among all candidates, as recall@k needs it."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from geoloc.retrieval.vectors import check_unit

# Scores held at a time: 64 MB in float32, whatever the number of candidates.
_SCORES_AT_A_TIME = 1 << 24


@torch.no_grad()
def own_place_ranks(
    query: Float[Tensor, "query embedding"],
    candidate: Float[Tensor, "candidate embedding"],
    own: Int64[Tensor, " query"],
) -> Int64[Tensor, " query"]:
    """The rank, from 1, of each query's own candidate by inner product.

    A candidate of exactly equal score counts as better when its index is lower, so that a model
    whose embeddings have collapsed gets chance, not a perfect score.

    Args:
        query: unit vectors.
        candidate: unit vectors, duplicates merged by the caller.
        own: which candidate is the query's own.

    Raises:
        DataError: a vector is not of length one.
        IndexError: `own` points outside the candidates.
    """
    check_unit(query, what="query")
    check_unit(candidate, what="candidate")
    count = candidate.shape[0]
    if own.numel() and not (int(own.min()) >= 0 and int(own.max()) < count):
        raise IndexError(f"own candidates must lie in 0..{count - 1}")
    candidate = candidate.float()
    index = torch.arange(count, device=candidate.device)
    rank = torch.empty_like(own)
    block = max(1, _SCORES_AT_A_TIME // max(1, count))
    for start in range(0, query.shape[0], block):
        rows = slice(start, start + block)
        mine = own[rows].to(candidate.device).unsqueeze(1)
        score = query[rows].to(candidate) @ candidate.T
        own_score = score.gather(1, mine)
        better = (score > own_score) | ((score == own_score) & (index < mine))
        rank[rows] = 1 + better.sum(dim=1).to(own.device)
    return rank

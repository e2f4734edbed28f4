"""From embeddings of queries to ranked places with scores and probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.retrieval import NearestIndex

BLOCK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedPlaces:
    """The best places of each query, best first.

    Attributes:
        index: rows of the gallery.
        score: cosines.
        probability: softmax of the scaled cosines over the whole gallery, at those rows.
    """

    index: Int64[np.ndarray, "query rank"]
    score: Float64[np.ndarray, "query rank"]
    probability: Float64[np.ndarray, "query rank"]


def log_normaliser(
    query: Float[Tensor, "query embedding"],
    gallery: Float[Tensor, "place embedding"],
    scale: float,
    *,
    offset: Float[Tensor, " place"] | None = None,
    block: int = BLOCK,
) -> Float[Tensor, " query"]:
    """Logarithm of the softmax's denominator: log of the sum of exp(scale * cosine) over places.

    The gallery is passed over in blocks, so memory does not grow with it; float32 sums inside a
    block, combined in float64 by log-add-exp. An offset is added to each place's cosines.
    """
    total = torch.full((len(query),), -torch.inf, dtype=torch.float64, device=query.device)
    for start in range(0, len(gallery), block):
        score = query @ gallery[start : start + block].T
        logits = scale * (score if offset is None else score + offset[start : start + block])
        total = torch.logaddexp(total, torch.logsumexp(logits, dim=1).double())
    return total


def rank_places(
    query: Float[Tensor, "query embedding"],
    gallery: Float[Tensor, "place embedding"],
    index: NearestIndex,
    *,
    scale: float,
    top_k: int,
    offset: Float[Tensor, " place"] | None = None,
) -> RankedPlaces:
    """The `top_k` places of each query with their probabilities.

    Args:
        query: embeddings of the images, of length one.
        gallery: embeddings of the places, of length one, in the order that `index` searches.
        index: finds the nearest rows of the gallery.
        scale: the model's learned factor on the cosine (one over the temperature).
        top_k: how many places a query.
        offset: what the index adds to each place's cosines (see `geoloc.retrieval.Candidates`).
    """
    ranking = index.search(query, top_k)
    score = torch.as_tensor(ranking.score).double().cpu()
    normaliser = log_normaliser(query, gallery, scale, offset=offset).cpu()
    probability = torch.exp(scale * score - normaliser[:, None]).clamp(max=1.0)
    return RankedPlaces(
        index=torch.as_tensor(ranking.index).cpu().numpy(),
        score=score.numpy(),
        probability=probability.numpy(),
    )

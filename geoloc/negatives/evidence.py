"""Evidence: what is known of each (query, candidate) pair before a rule judges it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from geoloc.geodesy import pairwise_great_circle_km
from geoloc.pairs import PairEvidence


@runtime_checkable
class Expectation(Protocol):
    """What a fitted semivariogram expects of two places: lag in km to dissimilarity."""

    def __call__(
        self, lag_km: Float[Tensor, "query candidate"], /
    ) -> Float[Tensor, "query candidate"]:
        """The expected dissimilarity at each lag."""
        ...


@torch.no_grad()
def observe(
    query_latlon_deg: Float[Tensor, "query 2"],
    candidate_latlon_deg: Float[Tensor, "candidate 2"],
    own: Bool[Tensor, "query candidate"],
    *,
    query_feature: Float[Tensor, "query feature"] | None = None,
    candidate_feature: Float[Tensor, "candidate feature"] | None = None,
    expectation: Expectation | None = None,
) -> PairEvidence:
    """Lag, and where there are features and a fit also observed and expected dissimilarity.

    Everything is measured without gradient, so no verdict can be bought by moving an embedding.

    Args:
        query_latlon_deg: clean places of the queries (no augmentation noise), degrees.
        candidate_latlon_deg: clean places of the candidates, degrees.
        own: True where a candidate is the query's own place.
        query_feature: features of the query images; any length, normalised here.
        candidate_feature: features of the candidates' images; a row of NaN stands for a candidate
            whose image is not known, and its column of `observed` is NaN.
        expectation: what the fitted semivariogram expects at a lag; None before the first fit.

    Returns:
        The evidence. `observed` is 1 - cosine, which for unit vectors is half their squared
        distance, so that its mean over pairs at one lag is Matheron's semivariance.

    Source: Matheron (1963), eq. for the semivariogram, applied to unit feature vectors.
    """
    lag_km = pairwise_great_circle_km(query_latlon_deg, candidate_latlon_deg)
    observed = None
    if query_feature is not None and candidate_feature is not None:
        query = functional.normalize(query_feature.float(), dim=-1)
        candidate = functional.normalize(candidate_feature.float(), dim=-1)
        # Products of float32 unit vectors may pass 1 by rounding; a dissimilarity is never < 0.
        observed = (1.0 - query @ candidate.T).clamp(min=0.0)
    expected = None if expectation is None else expectation(lag_km)
    return PairEvidence(lag_km=lag_km, own=own, observed=observed, expected=expected)

"""Evidence: what is known of each (query, candidate) pair before a rule judges it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from geoloc.geodesy import pairwise_great_circle_km
from geoloc.pairs import PairEvidence


@runtime_checkable
class Expectation(Protocol):
    """What a fitted semivariogram expects of pairs; `ExpectedSemivariance` is one."""

    @property
    def sill(self) -> float:
        """Expected dissimilarity of places far apart."""
        ...

    @property
    def effective_range_km(self) -> float:
        """Lag at 95 % of the sill."""
        ...

    @property
    def has_structure(self) -> bool:
        """False where dissimilarity does not grow with lag: then nothing is expected."""
        ...

    def judge(
        self,
        query_latlon_deg: Float[Tensor, "query 2"],
        lag_km: Float[Tensor, "query candidate"],
        observed: Float[Tensor, "query candidate"],
    ) -> Judgement:
        """What is expected of each pair, and how unusual what was observed is."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What a semivariogram says of pairs: see the fields of the same names in `PairEvidence`."""

    expected: Float[Tensor, "query candidate"]
    score: Float[Tensor, "query candidate"]
    spread: Float[Tensor, "query candidate"]


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
        expectation: the fitted semivariogram; None before the first fit. One without structure
            (a flat curve) expects nothing, and then no pair can be flagged.

    Returns:
        The evidence. `observed` is 1 - cosine, which for unit vectors is half their squared
        distance, so that its mean over pairs at one lag is Matheron's semivariance.

    Source: Matheron (1963), eq. for the semivariogram, applied to unit feature vectors.
    """
    lag_km = pairwise_great_circle_km(query_latlon_deg, candidate_latlon_deg)
    observed = None
    if query_feature is not None and candidate_feature is not None:
        with torch.autocast(lag_km.device.type, enabled=False):
            query = functional.normalize(query_feature.float(), dim=-1)
            candidate = functional.normalize(candidate_feature.float(), dim=-1)
            # Products of float32 unit vectors may pass 1 by rounding; no dissimilarity is < 0.
            observed = (1.0 - query @ candidate.T).clamp(min=0.0)
    if expectation is None or not expectation.has_structure:
        return PairEvidence(lag_km=lag_km, own=own, observed=observed)
    unseen = torch.full_like(lag_km, torch.nan, dtype=torch.float32)
    judgement = expectation.judge(
        query_latlon_deg, lag_km, unseen if observed is None else observed
    )
    return PairEvidence(
        lag_km=lag_km,
        own=own,
        observed=observed,
        expected=judgement.expected,
        score=judgement.score,
        spread=judgement.spread,
        sill=expectation.sill,
        effective_range_km=expectation.effective_range_km,
    )

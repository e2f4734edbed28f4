"""Evidence: what is known of each (query, candidate) pair before a rule judges it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol, runtime_checkable

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


class UnreadEvidence(PairEvidence):
    """Evidence whose parts are computed when they are first read: no rule reads all of them.

    Args:
        own: True where a candidate is the query's own place.
        parts: what gives each of the other fields.
    """

    __slots__ = ("_parts",)

    @classmethod
    def of(
        cls, own: Bool[Tensor, "query candidate"], parts: Mapping[str, Callable[[], Any]]
    ) -> UnreadEvidence:
        """Evidence with these parts, none of them computed yet."""
        evidence = cls.__new__(cls)
        object.__setattr__(evidence, "own", own)
        object.__setattr__(evidence, "_parts", parts)
        return evidence

    def __getattr__(self, name: str) -> Any:
        # Asked only for a slot that is still empty.
        parts: Mapping[str, Callable[[], Any]] = object.__getattribute__(self, "_parts")
        if name not in parts:
            raise AttributeError(name)
        with torch.no_grad():
            value = parts[name]()
        object.__setattr__(self, name, value)
        return value


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

    Everything is measured without gradient, so no verdict can be bought by moving an embedding, and
    only what a rule reads is measured at all (plain GeoCLIP's reads `own` alone).

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
    features = None
    if query_feature is not None and candidate_feature is not None:
        features = (query_feature, candidate_feature)
    judging = expectation if expectation is not None and expectation.has_structure else None
    parts = _parts(query_latlon_deg, candidate_latlon_deg, features, judging)
    return UnreadEvidence.of(own, parts)


def _parts(
    query_latlon_deg: Float[Tensor, "query 2"],
    candidate_latlon_deg: Float[Tensor, "candidate 2"],
    features: tuple[Tensor, Tensor] | None,
    judging: Expectation | None,
) -> dict[str, Callable[[], Any]]:
    """What gives each part of the evidence when it is asked for; nothing is computed twice."""

    @cache
    def lag_km() -> Tensor:
        return pairwise_great_circle_km(query_latlon_deg, candidate_latlon_deg)

    @cache
    def observed() -> Tensor | None:
        return None if features is None else _dissimilarity(*features)

    parts: dict[str, Callable[[], Any]] = {"lag_km": lag_km, "observed": observed}
    if judging is None:
        nothing = ("expected", "score", "spread", "sill", "effective_range_km")
        return parts | dict.fromkeys(nothing, lambda: None)

    @cache
    def judgement() -> Judgement:
        seen = observed()
        if seen is None:
            seen = torch.full_like(lag_km(), torch.nan, dtype=torch.float32)
        return judging.judge(query_latlon_deg, lag_km(), seen)

    return parts | {
        "expected": lambda: judgement().expected,
        "score": lambda: judgement().score,
        "spread": lambda: judgement().spread,
        "sill": lambda: judging.sill,
        "effective_range_km": lambda: judging.effective_range_km,
    }


def _dissimilarity(
    query_feature: Float[Tensor, "query feature"],
    candidate_feature: Float[Tensor, "candidate feature"],
) -> Float[Tensor, "query candidate"]:
    """1 - cosine, in float32 also under autocast."""
    with torch.autocast(query_feature.device.type, enabled=False):
        query = functional.normalize(query_feature.float(), dim=-1)
        candidate = functional.normalize(candidate_feature.float(), dim=-1)
        # Products of float32 unit vectors may pass 1 by rounding; no dissimilarity is < 0.
        return (1.0 - query @ candidate.T).clamp(min=0.0)

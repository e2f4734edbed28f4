"""PairEvidence and PairFlags: the seam between what is seen of a pair and what the loss does."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PairEvidence:
    """What is known of each (query, candidate) pair before a verdict.

    Attributes:
        lag_km: great-circle distance between the clean places of query and candidate, in km.
        own: True where the candidate is the query's own place (the positive of plain GeoCLIP).
        observed: dissimilarity of the two images' features; None without a feature to compare, NaN
            where one of the two is unknown.
        expected: what the fitted semivariogram expects at that lag; None before the first fit.
        score: share of pairs at that lag that are less dissimilar, in [0, 1]; near 0 for a pair
            more alike than its lag lets expect; NaN where `observed` is; None without both.
        spread: standard deviation of the dissimilarity of pairs at that lag.
        sill: what the semivariogram expects of places far apart.
        effective_range_km: lag at 95 % of the sill.
    """

    lag_km: Float[Tensor, "query candidate"]
    own: Bool[Tensor, "query candidate"]
    observed: Float[Tensor, "query candidate"] | None = None
    expected: Float[Tensor, "query candidate"] | None = None
    score: Float[Tensor, "query candidate"] | None = None
    spread: Float[Tensor, "query candidate"] | None = None
    sill: float | None = None
    effective_range_km: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairFlags:
    """The verdict on each pair, all that a loss may read besides the logits.

    A pair in neither mask is ignored. The `weight` of a negative multiplies its term inside the sum
    of exponentials (its logarithm is added to the logit), so a weight above one always makes a
    negative count more, whatever the sign of its cosine. The weight of a positive is its share: the
    query's own place has 1, and a place that is nearly as good an answer may have a part of that.
    None is a weight of 1 for every pair, which losses can do with less arithmetic.
    """

    positive: Bool[Tensor, "query candidate"]
    negative: Bool[Tensor, "query candidate"]
    weight: Float[Tensor, "query candidate"] | None = None

    def weights(self) -> Float[Tensor, "query candidate"]:
        """The weight of every pair, written out where it is 1 for all."""
        if self.weight is None:
            return torch.ones_like(self.positive, dtype=torch.float32)
        return self.weight

    def check(self) -> None:
        """Raise ValueError unless the verdict is consistent (reads the device: for tests)."""
        if bool((self.positive & self.negative).any()):
            raise ValueError("a pair is flagged both positive and negative")
        if not bool(self.positive.any(dim=1).all()):
            raise ValueError("a query has no positive")
        if not bool((torch.isfinite(self.weights()) & (self.weights() >= 0)).all()):
            raise ValueError("a weight is negative or not finite")

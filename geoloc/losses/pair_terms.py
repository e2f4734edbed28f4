"""PairLoss and PairTerms: a loss over flagged pairs by way of sums that merge.

What a loss needs to know of a query's candidates is a few sums over them. Sums over some of the
candidates and sums over the others merge, so the same loss can be had from a whole pair matrix,
from tiles of it that never exist at once, or from the parts that several processes hold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geoloc.pairs import PairFlags


@dataclass(frozen=True, slots=True)
class PairTerms:
    """Sums over the candidates of each query.

    Attributes:
        log_sums: logarithms of sums, merged by log-sum-exp; the lowest finite number, not -inf,
            stands for the logarithm of nothing.
        sums: merged by addition.
    """

    log_sums: Float[Tensor, "kind_of_log query"]
    sums: Float[Tensor, "kind_of_sum query"]

    def merged(self, other: PairTerms) -> PairTerms:
        """The sums over the candidates of both."""
        return PairTerms(torch.logaddexp(self.log_sums, other.log_sums), self.sums + other.sums)


@runtime_checkable
class PairLoss(Protocol):
    """A loss over pairs. Called with logits and flags it gives the mean over the queries.

    A query that cannot be scored (it has no positive) gives no gradient and does not count.
    """

    def terms(self, logits: Float[Tensor, "query candidate"], flags: PairFlags, /) -> PairTerms:
        """The sums over each query's candidates; logits are widened to float32 at least."""
        ...

    def per_query(
        self, terms: PairTerms, /
    ) -> tuple[Float[Tensor, " query"], Bool[Tensor, " query"]]:
        """The loss of each query, 0 where it cannot be scored, and whether it can."""
        ...

    def __call__(
        self, logits: Float[Tensor, "query candidate"], flags: PairFlags, /
    ) -> Float[Tensor, ""]:
        """The mean over the queries that can be scored."""
        ...


class MeanOverQueries:
    """Gives a loss that has `terms` and `per_query` its mean over a whole pair matrix."""

    def __call__(
        self: PairLoss, logits: Float[Tensor, "query candidate"], flags: PairFlags, /
    ) -> Float[Tensor, ""]:
        """The mean over the queries that can be scored."""
        loss, scored = self.per_query(self.terms(logits, flags))
        return loss.sum() / scored.sum().clamp(min=1)


def wide(logits: Tensor) -> Tensor:
    """Logits in float32 or wider: sums of exponentials in bfloat16 say nothing."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32))


def weighted_log_sum_exp(
    values: Float[Tensor, "query candidate"], weight: Float[Tensor, "query candidate"]
) -> Float[Tensor, " query"]:
    """Logarithm of the sum of weight times exponential; what has a weight of 0 is not there."""
    # The lowest finite number, not -inf: a row with nothing in it then has a finite gradient.
    log_weight = weight.log().clamp_(min=torch.finfo(values.dtype).min)
    return torch.logsumexp(values + log_weight, dim=1)


def log_sum_exp_of(
    values: Float[Tensor, "query candidate"], present: Bool[Tensor, "query candidate"]
) -> Float[Tensor, " query"]:
    """Logarithm of the sum of exponentials of what is present."""
    return torch.logsumexp(values.masked_fill(~present, torch.finfo(values.dtype).min), dim=1)


def transposed(flags: PairFlags, count: int) -> PairFlags:
    """The flags of the first `count` candidates as queries, whose candidates the queries are."""
    return PairFlags(
        positive=flags.positive[:, :count].T,
        negative=flags.negative[:, :count].T,
        weight=None if flags.weight is None else flags.weight[:, :count].T,
    )

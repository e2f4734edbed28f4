"""The sigmoid loss: every pair by itself is right or wrong."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from geoloc.losses.pair_terms import MeanOverQueries, PairTerms, wide
from geoloc.pairs import PairFlags


class SigmoidLoss(MeanOverQueries):
    """Mean over queries of ``sum_pos w softplus(-l) + sum_neg w softplus(l)``.

    No pair is normalised by others, so tiles and processes need to know nothing of one another.
    The model must have a logit bias (around -10 at first): without one, the many negatives push
    every logit down before anything is learned. Weights multiply a pair's term; pairs in neither
    mask are ignored. It reads the same in both directions.

    Source: Zhai, Mustafa, Kolesnikov, Beyer (2023), SigLIP, equation 1 and section 3.1.
    """

    def terms(self, logits: Float[Tensor, "query candidate"], flags: PairFlags, /) -> PairTerms:
        """The sum over the pairs of each query, and the number of its positives."""
        values = wide(logits)
        signed = torch.where(flags.positive, -values, values)
        present = flags.positive | flags.negative
        each = functional.softplus(signed)
        if flags.weight is not None:
            each = flags.weight.detach().to(values.dtype) * each
        cost = torch.where(present, each, 0.0).sum(dim=1)
        none = cost.new_empty((0, len(cost)))
        return PairTerms(none, torch.stack([cost, flags.positive.sum(dim=1, dtype=cost.dtype)]))

    def per_query(
        self, terms: PairTerms, /
    ) -> tuple[Float[Tensor, " query"], Bool[Tensor, " query"]]:
        """The loss of each query; every one counts, also one that has no positive."""
        return terms.sums[0], torch.ones_like(terms.sums[0], dtype=torch.bool)


sigmoid_loss = SigmoidLoss()

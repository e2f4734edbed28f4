"""Contrastive cross-entropy over flagged, weighted pairs."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geoloc.losses.pair_terms import (
    MeanOverQueries,
    PairTerms,
    log_sum_exp_of,
    weighted_log_sum_exp,
    wide,
)
from geoloc.pairs import PairFlags


class ContrastiveLoss(MeanOverQueries):
    """Mean over queries of ``-log(sum_pos w e^l / (sum_pos w e^l + sum_neg w e^l))``.

    Logarithms of the weights are added to the logits inside a float32 (or wider) log-sum-exp, so
    a weight above one makes a negative count more at any sign of its logit. A weight of zero is
    the same as absence; pairs in neither mask are ignored; no gradient flows into the weights.
    A query without negatives gives zero. A query that has no positive of positive weight cannot
    be scored.

    Source: with one positive a query and every other pair a negative of weight 1 it is InfoNCE
    (van den Oord, Li, Vinyals 2018, equation 4), the image-to-place loss of GeoCLIP (Vivanco
    Cepeda, Nayak, Shah 2023, section 3.3).
    """

    def terms(self, logits: Float[Tensor, "query candidate"], flags: PairFlags, /) -> PairTerms:
        """Log-sums over what is present and over the positives; the number of positives."""
        values = wide(logits)
        if flags.weight is None:
            masks = (flags.positive | flags.negative, flags.positive)
            log_sums = torch.stack([log_sum_exp_of(values, mask) for mask in masks])
            return PairTerms(log_sums, flags.positive.sum(dim=1, dtype=values.dtype)[None])
        weight = flags.weight.detach().to(values.dtype)
        positive = torch.where(flags.positive, weight, 0.0)
        present = torch.where(flags.negative, weight, positive)
        log_sums = [weighted_log_sum_exp(values, each) for each in (present, positive)]
        return PairTerms(torch.stack(log_sums), (positive > 0).sum(dim=1, dtype=values.dtype)[None])

    def per_query(
        self, terms: PairTerms, /
    ) -> tuple[Float[Tensor, " query"], Bool[Tensor, " query"]]:
        """The loss of each query, and whether it has a positive."""
        present, positive = terms.log_sums
        scored = terms.sums[0] > 0
        return torch.where(scored, present - positive, 0.0), scored


class GradedContrastiveLoss(MeanOverQueries):
    """Mean over queries of the cross-entropy against a target spread over several positives.

    The target of a positive is its weight over the sum of its row's positive weights. In the
    denominator positives count once and negatives by their weights, as in `ContrastiveLoss`, which
    this is equal to where each query has one positive of weight 1. Where there are several the two
    differ: here each positive must be found, there it is enough to find one.

    Source: label smoothing over near places, as in Haas, Skreta, Alberti, Finn (2023), PIGEON,
    equation 2; the form of the loss is L_out of Khosla et al. (2020), equation 2, with weights.
    """

    def terms(self, logits: Float[Tensor, "query candidate"], flags: PairFlags, /) -> PairTerms:
        """Log-sum over what is present; sums of the shares and of the logits by share."""
        values = wide(logits)
        if flags.weight is None:
            normalizer = log_sum_exp_of(values, flags.positive | flags.negative)
            total = flags.positive.sum(dim=1, dtype=values.dtype)
            found = torch.where(flags.positive, values, 0.0).sum(dim=1)
            return PairTerms(normalizer[None], torch.stack([total, found]))
        weight = flags.weight.detach().to(values.dtype)
        share = torch.where(flags.positive, weight, 0.0)
        present = torch.where(flags.negative, weight, flags.positive.to(weight.dtype))
        normalizer = weighted_log_sum_exp(values, present)
        found = (share * values).sum(dim=1)
        return PairTerms(normalizer[None], torch.stack([share.sum(dim=1), found]))

    def per_query(
        self, terms: PairTerms, /
    ) -> tuple[Float[Tensor, " query"], Bool[Tensor, " query"]]:
        """The loss of each query, and whether it has a positive share."""
        (normalizer,), (total, found) = terms.log_sums, terms.sums
        scored = total > 0
        mean = found / total.clamp(min=torch.finfo(total.dtype).tiny)
        return torch.where(scored, normalizer - mean, 0.0), scored


contrastive_loss = ContrastiveLoss()
graded_contrastive_loss = GradedContrastiveLoss()

"""Contrastive cross-entropy over flagged, weighted pairs, one way and both ways."""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geoloc.pairs import PairFlags


def contrastive_loss(
    logits: Float[Tensor, "query candidate"], flags: PairFlags
) -> Float[Tensor, ""]:
    """Mean over queries of ``-log(sum_pos w e^l / (sum_pos w e^l + sum_neg w e^l))``.

    Logarithms of the weights are added to the logits inside a float32 (or wider) log-sum-exp, so
    a weight above one makes a negative count more at any sign of its logit. A weight of zero is
    the same as absence; pairs in neither mask are ignored; no gradient flows into the weights.
    A query without negatives gives zero. A query that has no positive of positive weight cannot
    be scored: it gives no gradient and does not count in the mean.

    Source: with one positive a query and every other pair a negative of weight 1 it is InfoNCE
    (van den Oord, Li, Vinyals 2018, equation 4), the image-to-place loss of GeoCLIP (Vivanco
    Cepeda, Nayak, Shah 2023, section 3.3).
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    weight = flags.weight.detach().to(wide.dtype)
    weighted = wide + weight.log()
    positive = flags.positive & (weight > 0)
    present = positive | (flags.negative & (weight > 0))
    positive_sum = _masked_log_sum_exp(weighted, positive)
    scored = positive.any(dim=1)
    loss = torch.where(scored, _masked_log_sum_exp(weighted, present) - positive_sum, 0.0)
    return loss.sum() / scored.sum().clamp(min=1)


def graded_contrastive_loss(
    logits: Float[Tensor, "query candidate"], flags: PairFlags
) -> Float[Tensor, ""]:
    """Mean over queries of the cross-entropy against a target spread over several positives.

    The target of a positive is its weight over the sum of its row's positive weights. In the
    denominator positives count once and negatives by their weights, as in `contrastive_loss`, which
    this is equal to where each query has one positive of weight 1. Where there are several the two
    differ: here each positive must be found, there it is enough to find one.

    Source: label smoothing over near places, as in Haas, Skreta, Alberti, Finn (2023), PIGEON,
    equation 2; the form of the loss is L_out of Khosla et al. (2020), equation 2, with weights.
    """
    wide = logits.to(torch.promote_types(logits.dtype, torch.float32))
    weight = flags.weight.detach().to(wide.dtype)
    share = torch.where(flags.positive, weight, 0.0)
    total = share.sum(dim=1)
    log_weight = torch.where(flags.negative, weight, 1.0).log()
    present = flags.positive | (flags.negative & (weight > 0))
    normalizer = _masked_log_sum_exp(wide + log_weight, present)
    target = share / total.clamp(min=torch.finfo(wide.dtype).tiny)[:, None]
    found = torch.where(share > 0, target * wide, 0.0).sum(dim=1)
    scored = total > 0
    return torch.where(scored, normalizer - found, 0.0).sum() / scored.sum().clamp(min=1)


def symmetric_contrastive_loss(
    logits: Float[Tensor, "query candidate"],
    flags: PairFlags,
    batch_size: int | None = None,
    *,
    one_way: Callable[[Tensor, PairFlags], Tensor] = contrastive_loss,
) -> Float[Tensor, ""]:
    """Mean of image-to-place over all candidates and place-to-image within the batch.

    The first `batch_size` candidates (default: as many as there are queries) must be the places
    of the queries in the same order. Later candidates, such as a queue of places, have no image
    in the batch and so take part in the first term only.

    Source: Radford et al. 2021 (CLIP), figure 3, for the case without further candidates.

    Raises:
        ValueError: there are fewer candidates than `batch_size`.
    """
    count = logits.shape[0] if batch_size is None else batch_size
    if logits.shape[1] < count:
        raise ValueError(f"{logits.shape[1]} candidates cannot hold the places of {count} queries")
    transposed = PairFlags(
        positive=flags.positive[:, :count].T,
        negative=flags.negative[:, :count].T,
        weight=flags.weight[:, :count].T,
    )
    to_places = one_way(logits, flags)
    to_images = one_way(logits[:, :count].T, transposed)
    return (to_places + to_images) / 2


def _masked_log_sum_exp(
    values: Float[Tensor, "query candidate"], mask: Bool[Tensor, "query candidate"]
) -> Float[Tensor, " query"]:
    # The lowest finite number, not -inf: a row with nothing in it then has a finite gradient.
    lowest = torch.finfo(values.dtype).min
    return torch.logsumexp(torch.where(mask, values, lowest), dim=1)

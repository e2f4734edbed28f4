"""Cross-entropy of geocells, beside a loss over pairs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.losses.pair_terms import wide


def cell_cross_entropy(
    logits: Float[Tensor, "query cell"], target: Float[Tensor, "query cell"]
) -> Float[Tensor, " query"]:
    """The cross-entropy of each query's cells against shares that sum to one.

    Args:
        logits: of the cells; widened to float32 at least.
        target: the share of each cell, one for the true cell or spread over near ones.
    """
    return -(target.detach() * torch.log_softmax(wide(logits), dim=1)).sum(dim=1)

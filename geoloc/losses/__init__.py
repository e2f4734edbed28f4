"""Losses: they read logits and PairFlags, nothing else."""

from geoloc.losses.cells import cell_cross_entropy
from geoloc.losses.contrastive import (
    ContrastiveLoss,
    GradedContrastiveLoss,
    contrastive_loss,
    graded_contrastive_loss,
)
from geoloc.losses.pair_terms import MeanOverQueries, PairLoss, PairTerms, transposed, wide
from geoloc.losses.sigmoid import SigmoidLoss, sigmoid_loss

__all__ = [
    "ContrastiveLoss",
    "GradedContrastiveLoss",
    "MeanOverQueries",
    "PairLoss",
    "PairTerms",
    "SigmoidLoss",
    "cell_cross_entropy",
    "contrastive_loss",
    "graded_contrastive_loss",
    "sigmoid_loss",
    "transposed",
    "wide",
]

"""Losses: they read logits and PairFlags, nothing else."""

from geoloc.losses.contrastive import (
    contrastive_loss,
    graded_contrastive_loss,
    symmetric_contrastive_loss,
)

__all__ = ["contrastive_loss", "graded_contrastive_loss", "symmetric_contrastive_loss"]

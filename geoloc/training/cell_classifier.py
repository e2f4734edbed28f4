"""A linear classifier of cells on frozen features: what a partition is worth as classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from geoloc.losses import cell_cross_entropy
from geoloc.training.cell_task import cell_targets


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassifierSettings:
    """How the classifier is trained.

    Attributes:
        epochs: passes over the places.
        batch_size: places at a time.
        learning_rate: of AdamW, falling as a half cosine.
        weight_decay: likewise.
        smoothing_km: of the targets (`cell_targets`).
        seed: of the weights and of the order.
    """

    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    smoothing_km: float = 0.0
    seed: int = 0


def train_cell_classifier(
    feature: Float[Tensor, "place feature"],
    latlon_deg: Float[Tensor, "place 2"],
    cell: Int64[Tensor, " place"],
    centre_deg: Float[Tensor, "cell 2"],
    *,
    settings: ClassifierSettings,
) -> nn.Module:
    """From features to logits of cells; standardises features by those it is trained on.

    Args:
        feature: of training places.
        latlon_deg: the places.
        cell: of each.
        centre_deg: of the cells.
        settings: how.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    mean, deviation = feature.mean(dim=0), feature.std(dim=0).clamp(min=1e-6)
    linear = nn.Linear(feature.shape[1], len(centre_deg))
    nn.init.trunc_normal_(linear.weight, std=feature.shape[1] ** -0.5, generator=generator)
    nn.init.zeros_(linear.bias)
    optimizer = torch.optim.AdamW(
        linear.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    steps = settings.epochs * -(-len(feature) // settings.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(settings.epochs):
        order = torch.randperm(len(feature), generator=generator)
        for rows in order.split(settings.batch_size):
            target = cell_targets(
                latlon_deg[rows], cell[rows], centre_deg, smoothing_km=settings.smoothing_km
            )
            logits = linear((feature[rows] - mean) / deviation)
            loss = cell_cross_entropy(logits, target).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    with torch.no_grad():
        # the standardisation becomes part of the weights
        linear.weight.div_(deviation)
        linear.bias.sub_(linear.weight @ mean)
    return linear.eval()

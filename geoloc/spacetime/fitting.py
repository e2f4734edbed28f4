"""Fitting a network of places: Nadam, one cycle of learning rates, an early stop."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from geoloc.errors import TrainingError


@dataclass(frozen=True, slots=True, kw_only=True)
class FitSettings:
    """How a network is fitted.

    Attributes:
        epochs: times that all rows are shown, at most.
        batch: rows a step.
        learning_rate: the greatest, in the middle of its cycle.
        patience: epochs without a better validation after which fitting ends.
    """

    epochs: int = 300
    batch: int = 128
    learning_rate: float = 5e-3
    patience: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FitDiary:
    """What a fit went through.

    Attributes:
        validation: mean absolute error after each epoch.
        best_epoch: whose weights were kept, from 0.
        steps: of the optimizer.
    """

    validation: tuple[float, ...]
    best_epoch: int
    steps: int


def fit_network(
    network: nn.Module,
    rows: int,
    *,
    loss: Callable[[Tensor], Tensor],
    validation: Callable[[], float],
    settings: FitSettings,
    seed: int,
) -> FitDiary:
    """Fit a network in place, and leave it with the weights that did best in validation.

    Args:
        network: whose parameters are fitted.
        rows: samples there are.
        loss: of the samples with these numbers, to be made small.
        validation: the error on samples that no gradient comes from; called after each epoch.
        settings: see `FitSettings`.
        seed: of the order of the samples.

    Raises:
        TrainingError: the error is not finite.

    Source: T. Dozat, "Incorporating Nesterov Momentum into Adam", ICLR workshop 2016; L. N. Smith,
    "A disciplined approach to neural network hyper-parameters", 2018 (one cycle).
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.NAdam(network.parameters(), lr=settings.learning_rate)
    steps = -(-rows // settings.batch)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=settings.epochs * steps
    )
    best, best_state, told = float("inf"), copy.deepcopy(network.state_dict()), list[float]()
    for epoch in range(settings.epochs):
        network.train()
        for numbers in torch.randperm(rows, generator=generator).split(settings.batch):
            optimizer.zero_grad()
            loss(numbers).backward()
            optimizer.step()
            cycle.step()
        network.eval()
        with torch.no_grad():
            told.append(validation())
        if not torch.isfinite(torch.tensor(told[-1])):
            raise TrainingError(f"the network's error is {told[-1]} after {epoch + 1} epochs")
        if told[-1] < best:
            best, best_state = told[-1], copy.deepcopy(network.state_dict())
        elif len(told) - 1 - told.index(best) >= settings.patience:
            break
    network.load_state_dict(best_state)
    return FitDiary(validation=tuple(told), best_epoch=told.index(best), steps=steps * len(told))

"""Stepper: one optimizer step over a few accumulated batches, and what is counted of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from geoloc.batch import GeoBatch
from geoloc.models import DualEncoder
from geoloc.training.optimization import GuardedOptimizer
from geoloc.training.seeding import derive_seed, step_generator
from geoloc.training.settings import TrainerSettings
from geoloc.training.step import Objective, StepOutcome, contrastive_step
from geoloc.training.telemetry import RunningMeans


@dataclass(frozen=True, slots=True, kw_only=True)
class StepReport:
    """What was counted since the last look.

    Attributes:
        means: of the logged values over the steps that were not skipped.
        skipped_steps: steps left out since the run began.
        longest_skipped_row: the most steps left out in a row since the last look.
    """

    means: dict[str, float]
    skipped_steps: int
    longest_skipped_row: int


class _Step(nn.Module):
    """The step as a module: what averages gradients over processes wants one to stand around."""

    def __init__(self, model: DualEncoder, objective: Objective) -> None:
        super().__init__()
        self._model = model
        self._objective = objective

    def forward(self, batch: GeoBatch, noise: torch.Generator) -> StepOutcome:
        return contrastive_step(self._model, batch, self._objective, generator=noise)


class Stepper:
    """Moves the weights; keeps counts on the device, so that no step waits for it.

    With several processes gradients are averaged over them while they are computed, and every
    process moves its copy of the weights alike.

    Args:
        model: on the settings' device already.
        objective: candidates, rule and loss.
        settings: seed, precision, optimizer.

    Raises:
        TrainingError: the model has nothing to train.
    """

    def __init__(self, model: DualEncoder, objective: Objective, settings: TrainerSettings) -> None:
        self._model = model
        self._objective = objective
        self._settings = settings
        self._device = torch.device(settings.device)
        self._optimizer = GuardedOptimizer(model, settings.optimizer)
        self._step: nn.Module = _Step(model, objective)
        if objective.tiling.ranks.size > 1:
            self._step = DistributedDataParallel(self._step)
        # Processes see different images and are to drop out different units.
        rank = objective.tiling.ranks.rank
        self._model_stream = ("model", rank) if rank else ("model",)
        self._means = RunningMeans()
        # Skipped in all, skipped in a row just now, longest such row since the last look.
        self._skipped = torch.zeros(3, dtype=torch.float64, device=self._device)

    def take(self, group: Sequence[GeoBatch], *, step: int, factor: float) -> None:
        """One optimizer step on the mean gradient of the group's batches.

        Args:
            group: batches, each contrasted with its own negatives and weighing the same.
            step: number of this step over the whole run; every random draw depends on it.
            factor: of the learning rate.
        """
        seed = self._settings.seed
        # Dropout and its like draw from the global generator, so that is set by step as well.
        torch.manual_seed(derive_seed(seed, step, *self._model_stream))
        noise = step_generator(seed, step, "noise", device=self._device)
        self._optimizer.zero_grad()
        totals: dict[str, Tensor] = {}
        for number, batch in enumerate(group, start=1):
            if self._objective.cells is not None:
                batch = self._objective.cells.labelled(batch)
            with self._averaging(last=number == len(group)):
                values = self._backward(batch.to(self._device), noise, len(group))
            for name, value in values.items():
                totals[name] = totals[name] + value if name in totals else value
        totals["gradient_norm"], skipped = self._optimizer.step(totals["loss"], factor=factor)
        self._model.clamp_temperature()
        self._means.add(totals, valid=1.0 - skipped)
        self._count(skipped)

    def _backward(self, batch: GeoBatch, noise: torch.Generator, share: int) -> dict[str, Tensor]:
        """Add the gradient of one batch; its values, divided by the batches of the group."""
        bf16 = self._settings.precision == "bf16"
        with torch.autocast(self._device.type, torch.bfloat16, enabled=bf16):
            outcome: StepOutcome = self._step(batch, noise)
        # Under bf16 too the backward pass runs outside autocast, as torch advises.
        (outcome.loss / share).backward()
        seen, bank = outcome.seen, self._objective.bank
        self._objective.source.update(seen)
        if bank is not None and seen.feature is not None:
            bank.put(seen.key, seen.latlon_deg, seen.feature)
        values = {"loss": outcome.loss.detach(), **outcome.values}
        return {name: value / share for name, value in values.items()}

    def _averaging(self, *, last: bool) -> AbstractContextManager[None]:
        """Gradients are averaged over processes once a step, with the last batch of its group."""
        if last or not isinstance(self._step, DistributedDataParallel):
            return nullcontext()
        return self._step.no_sync()

    def _count(self, skipped: Tensor) -> None:
        total, row, longest = self._skipped.unbind()
        row = (row + 1) * skipped
        self._skipped = torch.stack([total + skipped, row, torch.maximum(longest, row)])

    @property
    def skipped_steps(self) -> int:
        """Steps left out since the run began; reads the device."""
        return int(self._skipped[0])

    def report(self) -> StepReport:
        """What was counted since the last report, over all processes; reads the device.

        Shares of pairs are means of those of the processes, which are equal where each has as many
        images. Loss and gradient norm are those of the whole batch on every one.
        """
        means = self._means.read()
        ranks = self._objective.tiling.ranks
        shared = ranks.stacked(torch.tensor(list(means.values()), dtype=torch.float64)).mean(dim=0)
        total, row, longest = (int(value) for value in self._skipped.tolist())
        self._skipped[2] = row
        return StepReport(
            means=dict(zip(means, shared.tolist(), strict=True)),
            skipped_steps=total,
            longest_skipped_row=longest,
        )

    def optimizer_state(self) -> dict[str, Tensor]:
        """Moments and step counts of the optimizer."""
        return self._optimizer.state_dict()

    def counted_state(self) -> dict[str, Tensor]:
        """The candidate source and the running counts."""
        source = self._objective.source.state_dict()
        means = self._means.state_dict()
        return {
            "skipped": self._skipped,
            **{f"source.{name}": value for name, value in source.items()},
            **{f"means.{name}": value for name, value in means.items()},
        }

    def load(self, optimizer: Mapping[str, Tensor], counted: Mapping[str, Tensor]) -> None:
        """Take over `optimizer_state` and `counted_state` of another process.

        Raises:
            CheckpointError: they are of another model or another candidate source.
        """
        self._optimizer.load_state_dict(optimizer)
        self._objective.source.load_state_dict(part(counted, "source."))
        self._means.load_state_dict(part(counted, "means."), self._device)
        self._skipped = counted["skipped"].to(self._device)


def part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, without it."""
    return {k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)}

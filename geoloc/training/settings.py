"""TrainerSettings, Validation and TrainingResult: what goes into a run and what comes out."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.errors import ConfigError
from geoloc.models import DualEncoder
from geoloc.training.optimization import OptimizerSettings


@runtime_checkable
class TrainingData(Protocol):
    """Where batches come from: a stream of shards, a cache of features, a sampler around either."""

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches in one pass, if known."""
        ...

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        """One pass, the same for equal `epoch`; goes on in the middle after `restore`."""
        ...

    def state(self) -> dict[str, Any]:
        """The position after the batch given last, JSON-able."""
        ...

    def restore(self, state: dict[str, Any]) -> None:
        """Let the next `epoch` go on exactly after that position."""
        ...


@runtime_checkable
class KeepsTensors(Protocol):
    """Training data whose position also needs tensors: an order, a fit, a bank of features."""

    def tensor_state(self) -> dict[str, Tensor]:
        """What a checkpoint must hold besides `state`."""
        ...

    def load_tensor_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `tensor_state` gave; comes before `restore`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Best:
    """The best validation so far: the metric's name, its value, and the step it was measured at."""

    metric: str
    value: float
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A measurement during training and what is made of it.

    Attributes:
        measure: called with the model (in eval mode) and the number of the epoch just finished,
            counted from 0; its numbers go to the sinks as `validation/NAME`.
        every_epochs: measured after every so many epochs, and after the last.
        metric: the number by which the best checkpoint is told and kept; None keeps no best.
        higher_is_better: direction of `metric`.
        on_best: called with model and measured numbers at each new best, before the checkpoint
            that records it is saved.
    """

    measure: Callable[[DualEncoder, int], Mapping[str, float]]
    every_epochs: int = 1
    metric: str | None = None
    higher_is_better: bool = True
    on_best: Callable[[DualEncoder, Mapping[str, float]], None] | None = None

    def better(
        self, measured: Mapping[str, float], *, before: Best | None, step: int
    ) -> Best | None:
        """The new best, if what was measured at `step` is one; a NaN never is.

        Raises:
            ConfigError: the metric is not among what was measured.
        """
        if self.metric is None:
            return None
        if self.metric not in measured:
            raise ConfigError(
                f"the best checkpoint is to be told by {self.metric}, but validation measured "
                f"only {sorted(measured)}"
            )
        value, sign = float(measured[self.metric]), 1.0 if self.higher_is_better else -1.0
        if math.isnan(value) or (before is not None and sign * value <= sign * before.value):
            return None
        return Best(metric=self.metric, value=value, step=step)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerSettings:
    """How a run goes.

    Attributes:
        epochs: passes over the data.
        max_steps: the run ends after so many optimizer steps even inside an epoch; None: no limit.
        seed: of every random draw of the steps.
        optimizer: how weights move.
        accumulate: batches whose gradients are averaged for one optimizer step. Each keeps its own
            negatives: this is a smoother gradient, not a larger contrastive batch.
        precision: `fp32`, or `bf16` by autocast (the weights stay float32).
        device: where the model computes.
        checkpoint_every_steps: optimizer steps between checkpoints inside an epoch; None saves at
            the end of each epoch alone, which is done in any case.
        keep_last: so many newest checkpoints are kept, besides the best.
        log_every_steps: steps between two writes to the sinks; only then is the device waited for.
        max_nonfinite_steps: a run stops when more steps than this were skipped in a row.
        config_hash: of the configuration; a checkpoint of another one is refused.
        stall_warning_s: a warning is logged when no step was completed for so long; None: never.
    """

    epochs: int
    max_steps: int | None = None
    seed: int = 0
    optimizer: OptimizerSettings = field(default_factory=OptimizerSettings)
    accumulate: int = 1
    precision: Literal["fp32", "bf16"] = "fp32"
    device: str = "cpu"
    checkpoint_every_steps: int | None = None
    keep_last: int = 2
    log_every_steps: int = 10
    max_nonfinite_steps: int = 10
    config_hash: str = ""
    stall_warning_s: float | None = 120.0

    def __post_init__(self) -> None:
        counts = {
            "epochs": self.epochs,
            "max_steps": self.max_steps,
            "accumulate": self.accumulate,
            "checkpoint_every_steps": self.checkpoint_every_steps,
            "keep_last": self.keep_last,
            "log_every_steps": self.log_every_steps,
            "max_nonfinite_steps plus 1": self.max_nonfinite_steps + 1,
        }
        for name, count in counts.items():
            if count is not None and count < 1:
                raise ConfigError(f"{name} must be at least 1, not {count}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingResult:
    """How a run ended.

    Attributes:
        step: optimizer steps taken over the whole run, skipped ones included.
        epoch: epochs finished.
        interrupted: number of the signal that ended the run early (a checkpoint was saved), so
            that the exit code is 128 plus it; None for a run that came to its end.
        skipped_steps: steps left out because loss or gradient were not finite.
        best: the best validation, if a metric was named and measured.
        weights: the trained weights, `checkpoints/last/model.safetensors`.
    """

    step: int
    epoch: int
    interrupted: int | None
    skipped_steps: int
    best: Best | None
    weights: Path

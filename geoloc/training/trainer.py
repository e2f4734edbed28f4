"""Trainer: the loop over epochs and batches around the step, with exact resume."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from geoloc.batch import GeoBatch
from geoloc.data.worker_deaths import worker_deaths_told
from geoloc.errors import CheckpointError, TrainingError
from geoloc.models import DualEncoder
from geoloc.training import checkpoint as checkpoints
from geoloc.training.interruption import StopSignals
from geoloc.training.optimization import learning_rate_factor
from geoloc.training.run_saver import Moment, RunSaver
from geoloc.training.settings import (
    Best,
    TrainerSettings,
    TrainingData,
    TrainingResult,
    Validation,
)
from geoloc.training.stall_watch import StallWatch
from geoloc.training.step import Objective
from geoloc.training.step_clock import StepClock
from geoloc.training.stepper import Stepper
from geoloc.training.telemetry import SampleSink, ScalarSink


class Trainer:
    """Trains a dual encoder and leaves checkpoints from which the run goes on bit for bit.

    Every random draw of a step depends on (seed, step) alone, and a checkpoint is only taken
    between optimizer steps, so a resumed run on the CPU (with as many threads) ends with the
    weights of a straight one.

    Args:
        model: moved to the settings' device.
        data: gives the batches.
        objective: candidates, rule and loss of a step.
        settings: how the run goes.
        folder: of the run; checkpoints go to `folder/checkpoints`.
        sinks: take the logged values; closing them is left to the caller.
        validation: what is measured after epochs.

    Raises:
        ConfigError: the schedule needs a number of steps that the data do not know.
        TrainingError: the model has nothing to train.
    """

    def __init__(
        self,
        model: DualEncoder,
        data: TrainingData,
        objective: Objective,
        *,
        settings: TrainerSettings,
        folder: Path,
        sinks: Sequence[ScalarSink] = (),
        validation: Validation | None = None,
    ) -> None:
        self._model = model.to(settings.device)
        self._data = data
        self._settings = settings
        self._folder = folder / "checkpoints"
        self._sinks = tuple(sinks)
        self._sample_sinks = [sink for sink in self._sinks if isinstance(sink, SampleSink)]
        self._validation = validation
        self._ranks = objective.tiling.ranks
        self._stepper = Stepper(self._model, objective, settings)
        self._saver = RunSaver(
            self._folder, self._model, data, stepper=self._stepper, settings=settings,
            ranks=self._ranks,
        )  # fmt: skip
        self._signals = StopSignals()
        # The signal that some process had received when all last told one another.
        self._agreed_stop: int | None = None
        self._clock = StepClock(StallWatch(settings.stall_warning_s))
        self._step = 0
        self._epoch = 0
        # Where the data stand inside the epoch; None at its start.
        self._position: dict[str, Any] | None = None
        self._best: Best | None = None
        self._skipped_steps = 0
        self._restored = False
        self._factor(0)

    @property
    def step(self) -> int:
        """Optimizer steps taken so far over the whole run."""
        return self._step

    @property
    def total_steps(self) -> int | None:
        """Optimizer steps of the whole run, if the data know their length."""
        settings, per_epoch = self._settings, self._data.steps_per_epoch
        if per_epoch is None:
            return settings.max_steps
        steps = settings.epochs * -(-per_epoch // settings.accumulate)
        return steps if settings.max_steps is None else min(steps, settings.max_steps)

    def request_stop(self) -> None:
        """End the run after the current step as SIGTERM does: with a checkpoint, resumable."""
        self._signals.request()

    def restore(self, path: Path | None = None) -> int | None:
        """Go on from a checkpoint: the given one, or the newest whole one of the run.

        Checkpoints after it are deleted (damaged ones, or those of a future that is given up), and
        the sinks forget what was written after it.

        Returns:
            The step it stands at; None when there is no whole checkpoint and the run starts anew.

        Raises:
            CheckpointError: the checkpoint is damaged or belongs to another run.
        """
        found = self._saver.restore(path)
        if found is not None:
            self._step, self._epoch, self._position, self._best = (
                found.step, found.epoch, found.position, found.best,
            )  # fmt: skip
            self._skipped_steps = self._stepper.skipped_steps
        for sink in self._sinks:
            sink.rewind(self._step)
        self._restored = True
        return None if found is None else self._step

    def run(self) -> TrainingResult:
        """Train to the end, or until a signal (see StopSignals), which finishes the step and saves.

        Raises:
            CheckpointError: the folder holds checkpoints but `restore` was not called, or a
                checkpoint cannot be saved.
            DataError: a loader worker died or hangs.
            TrainingError: loss or gradient were not finite too many times in a row, an epoch had no
                batch, or a sink cannot write.
        """
        if not self._restored and checkpoints.has_checkpoints(self._folder):
            raise CheckpointError(
                f"{self._folder} holds checkpoints of an earlier run: resume it, or choose another "
                "run folder"
            )
        with self._signals, self._clock.watch.running(self._step), worker_deaths_told():
            while self._epoch < self._settings.epochs and not self._must_end():
                if self._run_epoch():
                    self._finish_epoch()
                elif self._stop is None:
                    self._measure()
            self._save()
        return TrainingResult(
            step=self._step,
            epoch=self._epoch,
            interrupted=self._stop,
            skipped_steps=self._skipped_steps,
            best=self._best,
            weights=self._folder / "last" / checkpoints.MODEL_FILE,
        )

    @property
    def _stop(self) -> int | None:
        """The signal that ends the run, the same on all processes."""
        return self._signals.received if self._ranks.size == 1 else self._agreed_stop

    def _must_end(self) -> bool:
        limit = self._settings.max_steps
        return self._stop is not None or (limit is not None and self._step >= limit)

    def _factor(self, step: int) -> float:
        return learning_rate_factor(
            self._settings.optimizer,
            step=step,
            epoch=self._epoch,
            total_steps=self.total_steps,
        )

    def _run_epoch(self) -> bool:
        """One pass, or the rest of one; False when it was left before its end."""
        self._model.train()
        if self._position is not None:
            self._data.restore(self._position)
        batches = self._data.epoch(self._epoch)
        try:
            return self._run_batches(batches)
        finally:
            # A stream left before its end has worker processes to stop.
            if isinstance(batches, Generator):
                batches.close()

    def _run_batches(self, batches: Iterator[GeoBatch]) -> bool:
        self._clock.restart()
        group = self._next_group(batches)
        if not group and self._position is None:
            raise TrainingError(f"epoch {self._epoch} has no batch: is the training split empty?")
        every = self._settings.checkpoint_every_steps
        # A stop that came while waiting for data leaves the group to the resumed run.
        while group and self._stop is None:
            self._take_step(group)
            self._position = self._data.state()
            if self._must_end():
                return False
            # Fetched before saving: at the end of an epoch its own checkpoint is the better one.
            group = self._next_group(batches)
            if group and every is not None and self._step % every == 0:
                self._save()
        return self._stop is None

    def _next_group(self, batches: Iterator[GeoBatch]) -> list[GeoBatch]:
        """The next batches; where a process has fewer left than the others, so few for all.

        A pass ends with the process that has least: the others leave a few samples out, other ones
        in each epoch.
        """
        with self._clock.waiting():
            group = list(islice(batches, self._settings.accumulate))
            received = self._signals.received or 0
            told = self._ranks.stacked(torch.tensor([len(group), received])).tolist()
        if self._ranks.size == 1:
            return group
        self._agreed_stop = max(signal for _, signal in told) or None
        return group[: min(count for count, _ in told)]

    def _take_step(self, group: list[GeoBatch]) -> None:
        self._stepper.take(group, step=self._step, factor=self._factor(self._step))
        self._step += 1
        self._clock.count(sum(len(batch) for batch in group), step=self._step)
        for sink in self._sample_sinks:
            sink.write_samples(self._step, [key for batch in group for key in batch.key])
        if self._step % self._settings.log_every_steps == 0:
            self._log()

    def _log(self) -> None:
        """Read the device once, write to the sinks, and see whether the run is still sound."""
        report = self._stepper.report()
        self._skipped_steps = report.skipped_steps
        values = {f"train/{name}": value for name, value in report.means.items()}
        factor = self._factor(self._step - 1)
        values["train/learning_rate"] = self._settings.optimizer.learning_rate * factor
        values["train/skipped_steps"] = float(report.skipped_steps)
        values["train/epoch"] = float(self._epoch)
        self._write(values | self._clock.read())
        if report.longest_skipped_row > self._settings.max_nonfinite_steps:
            raise TrainingError(
                f"loss or gradient were not finite in {report.longest_skipped_row} steps in a row "
                f"up to step {self._step} (all of them skipped, the weights are as before): lower "
                "the learning rate, set clip_norm, or look for damaged features"
            )

    def _write(self, values: Mapping[str, float]) -> None:
        for sink in self._sinks:
            sink.write(self._step, values)

    def _finish_epoch(self) -> None:
        """Measure, keep the best, save; the next epoch is the new position."""
        last = self._epoch + 1 == self._settings.epochs
        every = 1 if self._validation is None else self._validation.every_epochs
        self._measure(validate=last or (self._epoch + 1) % every == 0)
        self._epoch += 1
        self._position = None
        self._save()

    def _measure(self, *, validate: bool = True) -> None:
        """Log what is left since the last log, then validate."""
        if self._step % self._settings.log_every_steps != 0:
            self._log()
        if self._validation is None or not validate:
            return
        with self._clock.watch.during("validating"):
            measured = self._ranks.objects(self._measured(self._validation))[0]
        self._write({f"validation/{name}": value for name, value in measured.items()})
        best = self._validation.better(measured, before=self._best, step=self._step)
        if best is not None:
            self._best = best
            if self._validation.on_best is not None and self._ranks.is_main:
                self._validation.on_best(self._model, measured)

    def _measured(self, validation: Validation) -> dict[str, float]:
        """What the main process measures; the others wait for it."""
        if not self._ranks.is_main:
            return {}
        self._model.eval()
        with torch.no_grad():
            return dict(validation.measure(self._model, self._epoch))

    def _save(self) -> None:
        """A checkpoint of this moment, unless there is one."""
        at = Moment(step=self._step, epoch=self._epoch, position=self._position, best=self._best)
        with self._clock.watch.during("saving a checkpoint"):
            self._saver.save(at)

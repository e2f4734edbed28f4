"""RunSaver: from the moving parts of a run to a checkpoint, and back into them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from geoloc.errors import CheckpointError
from geoloc.models import DualEncoder
from geoloc.ranks import Ranks
from geoloc.training import checkpoint as checkpoints
from geoloc.training.seeding import random_state, restore_random_state
from geoloc.training.settings import Best, KeepsTensors, TrainerSettings, TrainingData
from geoloc.training.stepper import Stepper, part


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """Where a run stands between two steps.

    Attributes:
        step: optimizer steps taken.
        epoch: epochs finished.
        position: of this process's data inside the epoch; None at its start.
        best: the best validation so far.
    """

    step: int
    epoch: int
    position: dict[str, Any] | None = None
    best: Best | None = None


class RunSaver:
    """Saves and restores a run; with several processes all call it, and the main one writes.

    What every process has alike (weights, optimizer, queue) is saved once, the position of the data
    and what belongs to it for each.

    Args:
        folder: of the checkpoints.
        model: its trainable state is saved.
        data: their position is.
        stepper: optimizer, queue and counts.
        settings: seed and configuration that a checkpoint must agree with; how many are kept.
        ranks: the processes of the run.
    """

    def __init__(
        self,
        folder: Path,
        model: DualEncoder,
        data: TrainingData,
        *,
        stepper: Stepper,
        settings: TrainerSettings,
        ranks: Ranks,
    ) -> None:
        self._folder = folder
        self._model = model
        self._data = data
        self._stepper = stepper
        self._settings = settings
        self._ranks = ranks
        self._saved: tuple[int, int] | None = None

    def save(self, at: Moment) -> None:
        """A checkpoint of this moment, unless there is one; then old ones are deleted.

        Raises:
            CheckpointError: it could not be written.
        """
        if self._saved == (at.step, at.epoch):
            return
        tensors, random_values = random_state()
        kept = self._data.tensor_state() if isinstance(self._data, KeepsTensors) else {}
        positions = self._ranks.objects(at.position)
        named = {"random": tensors, "run": self._stepper.counted_state()}
        named |= {_data_of(rank): each for rank, each in enumerate(self._ranks.brought(kept))}
        extra = {f"{name}.{key}": v for name, part in named.items() for key, v in part.items()}
        state = {
            "epoch": at.epoch,
            "positions": positions,
            "seed": self._settings.seed,
            "config_hash": self._settings.config_hash,
            "best": None if at.best is None else asdict(at.best),
            "random": random_values,
        }
        if self._ranks.is_main:
            saved = checkpoints.Checkpoint(
                model=self._model.trainable_state(),
                optimizer=self._stepper.optimizer_state(),
                extra=extra,
                state=state,
            )
            checkpoints.save_checkpoint(self._folder, at.step, saved)
            keep = () if at.best is None else (at.best.step,)
            checkpoints.prune(self._folder, keep_last=self._settings.keep_last, keep_steps=keep)
        self._saved = (at.step, at.epoch)

    def restore(self, path: Path | None) -> Moment | None:
        """Go on from a checkpoint, by default the newest whole one; later ones are deleted.

        Returns:
            Where it stands; None if there is no whole checkpoint.

        Raises:
            CheckpointError: it is damaged, or of another run or another number of processes.
        """
        if path is None:
            newest = checkpoints.find_latest(self._folder) if self._ranks.is_main else None
            path = self._ranks.objects(newest)[0]
        at = None if path is None else self._load(checkpoints.load_checkpoint(path), path)
        # Nothing is deleted before every process has read it.
        self._ranks.wait()
        if self._ranks.is_main:
            checkpoints.discard_after(self._folder, -1 if at is None else at.step)
            if path is not None:
                # A crash may have come between the checkpoint and `last`, or damaged `last`.
                checkpoints.publish_last(self._folder, path)
        return at

    def _load(self, saved: checkpoints.Checkpoint, path: Path) -> Moment:
        state = saved.state
        for name in ("config_hash", "seed"):
            if state[name] != getattr(self._settings, name):
                raise CheckpointError(
                    f"{path} was saved by a run with {name} {state[name]}, this run has "
                    f"{getattr(self._settings, name)}: resume with the same configuration"
                )
        positions = state["positions"]
        if len(positions) != self._ranks.size:
            raise CheckpointError(
                f"{path} was saved by {len(positions)} processes, here are {self._ranks.size}: "
                "resume with as many"
            )
        self._model.load_trainable_state(dict(saved.model))
        self._stepper.load(saved.optimizer, part(saved.extra, "run."))
        restore_random_state(part(saved.extra, "random."), state["random"])
        if isinstance(self._data, KeepsTensors):
            mine = f"{_data_of(self._ranks.rank)}."
            self._data.load_tensor_state(part(saved.extra, mine))
        best = None if state["best"] is None else Best(**state["best"])
        self._saved = (state["step"], state["epoch"])
        position = positions[self._ranks.rank]
        return Moment(step=state["step"], epoch=state["epoch"], position=position, best=best)


def _data_of(rank: int) -> str:
    """What the tensors of a process's data are named by in a checkpoint."""
    return f"data{rank}"

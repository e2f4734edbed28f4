"""A run opened for use: its model on a device, once it is known that training has ended."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from geoloc.errors import CheckpointError
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.inference.devices import usable_device
from geoloc.inference.runs import read_run
from geoloc.models import DualEncoder, load_model


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedRun:
    """A run with its model.

    Attributes:
        run: the folder.
        config: what it was started with.
        model: the model that queries use, in evaluation mode, on `device`.
        device: its name for torch.
    """

    run: RunDirectory
    config: ExperimentConfig
    model: DualEncoder
    device: str


def open_trained_run(
    folder: Path,
    *,
    device: str = "auto",
    backbone_weights: Path | None = None,
    unfinished: bool = False,
) -> TrainedRun:
    """Read a run and its model.

    Args:
        folder: the run's.
        device: ``auto``, ``cpu`` or ``cuda``, whatever the run was trained on.
        backbone_weights: the file of a frozen backbone's weights, where it is not where it was
            during training.
        unfinished: take the best model so far of a run that is still training or was stopped.

    Raises:
        CheckpointError: the folder is no run, the run has not finished (and may not be
            unfinished) or has no model yet, or the model cannot be read.
        ConfigError: this machine has no such device.
        DataError: the run's record or configuration is damaged.
    """
    run = RunDirectory(path=folder)
    if not unfinished:
        read_run(folder)
    elif run.read_record() and not run.model.is_dir():
        raise CheckpointError(
            f"{folder} has no model yet: one is written after the first validation, or at the end"
        )
    config = run.config()
    name = str(usable_device(device))
    model = load_model(run.model, device=name, backbone_weights=backbone_weights)
    return TrainedRun(run=run, config=config, model=model, device=name)

"""The geocells that a run's head is trained with, kept in its folder for those who ask it."""

from __future__ import annotations

import shutil

import numpy as np

from geoloc.artifacts import write_atomically
from geoloc.errors import ConfigError
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.inference.cell_head import HEAD_CELLS
from geoloc.regions import Geocells


def keep_cells(run: RunDirectory, config: ExperimentConfig) -> None:
    """Copy the file of the head's cells into the run's folder, where there is a head.

    Raises:
        ConfigError: the run goes on, and the file has other cells than at its beginning.
        DataError: a file cannot be read.
    """
    file = config.cells.file
    if file is None:
        return
    kept, cells = run.path / HEAD_CELLS, Geocells.load(file)
    if run.begun and kept.is_file() and not _are_the_same(cells, Geocells.load(kept)):
        raise ConfigError(
            f"{file} has other cells than {kept}, which the run began with: go on with those, or "
            "choose another run_dir"
        )
    write_atomically(kept, lambda temporary: shutil.copyfile(file, temporary))


def _are_the_same(one: Geocells, other: Geocells) -> bool:
    return np.array_equal(one.place_deg, other.place_deg) and np.array_equal(one.cell, other.cell)

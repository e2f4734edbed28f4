"""The training places of a run, kept in its folder so that galleries need the shards no more."""

from __future__ import annotations

import sys

import numpy as np
from jaxtyping import Float64

from geoloc.artifacts import read_json, write_atomically, write_json
from geoloc.errors import DataError
from geoloc.experiment.prepare_data import read_places, thin
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.streams import shard_opener

TRAINING_PLACES = "training-places"
_PLACES_FILE = "training_places.npy"
_COUNT_FILE = "training_places.json"


def keep_training_places(
    run: RunDirectory, latlon_deg: Float64[np.ndarray, "place 2"], *, total: int | None = None
) -> None:
    """Write the training places into the run, so that galleries need the shards no more.

    Args:
        run: the run.
        latlon_deg: its training places, thinned or not.
        total: how many there were before they were thinned; None where that is not known.
    """
    write_atomically(
        run.path / _PLACES_FILE, lambda path: np.save(path, latlon_deg, allow_pickle=False)
    )
    if total is None:
        (run.path / _COUNT_FILE).unlink(missing_ok=True)
    else:
        write_json(run.path / _COUNT_FILE, {"kept": len(latlon_deg), "total": total})


def training_places(run: RunDirectory, config: ExperimentConfig) -> Float64[np.ndarray, "place 2"]:
    """The training places (at most `evaluation.gallery_places`), kept in the run's folder."""
    file = run.path / _PLACES_FILE
    if not file.is_file():
        opener = shard_opener(config.data)
        every = read_places(config.data.train, limit=sys.maxsize, seed=config.seed, opener=opener)
        kept = thin(every, limit=config.evaluation.gallery_places, seed=config.seed)
        keep_training_places(run, kept, total=len(every))
    return np.load(file, allow_pickle=False)


def training_places_drawn_from(run: RunDirectory) -> int | None:
    """How many training places there are, where the run keeps fewer; None where it keeps all.

    None too for a run that did not note it.

    Raises:
        DataError: the run's note is damaged.
    """
    file = run.path / _COUNT_FILE
    if not file.is_file():
        return None
    told = read_json(file, what="count of training places")
    kept, total = told.get("kept"), told.get("total")
    if not isinstance(kept, int) or not isinstance(total, int):
        raise DataError(f"{file} is damaged: it must hold two numbers, kept and total; delete it")
    return total if total > kept else None

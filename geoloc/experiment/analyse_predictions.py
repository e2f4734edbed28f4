"""A file of predictions and the places of a training set: what is wrong where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped

from geoloc.evaluation import ErrorAnalysis, analyse_errors, protocol_named, read_predictions
from geoloc.evaluation.strata_labels import GEOCELL
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.training_places import training_places, training_places_drawn_from
from geoloc.regions import Geocells
from geoloc.retrieval import places_from_file


def analyse_predictions(
    file: Path,
    protocol: str,
    *,
    training: Path | None = None,
    cells: Path | None = None,
    columns: Mapping[str, str] | None = None,
    by: Sequence[str] | None = None,
    block_km: float,
    resamples: int,
) -> ErrorAnalysis:
    """Read a table of predictions of any system and look at its errors.

    Args:
        file: parquet or CSV (see `read_predictions`).
        protocol: name.
        training: places of the training set: a .csv, .parquet, .npy of degrees, or a run's folder.
        cells: geocells that true places are told into, strata by the name ``geocell``.
        columns: our names to the file's own, where they differ.
        by: questions (see `analyse_errors`), like all that follow.
        block_km: side of the blocks of the bootstrap.
        resamples: draws of the bootstrap.

    Raises:
        ConfigError: an unknown protocol or question.
        CoordinateError: a place is not on Earth.
        DataError: a file is missing or cannot be used.
    """
    named = protocol_named(protocol)
    frame = read_predictions(file, columns=columns)
    if cells is not None:
        frame[GEOCELL] = _cell_names(frame, Geocells.load(cells))
    places, drawn_from = (None, None) if training is None else read_training_places(training)
    return analyse_errors(
        frame,
        named,
        training_latlon_deg=places,
        training_drawn_from=drawn_from,
        by=by,
        block_km=block_km,
        resamples=resamples,
    )


def _cell_names(frame: pd.DataFrame, cells: Geocells) -> Shaped[np.ndarray, " row"]:
    true_deg = frame[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64)
    return np.array(cells.names())[cells.cells_of_places(true_deg)]


def read_training_places(path: Path) -> tuple[Float64[np.ndarray, "place 2"], int | None]:
    """Places in degrees, and how many there were where the file holds a random part of them.

    Args:
        path: a file of places (see `places_from_file`), or the folder of a run, which keeps at
            most `evaluation.gallery_places` of its training places.

    Raises:
        CoordinateError: a place is not on Earth.
        DataError: there is no such file, or it holds something else.
    """
    if path.is_dir():
        run = RunDirectory(path=path)
        return training_places(run, run.config()), training_places_drawn_from(run)
    return places_from_file(path), None

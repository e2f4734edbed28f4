"""Observations to cluster: rows of a table, or a drawn world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64
from pandas.api.types import is_datetime64_any_dtype

from geoloc.errors import DataError
from geoloc.experiment.cluster_schema import ClusterConfig, TableSection, WorldSection
from geoloc.geodesy import sample_sphere
from geoloc.regions import regime_world

_SIDE = 100.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observed:
    """What is clustered.

    Attributes:
        features: of each observation, standardised where asked.
        places: of each.
        known: its label as a number, -1 where unknown; None where no labels are.
    """

    features: Float64[np.ndarray, "n feature"]
    places: Float64[np.ndarray, "n coordinate"]
    known: Int64[np.ndarray, " n"] | None


def read_observed(config: ClusterConfig) -> Observed:
    """Read the table of a configuration, or draw its world.

    Raises:
        ConfigError: the world cannot be drawn.
        DataError: the table or one of its columns is missing, or holds what is no number.
    """
    return _drawn(config.world) if config.table is None else _read(config.table)


def _drawn(world: WorldSection) -> Observed:
    generator = np.random.default_rng(world.seed)
    match world.kind:
        case "time":
            places = np.arange(world.count, dtype=np.float64)[:, None]
        case "plane":
            places = generator.uniform(0, _SIDE, (world.count, 2))
        case "sphere":
            places = sample_sphere(world.count, generator=generator)
    sphere = world.kind == "sphere"
    features, label = regime_world(
        places,
        generator=generator,
        regimes=world.regimes,
        patches=world.patches,
        features=world.features,
        mean_spread=world.mean_spread,
        metric="great_circle" if sphere else "euclidean",
        unit="km" if sphere else "step",
    )
    return Observed(features=features, places=places, known=label)


def _read(table: TableSection) -> Observed:
    frame = _frame(table.path)
    if frame.empty:
        raise DataError(f"{table.path} has no rows")
    features = _numbers(frame, table.features, table.path)
    if table.standardise:
        # the standard deviation of equal numbers may round to above 0
        constant = np.ptp(features, axis=0) == 0
        if constant.any():
            column = table.features[int(constant.argmax())]
            raise DataError(f"{table.path}: column {column} is constant: leave it out")
        features = (features - features.mean(axis=0)) / features.std(axis=0)
    row = np.arange(len(frame), dtype=np.float64)[:, None]
    places = _numbers(frame, table.places, table.path) if table.places else row
    known = None
    if table.label is not None:
        _refuse_missing(frame, (table.label,), table.path)
        known = pd.factorize(frame[table.label])[0].astype(np.int64)
    return Observed(features=features, places=places, known=known)


def _frame(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    except FileNotFoundError:
        raise DataError(f"there is no table {path}") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{path} is no CSV or Parquet table: {error}") from None


def _refuse_missing(frame: pd.DataFrame, columns: tuple[str, ...], path: Path) -> None:
    for column in columns:
        if column not in frame.columns:
            there = ", ".join(str(each) for each in frame.columns)
            raise DataError(f"{path} has no column {column}; it has {there}")


def _numbers(
    frame: pd.DataFrame, columns: tuple[str, ...], path: Path
) -> Float64[np.ndarray, "n column"]:
    _refuse_missing(frame, columns, path)
    for column in columns:
        if is_datetime64_any_dtype(frame[column]):
            raise DataError(f"{path}: column {column} holds times: give them as numbers")
    try:
        values = frame[list(columns)].to_numpy(dtype=np.float64)
    except ValueError as error:
        raise DataError(f"{path}: a column of {', '.join(columns)} holds text: {error}") from None
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(
            f"{path}: row {row + 1} has no finite {columns[column]}: drop or fill such rows"
        )
    return values

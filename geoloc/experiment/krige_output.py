"""The files of `geoloc krige`: kriged values on a grid or at places, and the cross-validation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from geoloc.artifacts import write_arrays
from geoloc.data.sample_table import write_frame
from geoloc.errors import ConfigError
from geoloc.experiment.krige_data import KrigeData
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.experiment.krige_targets import Targets
from geoloc.geostatistics import KrigedSteps

ADDED = ("estimate", "standard_error", "data")
"""Columns that kriging adds to a table of targets."""


def kriged_path(config: KrigeConfig, out: Path) -> Path:
    """The file of the kriged values, by the kind that is asked for."""
    suffix = f".{config.write}" if config.write else ".npz"
    if config.write is None and config.targets is not None:
        suffix = ".csv" if config.targets.suffix.lower() == ".csv" else ".parquet"
    return out / f"kriged{suffix}"


def _time_column(config: KrigeConfig) -> str:
    return config.time or "time"


def refuse_columns(config: KrigeConfig, data: KrigeData, targets: Targets) -> None:
    """Do nothing where a table of targets has room for what kriging adds.

    Raises:
        ConfigError: a column of that name is there already.
    """
    if targets.table is None:
        return
    every_time = (_time_column(config),) if data.time is not None and targets.step is None else ()
    added = (*ADDED, *every_time)
    taken = [name for name in added if name in targets.table.column_names]
    if taken:
        raise ConfigError(f"targets: {taken[0]!r} is what kriging writes, and the table has it")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimated:
    """What was kriged, from what, and where to."""

    config: KrigeConfig
    data: KrigeData
    targets: Targets
    kriged: KrigedSteps

    @property
    def error(self) -> Float64[np.ndarray, "target time"]:
        """Standard errors of the estimates."""
        return np.sqrt(self.kriged.variance)


def write_kriged(path: Path, found: Estimated) -> None:
    """Write estimates, their standard errors, and how many values each is from."""
    if path.suffix == ".npz":
        write_arrays(path, _arrays(found))
        return
    write_frame(_frame(found), path)


def own_steps(targets: Targets, found: np.ndarray) -> np.ndarray:
    """Of each target the number at its own step; nan where no station measured then."""
    assert targets.step is not None
    own = found[np.arange(len(found)), targets.step]
    return np.where(targets.step >= 0, own, np.nan)


def _arrays(found: Estimated) -> dict[str, Any]:
    """A grid as `geoloc diagnose` reads it, or values by time and place."""
    data, targets, kriged, error = found.data, found.targets, found.kriged, found.error
    sphere = data.sphere
    time = np.zeros(1) if data.time is None else data.time
    told: dict[str, Any] = {"name": data.name, "unit": data.unit, "data": kriged.data}
    if targets.axes is not None:
        shape = (-1, *(len(axis) for axis in targets.axes))
        names = ("latitude_deg", "longitude_deg") if sphere else ("y", "x")
        told |= dict(zip(names, targets.axes, strict=True))
        told |= {"time_day": time, "values": kriged.value.T.reshape(shape)}
        return told | {"standard_error": error.T.reshape(shape)}
    told |= {"latlon_deg" if sphere else "xy": targets.places}
    if targets.step is None:
        return told | {"time_day": time, "values": kriged.value.T, "standard_error": error.T}
    own, its_error = (own_steps(targets, each) for each in (kriged.value, error))
    return told | {"step": targets.step, "values": own, "standard_error": its_error}


def _frame(found: Estimated) -> pd.DataFrame:
    """A row a target, or where it has no time of its own, a row a step and target."""
    data, targets, kriged, error = found.data, found.targets, found.kriged, found.error
    steps = kriged.value.shape[1]
    if targets.table is not None:
        frame = targets.table.to_pandas()
    else:
        names = ("latitude", "longitude") if data.sphere else ("x", "y")
        frame = pd.DataFrame(dict(zip(names, targets.places.T, strict=True)))
    if targets.step is not None:
        used = np.where(targets.step >= 0, kriged.data[targets.step], 0)
        columns = (own_steps(targets, kriged.value), own_steps(targets, error), used)
    else:
        labels = data.time_labels()
        frame = pd.concat([frame] * steps, ignore_index=True)
        if labels:
            frame[_time_column(found.config)] = np.repeat(labels, len(targets))
        used = np.repeat(kriged.data, len(targets))
        columns = (kriged.value.T.ravel(), error.T.ravel(), used)
    for name, column in zip(ADDED, columns, strict=True):
        frame[name] = column
    return frame


def write_validation(
    path: Path,
    data: KrigeData,
    found: dict[str, KrigedSteps],
    fold: np.ndarray | None,
) -> None:
    """Write each measured value with what cross-validation says of it: a row a value.

    Args:
        path: of the CSV.
        data: the stations.
        found: by the kind of validation, with the errors of measurement in the variances.
        fold: of each station; None where there are no folds.
    """
    place, step = np.nonzero(np.isfinite(data.stations.value))
    names = ("latitude", "longitude") if data.sphere else ("x", "y", "z")
    places = data.stations.places[place]
    columns: dict[str, Any] = dict(zip(names, places.T, strict=False))
    labels = data.time_labels()
    if labels:
        columns["time"] = np.array(labels)[step]
    columns["measured"] = data.stations.value[place, step]
    if fold is not None:
        columns["fold"] = fold[place] + 1
    for kind, kriged in found.items():
        estimate, error = kriged.value[place, step], np.sqrt(kriged.variance[place, step])
        columns |= {f"{kind}_estimate": estimate, f"{kind}_standard_error": error}
        told = error > 0
        standard = np.full(len(error), np.nan)
        standard[told] = (estimate - columns["measured"])[told] / error[told]
        columns[f"{kind}_standardised_error"] = standard
    write_frame(pd.DataFrame(columns), path)

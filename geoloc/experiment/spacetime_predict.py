"""A fitted space-time model in a folder, and what it predicts as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped
from torch import Tensor

from geoloc.artifacts import read_json, write_json
from geoloc.data.sample_table import is_table, read_samples, write_frame
from geoloc.data.table_values import iso_times
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.spacetime_data import sites_at
from geoloc.spacetime import (
    Prediction,
    Sites,
    SpaceTimeModel,
    load_space_time,
    save_space_time,
)

FIELD = "field.json"
SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldFacts:
    """What a model of a field does not know of it.

    Attributes:
        name: of the field.
        unit: of its values.
        time_day: of the steps.
        dated: whether these are days since 1970.
        altitude: whether the model takes the altitude around a place.
        provenance: of the fit.
    """

    name: str
    unit: str
    time_day: Float64[np.ndarray, " time"]
    dated: bool
    altitude: bool
    provenance: Mapping[str, Any]


def keep_model(model: SpaceTimeModel, facts: FieldFacts, folder: Path) -> None:
    """Write a model and what is to be known of its field.

    Raises:
        OSError: the folder cannot be written.
    """
    # what is told of an older field would be told of this, should it end half way
    (folder / FIELD).unlink(missing_ok=True)
    save_space_time(model, folder)
    content = {"schema_version": SCHEMA_VERSION}
    content |= {name: getattr(facts, name) for name in facts.__slots__}
    write_json(folder / FIELD, {**content, "time_day": facts.time_day.tolist()})


def kept_model(folder: Path) -> tuple[SpaceTimeModel, FieldFacts]:
    """Read what `keep_model` wrote.

    Raises:
        DataError: a file is missing, damaged or of another version.
    """
    model = load_space_time(folder)
    content = read_json(folder / FIELD, what="space-time model")
    if content.pop("schema_version", None) != SCHEMA_VERSION:
        raise DataError(f"{folder / FIELD} is of another version: fit again")
    try:
        content["time_day"] = np.array(content["time_day"], dtype=np.float64)
        facts = FieldFacts(**content)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{folder / FIELD} is damaged ({error}): fit again") from None
    if facts.time_day.shape != (model.stations.values.shape[1],):
        raise DataError(f"{folder}: the field's steps are not the model's: fit again")
    return model, facts


def predict_places(model_folder: Path, places: Path, out: Path) -> pd.DataFrame:
    """Predict the series of places in a table, and write them as a table.

    Args:
        model_folder: of `geoloc spacetime`.
        places: .csv or .parquet with latitude and longitude; `key` or `id` names places, their row
            does where neither is there.
        out: .parquet or .csv, see `prediction_frame`.

    Raises:
        ConfigError: the model is of a plane, or `out` says neither kind of table.
        DataError: a file is missing or damaged, or a row has no place.
    """
    if not is_table(out):
        raise ConfigError(f"{out}: tables are written as .parquet or .csv")
    model, facts = kept_model(model_folder)
    if model.stations.sites.metric != "great_circle":
        raise ConfigError(f"{model_folder} is of a field on a plane: it knows no latitudes")
    table = read_samples(str(places))
    if not bool(table.has_place.all()):
        row = int(np.flatnonzero(~table.has_place)[0])
        raise DataError(f"{places}, row {row + 1}: no latitude and longitude")
    sites = sites_at(table.latlon_deg, altitude=facts.altitude)
    frame = prediction_frame(table.keys(), sites, facts, model.predict(sites))
    write_frame(frame, out)
    return frame


def prediction_frame(
    names: Shaped[np.ndarray, " place"],
    sites: Sites,
    facts: FieldFacts,
    found: Prediction,
    **added: Tensor,
) -> pd.DataFrame:
    """Predictions as a table: a row a place and a step.

    Columns: place, latitude and longitude in degrees (x_km and y_km on a plane), time (ISO 8601, or
    the number of the field's step), value, variance of its error, network (the value before
    residuals are kriged).

    Args:
        names: of the places.
        sites: the places.
        facts: of the field.
        found: what is predicted.
        added: further columns, of the shape of the predictions.
    """
    count, steps = found.values.shape
    on_earth = sites.metric == "great_circle"
    axes = ("latitude", "longitude") if on_earth else ("x_km", "y_km")
    columns: dict[str, Any] = {"place": np.repeat(names.astype(str), steps)}
    for number, axis in enumerate(axes):
        columns[axis] = np.repeat(sites.places[:, number].numpy(), steps)
    time = np.array(iso_times(facts.time_day), dtype=object) if facts.dated else facts.time_day
    columns["time"] = np.tile(time, count)
    series = {"value": found.values, "variance": found.variance, "network": found.network, **added}
    return pd.DataFrame(columns | {name: each.numpy().ravel() for name, each in series.items()})

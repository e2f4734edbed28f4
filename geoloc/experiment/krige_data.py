"""Stations to krige from: a table, or a gridded field whose truth elsewhere is known."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from geoloc.data.packaged_fields import read_field
from geoloc.data.sample_table import is_table
from geoloc.data.table_values import TableColumns, TableValues, iso_times, read_table_values
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.experiment.pseudo_label_data import land_places
from geoloc.geostatistics.kriging_steps import FEWEST_PLACES


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedValues:
    """Values at places, nan where there is none."""

    places: Float64[np.ndarray, "place axis"]
    value: Float64[np.ndarray, "place time"]

    def __len__(self) -> int:
        return len(self.places)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrigeData:
    """What is kriged from.

    Attributes:
        name: of what is measured.
        unit: of it; empty where it is not known.
        stations: all that measured at some step.
        held_out: other places with the truth; None of a table.
        time: of the steps: days since 1970 of dates, else as given; None where there are none.
        dated: whether `time` is of dates.
        sphere: whether places are latitude and longitude.
        notes: what was done to get them.
    """

    name: str
    unit: str
    stations: PlacedValues
    held_out: PlacedValues | None
    time: Float64[np.ndarray, " time"] | None
    dated: bool
    sphere: bool
    notes: tuple[str, ...] = ()

    @property
    def measured(self) -> str:
        """What the values are, with their unit."""
        return self.name if self.unit in ("", "1") else f"{self.name}, {self.unit}"

    def time_labels(self) -> list[str]:
        """The steps as they are written: ISO 8601, or numbers; empty where there are none."""
        if self.time is None:
            return []
        if not self.dated:
            return [f"{each:.12g}" for each in self.time]
        return iso_times(self.time)


def read_krige_data(config: KrigeConfig) -> KrigeData:
    """Read the stations of a configuration.

    Raises:
        ConfigError: keys contradict the source, a column is missing, or a field's package is.
        CoordinateError: a place is out of range.
        DataError: the source cannot be read, or has no places or values.
    """
    if not is_table(config.source):
        return _of_field(config)
    if config.column is None:
        raise ConfigError(f"name the number of {config.source}: column=NAME")
    columns = TableColumns(
        value=config.column,
        time=config.time,
        plane=config.metric == "euclidean",
        repeated=config.repeated,
    )
    read = read_table_values(Path(config.source), columns)
    return KrigeData(
        name=config.name or config.column,
        unit=config.unit,
        stations=_stations(read, config.source, plane=columns.plane),
        held_out=None,
        time=read.time,
        dated=read.dated,
        sphere=not columns.plane,
        notes=read.notes,
    )


def _stations(read: TableValues, source: str, *, plane: bool) -> PlacedValues:
    if read.places is None:
        wanted = "x and y" if plane else "latitude and longitude (x and y: metric=euclidean)"
        raise DataError(f"{source} has no columns of places: {wanted}")
    if bool(np.isinf(read.values).any()):
        raise DataError(f"{source}: a value is infinite: write such values as missing")
    measured = ~np.isnan(read.values).all(axis=0)
    return PlacedValues(places=read.places[measured], value=read.values.T[measured].copy())


def _of_field(config: KrigeConfig) -> KrigeData:
    """Some cells of a field as stations, other cells held out."""
    if config.metric != "great_circle" or config.column or config.time:
        raise ConfigError(f"{config.source} is a gridded field: column, time, metric are of tables")
    wanted, field = config.sampled, read_field(config.source)
    places = land_places(wanted.places, south_deg=wanted.south_deg, north_deg=wanted.north_deg)
    places = places[field.covers(places)]
    value, time = field.at(places).T.astype(np.float64), field.time_day
    if wanted.step is not None:
        if wanted.step > len(time):
            raise ConfigError(f"sampled.step {wanted.step}: {field.name} has {len(time)} steps")
        value, time = value[:, wanted.step - 1 : wanted.step], None
    known = np.isfinite(value).any(axis=1)
    places, value = places[known], value[known]
    if len(places) - wanted.stations < FEWEST_PLACES:
        raise ConfigError(
            f"{wanted.stations} stations of {len(places)} places: {FEWEST_PLACES} at least must be "
            "left to compare with"
        )
    order = np.random.default_rng(wanted.seed).permutation(len(places))
    chosen, others = order[: wanted.stations], order[wanted.stations :]
    return KrigeData(
        name=config.name or field.name,
        unit=config.unit or field.unit,
        stations=PlacedValues(places=places[chosen], value=value[chosen]),
        held_out=PlacedValues(places=places[others], value=value[others]),
        time=time,
        dated=False,
        sphere=True,
        notes=(f"{len(chosen)} of {len(places)} places on land, drawn with seed {wanted.seed}",),
    )

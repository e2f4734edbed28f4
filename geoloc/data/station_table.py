"""Stations from a CSV file, such as the PM2.5 of a city's monitors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from geoloc.data.station_series import StationSeries
from geoloc.data.table_rows import read_table
from geoloc.data.table_values import MISSING
from geoloc.errors import DataError
from geoloc.geodesy import is_valid_latlon

COLUMNS = ("station", "latitude", "longitude", "time", "value")
"""The columns that a table of stations must have; every other is a covariate."""


@dataclass(slots=True, kw_only=True)
class _Gathered:
    """Rows by station and time, as they come."""

    place: dict[str, tuple[float, float]] = field(default_factory=dict[str, tuple[float, float]])
    cell: dict[tuple[str, datetime], tuple[float, list[float]]] = field(
        default_factory=dict[tuple[str, datetime], tuple[float, list[float]]]
    )


def read_stations(path: Path, *, unit: str = "1") -> StationSeries:
    """Stations of a CSV file: a row is what one station, or a place without one, has at a time.

    Columns ``station``, ``latitude``, ``longitude`` (degrees), ``time`` (ISO 8601: a date such as
    ``2024-02-29``, or with the time of day; with an offset it is brought to UTC) and ``value``; all
    others are covariates, and numbers. A row whose value is empty (or NA, nan) has none: it is a
    place and time where an estimate is wanted. What has no row has neither value nor covariates.

    Args:
        path: CSV with a header, UTF-8.
        unit: of the values.

    Raises:
        DataError: the file cannot be read or lacks a column, or a row is broken: its line is named.
    """
    gathered, names = _Gathered(), None
    for number, row in enumerate(read_table(path, needed=COLUMNS)):
        where = f"{path}, line {number + 2}"
        if "" in row:
            raise DataError(f"{where}: {row['']}")
        if names is None:
            names = tuple(name for name in row if name not in COLUMNS)
        _gather(gathered, row, names, where)
    if names is None:
        raise DataError(f"{path} holds no station")
    return _series(gathered, names, name=path.stem, unit=unit)


def _gather(
    gathered: _Gathered, row: Mapping[str, str | None], names: tuple[str, ...], where: str
) -> None:
    station = row["station"]
    if station is None:
        raise DataError(f"{where}: no name of a station")
    place = (_number(row, "latitude", where), _number(row, "longitude", where))
    if not bool(is_valid_latlon(np.array(place))):
        raise DataError(f"{where}: latitude {place[0]}, longitude {place[1]} is no place")
    if gathered.place.setdefault(station, place) != place:
        raise DataError(f"{where}: station {station} stands at another place than before")
    try:
        time = datetime.fromisoformat((row["time"] or "").strip())
    except ValueError:
        told = f"time {row['time']!r} is no date such as 2024-02-29, nor a time of day with it"
        raise DataError(f"{where}: {told}") from None
    if time.tzinfo is not None:
        time = time.astimezone(UTC).replace(tzinfo=None)
    if (station, time) in gathered.cell:
        raise DataError(f"{where}: station {station} has a row of {row['time']} already")
    missing = (row["value"] or "").strip().lower() in MISSING
    value = math.nan if missing else _number(row, "value", where)
    gathered.cell[station, time] = (value, [_number(row, name, where) for name in names])


def _number(row: Mapping[str, str | None], name: str, where: str) -> float:
    text = row[name]
    try:
        number = float(text or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{where}: {name} is {text or 'empty'!r}, which is no number")
    return number


def _series(gathered: _Gathered, names: tuple[str, ...], *, name: str, unit: str) -> StationSeries:
    times = sorted({time for _, time in gathered.cell})
    stations = {station: row for row, station in enumerate(gathered.place)}
    column = {time: at for at, time in enumerate(times)}
    value = np.full((len(stations), len(times)), np.nan)
    covariate = np.full((*value.shape, len(names)), np.nan)
    for (station, time), (measured, beside) in gathered.cell.items():
        at = stations[station], column[time]
        value[at], covariate[at] = measured, beside
    first = datetime(times[0].year, 1, 1)
    return StationSeries(
        name=name,
        unit=unit,
        station=tuple(stations),
        latlon_deg=np.array(list(gathered.place.values())),
        time_day=np.array([(time - first) / timedelta(days=1) for time in times]),
        value=value,
        covariate=covariate,
        covariates=names,
    )

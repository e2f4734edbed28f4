"""Numbers of a table by place and time: a row is one, at a place or not, at a time or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from geoloc.data.sample_table import is_table, read_cells
from geoloc.errors import ConfigError, CoordinateError, DataError
from geoloc.geodesy import is_valid_latlon

_LATITUDE = ("latitude", "lat", "latitude_deg", "lat_deg")
_LONGITUDE = ("longitude", "lon", "lng", "longitude_deg", "lon_deg")
_PLANE = (("x",), ("y",), ("z",))
MISSING = ("", "na", "n/a", "nan", "null", "none", "-")
"""What a cell without a value says, in small letters."""
_MOST_VALUES = 30_000_000
_ROUND_DEG = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """Which columns of a table to read, and what its rows are.

    Attributes:
        value: the number.
        time: when: ISO 8601, dates of parquet, or plain numbers; None where rows have no time.
        plane: whether places are x and y (and z), instead of latitude and longitude.
        repeated: what several rows of one place and time are: an error, or one with their mean.
    """

    value: str
    time: str | None = None
    plane: bool = False
    repeated: Literal["error", "mean"] = "error"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TableValues:
    """What a table holds.

    Attributes:
        values: nan is missing.
        places: all different, degrees or coordinates; None without any.
        time: of the steps, rising; None where rows have no time.
        dated: whether `time` is in days since 1970, of dates.
        notes: what was done to get them, in sentences.
    """

    values: Float64[np.ndarray, "time place"]
    places: Float64[np.ndarray, "place axis"] | None
    time: Float64[np.ndarray, " time"] | None
    dated: bool
    notes: tuple[str, ...]


def read_table_values(path: Path, columns: TableColumns) -> TableValues:
    """The numbers of a CSV or parquet table by place and time.

    Places stand in columns latitude and longitude (or lat, lon ...), or x and y. Rows without place
    or time are left out, which the notes say. Without places or times rows are the steps of one
    series, in their order.

    Args:
        path: .csv, .parquet or .pq.
        columns: the number, the time, and what rows are.

    Raises:
        ConfigError: a column is not there.
        CoordinateError: a place is out of range.
        DataError: the table cannot be read, a cell is no number or no time, or two rows are of one
            place and time.
    """
    if not is_table(path) or not path.is_file():
        raise DataError(f"{path}: there is no such table (.csv, .parquet)")
    table = read_cells(path)
    names = [str(name) for name in table.column_names]
    for wanted in (columns.value, columns.time):
        if wanted is not None and wanted not in names:
            raise ConfigError(f"{path} has no column {wanted!r}; it has {', '.join(names)}")
    places = table_places(table, path, plane=columns.plane, number=columns.value)
    time, dated = table_times(table, columns.time, path)
    value, places, time, notes = _kept(
        table_numbers(table, columns.value, path), places, time, path=path
    )
    if places is None and time is None:
        time = np.arange(len(value), dtype=np.float64)
        notes.append("rows are taken for equal steps of time, in their order")
    values, places, steps, merged = _series(value, places, time, path=path, columns=columns)
    if merged:
        notes.append(f"{merged:,} rows of a place and time that has others: the mean is taken")
    return TableValues(
        values=values,
        places=places,
        time=None if time is None else steps,
        dated=dated,
        notes=tuple(notes),
    )


def table_places(
    table: Any, path: Path, *, plane: bool = False, number: str | None = None
) -> Float64[np.ndarray, "row axis"] | None:
    """The places of all rows, nan where a cell is empty; None where there are no such columns.

    Args:
        table: a pyarrow table.
        path: of it, for errors.
        plane: whether places are x and y (and z), instead of latitude and longitude.
        number: the column of what is measured: called z, it is no coordinate.

    Raises:
        CoordinateError: a place is out of range.
        DataError: some of the columns are missing, or a cell is no number.
    """
    names = [str(name) for name in table.column_names]
    aliases = _PLANE if plane else (_LATITUDE, _LONGITUDE)
    if number is not None and number.strip().lower() in _PLANE[2]:
        aliases = aliases[:2]
    found = [
        next((name for name in names if name.strip().lower() in each), None) for each in aliases
    ]
    if found[:2] == [None, None]:
        return None
    if None in found[:2]:
        what = "an x or a y" if plane else "a latitude or a longitude"
        raise DataError(f"{path} has {what}, not both: {', '.join(names)}")
    given = [table_numbers(table, str(name), path) for name in found if name is not None]
    places = np.stack(given, axis=-1)
    return places if plane else _one_of_each(places, path)


def _one_of_each(places: np.ndarray, path: Path) -> Float64[np.ndarray, "row 2"]:
    """Places on the Earth, each written in one way: its poles and antimeridian have many."""
    bad = np.flatnonzero(np.isfinite(places).all(axis=1) & ~np.asarray(is_valid_latlon(places)))
    if len(bad):
        latitude, longitude = places[bad[0]]
        more = f" ({len(bad):,} rows of {len(places):,} are like it)" if len(bad) > 1 else ""
        raise CoordinateError(
            f"{path}, row {int(bad[0]) + 1}: latitude {latitude:g}, longitude {longitude:g} is no "
            f"place{more}"
        )
    places = np.round(places, _ROUND_DEG)
    places[places[:, 1] == 180.0, 1] = -180.0
    places[np.abs(places[:, 0]) == 90.0, 1] = 0.0
    return places


def _kept(
    value: np.ndarray, places: np.ndarray | None, time: np.ndarray | None, *, path: Path
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray | None, list[str]]:
    """Rows that have the place and the time that others have, and a note of those that have not."""
    whole = np.ones(len(value), dtype=bool)
    if places is not None:
        whole &= np.isfinite(places).all(axis=1)
    if time is not None:
        whole &= np.isfinite(time)
    if not bool(np.isfinite(value[whole]).any()):
        raise DataError(f"{path}: no row has all that is asked for")
    lost = int((~whole).sum())
    notes = [f"{lost:,} rows without place or time left out"] if lost else []
    return (
        value[whole],
        None if places is None else places[whole],
        None if time is None else time[whole],
        notes,
    )


def _series(
    value: np.ndarray,
    places: np.ndarray | None,
    time: np.ndarray | None,
    *,
    path: Path,
    columns: TableColumns,
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray, int]:
    """Values by step and place, the places, the times, and how many rows went into others."""
    where, place = _numbered(places, len(value))
    when, step = _numbered(None if time is None else time[:, None], len(value))
    if len(when) * len(where) > _MOST_VALUES:
        raise DataError(
            f"{path}: {len(where):,} places at {len(when):,} times are too many values: round the "
            "times so that places share them"
        )
    cell = step * len(where) + place
    count = np.bincount(cell, minlength=len(where) * len(when))
    if int(count.max()) > 1 and columns.repeated == "error":
        raise DataError(
            _twice(path, int(count.max()), placed=places is not None, timed=time is not None)
        )
    known = ~np.isnan(value)
    there = np.bincount(cell[known], minlength=len(count))
    total = np.bincount(cell[known], weights=value[known], minlength=len(count))
    values = np.full(len(count), np.nan)
    values[there > 0] = total[there > 0] / there[there > 0]
    shaped = values.reshape(len(when), len(where))
    merged = int((count - 1).clip(min=0).sum())
    return shaped, None if places is None else where, when[:, 0], merged


def _twice(path: Path, count: int, *, placed: bool, timed: bool) -> str:
    if not timed:
        hint = "name the column of times (--time NAME, or time=NAME)"
        return f"{path}: {count} rows of one place: {hint}"
    what = "place and time" if placed else "time; name places latitude and longitude"
    hint = "a series has one value there (for their mean in geoloc krige: repeated=mean)"
    return f"{path}: {count} rows of one {what}: {hint}"


def _numbered(rows: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The different rows, and which of them each one is; without any all are one."""
    if rows is None:
        return np.zeros((1, 1)), np.zeros(count, dtype=np.int64)
    different, number = np.unique(rows, axis=0, return_inverse=True)
    return different, number.ravel()


def table_times(
    table: Any, column: str | None, path: Path
) -> tuple[Float64[np.ndarray, " row"] | None, bool]:
    """Times of all rows as numbers, and whether these are days since 1970; None without a column.

    Raises:
        DataError: a cell is no time.
    """
    if column is None:
        return None, False
    cells = table.column(column).to_pandas()
    if pd.api.types.is_numeric_dtype(cells.dtype):
        return cells.to_numpy(np.float64), False
    if not pd.api.types.is_datetime64_any_dtype(cells.dtype):
        number = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
        if bool((np.isfinite(number) | _is_missing(cells)).all()):
            return number, False
    stamp = pd.to_datetime(cells, format="ISO8601", utc=True, errors="coerce")
    bad = np.flatnonzero(stamp.isna().to_numpy(bool) & ~_is_missing(cells))
    if len(bad):
        row = int(bad[0])
        raise DataError(
            f"{path}, row {row + 1}: {cells.iloc[row]!r} in {column!r} is no time: write ISO 8601, "
            "such as 2020-01-31T12:00, or a number"
        )
    days = (stamp - pd.Timestamp("1970-01-01", tz="UTC")) / pd.Timedelta(days=1)
    return days.to_numpy(np.float64), True


def table_numbers(table: Any, column: str, path: Path) -> Float64[np.ndarray, " row"]:
    """The numbers of a column, nan where a cell is empty or says so.

    Raises:
        DataError: a cell is no number.
    """
    cells = table.column(column).to_pandas()
    number = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(np.isnan(number) & ~_is_missing(cells))
    if len(bad):
        row = int(bad[0])
        raise DataError(f"{path}, row {row + 1}: {cells.iloc[row]!r} in {column!r} is no number")
    return number


def _is_missing(cells: Any) -> Bool[np.ndarray, " row"]:
    text = cells.astype(str).str.strip().str.lower()
    return cells.isna().to_numpy(bool) | text.isin(MISSING).to_numpy(bool)


def iso_times(day: Float64[np.ndarray, " time"]) -> list[str]:
    """Days since 1970 as ISO 8601, to the microsecond; dates alone where all are of midnight."""
    since = pd.to_timedelta(day, unit="D").round("us")
    stamps = pd.DatetimeIndex(pd.Timestamp("1970-01-01") + since)
    dates = bool((stamps == stamps.normalize()).all())
    return [each.date().isoformat() if dates else each.isoformat() for each in stamps]

"""A column of a table as series: a row is a number, at a place or not, at a time or not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64

from geoloc.data.placed_series import PlacedSeries, with_gaps
from geoloc.data.sample_table import is_table, read_cells
from geoloc.errors import ConfigError, DataError

_LATITUDE = ("latitude", "lat", "latitude_deg", "lat_deg")
_LONGITUDE = ("longitude", "lon", "lng", "longitude_deg", "lon_deg")
_MISSING = ("", "na", "n/a", "nan", "null", "none", "-")
_MOST_VALUES = 30_000_000
_ROUND_DEG = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class TableColumns:
    """Which columns of a table to read.

    Attributes:
        value: the number.
        time: when: ISO 8601, dates of parquet, or plain numbers; None where rows have no time.
    """

    value: str
    time: str | None = None


def read_table_series(
    path: Path, columns: TableColumns, *, most_places: int, seed: int = 0
) -> PlacedSeries:
    """Series of a CSV or parquet table.

    Places stand in columns latitude and longitude (or lat, lon ...). Without these, rows are the
    steps of one series, in their order or in that of their times. Rows without place or time are
    left out, which the notes say, as they do of steps that are put in where times have gaps.

    Args:
        path: .csv, .parquet or .pq.
        columns: the number and the time.
        most_places: of more, so many are drawn.
        seed: of the draw.

    Raises:
        ConfigError: a column is not there, or the table has places and times but none is named.
        DataError: the table cannot be read, a cell is no number or no time, or two rows are of one
            place and time.
        CoordinateError: a place is out of range.
    """
    if not is_table(path) or not path.is_file():
        raise DataError(f"{path}: there is no such table (.csv, .parquet)")
    table = read_cells(path)
    names = [str(name) for name in table.column_names]
    for wanted in (columns.value, columns.time):
        if wanted is not None and wanted not in names:
            raise ConfigError(f"{path} has no column {wanted!r}; it has {', '.join(names)}")
    places = _places(table, names, path)
    time, dated = _times(table, columns.time, path)
    read = _kept(_numbers(table, columns.value, path), places, time, path=path)
    value, places, time, notes = read
    if places is None and time is None:
        time = np.arange(len(value), dtype=np.float64)
        notes.append("rows are taken for equal steps of time, in their order")
    values, places, steps = _series(value, places, time, path=path)
    if places is not None and len(places) > most_places:
        drawn = np.random.default_rng(seed).choice(len(places), size=most_places, replace=False)
        notes.append(f"{most_places:,} of {len(places):,} places, drawn with seed {seed}")
        values, places = values[:, np.sort(drawn)], places[np.sort(drawn)]
    series = PlacedSeries(
        name=f"{columns.value} ({path.name})",
        unit="",
        values=values,
        latlon_deg=places,
        time=steps,
        dated=dated,
        notes=tuple(notes),
    )
    return with_gaps(series)


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
    value: np.ndarray, places: np.ndarray | None, time: np.ndarray | None, *, path: Path
) -> tuple[np.ndarray, np.ndarray | None, np.ndarray]:
    """Values by step and place, the places, and the times."""
    where, place = _numbered(places, len(value))
    when, step = _numbered(None if time is None else time[:, None], len(value))
    if len(when) * len(where) > _MOST_VALUES:
        raise DataError(
            f"{path}: {len(where):,} places at {len(when):,} times are too many values: round the "
            "times so that places share them"
        )
    count = np.bincount(step * len(where) + place, minlength=len(where) * len(when))
    if int(count.max()) > 1:
        raise DataError(
            _twice(path, int(count.max()), placed=places is not None, timed=time is not None)
        )
    values = np.full((len(when), len(where)), np.nan)
    values[step, place] = value
    return values, None if places is None else where, when[:, 0]


def _twice(path: Path, count: int, *, placed: bool, timed: bool) -> str:
    if not timed:
        return f"{path}: {count} rows of one place: name the column of times with --time"
    what = "place and time" if placed else "time; name places latitude and longitude"
    return f"{path}: {count} rows of one {what}: a series has one value there"


def _numbered(rows: np.ndarray | None, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The different rows, and which of them each one is; without any all are one."""
    if rows is None:
        return np.zeros((1, 1)), np.zeros(count, dtype=np.int64)
    different, number = np.unique(rows, axis=0, return_inverse=True)
    return different, number.ravel()


def _places(table: Any, names: list[str], path: Path) -> Float64[np.ndarray, "row 2"] | None:
    found = [
        next((name for name in names if name.strip().lower() in aliases), None)
        for aliases in (_LATITUDE, _LONGITUDE)
    ]
    if found == [None, None]:
        return None
    if None in found:
        raise DataError(f"{path} has a latitude or a longitude, not both: {', '.join(names)}")
    degrees = [_numbers(table, str(name), path) for name in found]
    return np.round(np.stack(degrees, axis=-1), _ROUND_DEG)


def _times(table: Any, column: str | None, path: Path) -> tuple[np.ndarray | None, bool]:
    """Times as numbers, and whether these are days since 1970."""
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


def _numbers(table: Any, column: str, path: Path) -> Float64[np.ndarray, " row"]:
    cells = table.column(column).to_pandas()
    number = np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)
    bad = np.flatnonzero(np.isnan(number) & ~_is_missing(cells))
    if len(bad):
        row = int(bad[0])
        raise DataError(f"{path}, row {row + 1}: {cells.iloc[row]!r} in {column!r} is no number")
    return number


def _is_missing(cells: Any) -> Bool[np.ndarray, " row"]:
    text = cells.astype(str).str.strip().str.lower()
    return cells.isna().to_numpy(bool) | text.isin(_MISSING).to_numpy(bool)

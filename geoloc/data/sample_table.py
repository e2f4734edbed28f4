"""A table of samples (CSV, parquet, or what shards say of theirs): all cells kept, places read."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Shaped

from geoloc.artifacts import write_atomically
from geoloc.data.described import described_records
from geoloc.data.shard_list import list_shards
from geoloc.data.shard_opener import ShardOpener
from geoloc.errors import DataError
from geoloc.geodesy import is_valid_latlon

_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "lon", "lng")
_KEY = ("key", "id", "img_id")
_PARQUET = (".parquet", ".pq")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SampleTable:
    """Samples in the order of their source.

    Attributes:
        table: the pyarrow table as read; of a CSV file every cell is text.
        latlon_deg: places in degrees; NaN, NaN where a row has none that can be used.
        name: what the source is called in messages.
    """

    table: Any
    latlon_deg: Float64[np.ndarray, "row 2"]
    name: str

    def __len__(self) -> int:
        return len(self.latlon_deg)

    @property
    def has_place(self) -> Bool[np.ndarray, " row"]:
        """Rows whose place can be used."""
        return np.isfinite(self.latlon_deg[:, 0])

    @property
    def columns(self) -> list[str]:
        """Names of the columns."""
        return list(self.table.column_names)

    def find(self, names: Sequence[str]) -> str | None:
        """The first of these columns that is there, whatever its case; None without any."""
        lower = {column.lower(): column for column in reversed(self.columns)}
        return next((lower[name] for name in names if name in lower), None)

    def texts(self, column: str) -> Shaped[np.ndarray, " row"]:
        """A column as text; None where a cell is missing or empty.

        Raises:
            DataError: there is no such column, or it holds floating-point numbers, which would
                not name a group or a sample alike in every file.
        """
        if column not in self.columns:
            raise DataError(f"{self.name}: no column {column!r}; it has {self.columns}")
        series = self.table.column(column).to_pandas()
        if pd.api.types.is_float_dtype(series.dtype):
            whole = series.isna() | (series == series.round())
            if not bool(whole.all()):
                raise DataError(f"{self.name}: column {column!r} holds fractions, no names")
            series = series.astype("Int64")
        text = series.astype(str).to_numpy(object, copy=True)
        text[series.isna().to_numpy(bool) | (text == "")] = None
        return text

    def keys(self) -> Shaped[np.ndarray, " row"]:
        """The column ``key``, ``id`` or ``IMG_ID``; the number of the row where there is none."""
        column = self.find(_KEY)
        numbers = np.array([f"{row:08d}" for row in range(len(self))], dtype=object)
        if column is None:
            return numbers
        texts = self.texts(column)
        return np.where(pd.isna(texts), numbers, texts)

    def write(self, path: Path, **added: np.ndarray) -> None:
        """Write the table with further columns of text, atomically, as parquet or CSV.

        Raises:
            DataError: the name of the file says neither, or a column is there already.
        """
        import pyarrow as pa

        table = self.table
        for column, values in added.items():
            if column in self.columns:
                raise DataError(f"{self.name}: it has a column {column!r} already")
            table = table.append_column(column, pa.array(values, type=pa.string()))
        _write(table, path)


def write_frame(frame: pd.DataFrame, path: Path) -> None:
    """Write a table atomically, as parquet or CSV by the name of the file.

    Raises:
        DataError: the name says neither.
    """
    import pyarrow as pa

    _write(pa.Table.from_pandas(frame, preserve_index=False), path)


def is_table(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a table by its name (.csv, .parquet, .pq)."""
    return Path(source).suffix.lower() in (".csv", *_PARQUET)


def read_samples(
    source: str,
    *,
    latitude: str | None = None,
    longitude: str | None = None,
    labels: Sequence[str] = (),
) -> SampleTable:
    """Samples of a CSV or parquet table, or of shards.

    Args:
        source: a file .csv, .parquet or .pq; anything else is shards (`list_shards`), which give
            the columns key, latitude, longitude and those of `labels` that a sample has.
        latitude: its column of a table; by default latitude or lat, in any case.
        longitude: likewise longitude, lon or lng.
        labels: what else is wanted of shards; a table keeps all of its columns.

    Raises:
        DataError: the source is missing, empty or cannot be read, or has no such column.
    """
    if not is_table(source):
        table = _shard_table(source, labels)
    elif not Path(source).is_file():
        raise DataError(f"{source}: no such file")
    else:
        table = read_cells(Path(source))
    if not table.num_rows:
        raise DataError(f"{source}: it holds no sample")
    bare = SampleTable(table=table, latlon_deg=np.empty((table.num_rows, 2)), name=source)
    angles = [
        _degrees(bare, _chosen(bare, wanted, names))
        for wanted, names in ((latitude, _LATITUDE), (longitude, _LONGITUDE))
    ]
    places = np.stack(angles, axis=1)
    places[~np.asarray(is_valid_latlon(places))] = np.nan
    return SampleTable(table=table, latlon_deg=places, name=source)


def read_cells(path: Path) -> Any:
    """A CSV or parquet table as pyarrow has it; of a CSV file every cell is text.

    Raises:
        DataError: the file cannot be read.
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    try:
        if path.suffix.lower() in _PARQUET:
            return parquet.read_table(path)
        parse = csv.ParseOptions(newlines_in_values=True)
        with csv.open_csv(path, parse_options=parse) as reader:
            names = reader.schema.names
        # As text, so that ids keep their digits and "NA" stays Namibia.
        convert = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()))
        return csv.read_csv(path, parse_options=parse, convert_options=convert)
    except (OSError, ValueError) as error:  # pyarrow's errors are kinds of these two
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
        raise DataError(f"{path}: cannot be read as a table: {reason}") from None


def _write(table: Any, path: Path) -> None:
    from pyarrow import csv, parquet

    writers: dict[str, Callable[[Path], object]] = {
        ".csv": lambda to: csv.write_csv(table, to),
        **dict.fromkeys(_PARQUET, lambda to: parquet.write_table(table, to)),
    }
    if path.suffix.lower() not in writers:
        raise DataError(f"{path}: tables are written as .parquet or .csv")
    write_atomically(path, writers[path.suffix.lower()])


def _chosen(table: SampleTable, wanted: str | None, names: tuple[str, ...]) -> str:
    found = table.find(names) if wanted is None else wanted
    if found is None or found not in table.columns:
        raise DataError(f"{table.name}: no column {wanted or names[0]}; it has {table.columns}")
    return found


def _degrees(table: SampleTable, column: str) -> Float64[np.ndarray, " row"]:
    series = table.table.column(column).to_pandas()
    return np.asarray(pd.to_numeric(series, errors="coerce"), dtype=np.float64)


def _shard_table(source: str, labels: Sequence[str]) -> Any:
    import pyarrow as pa

    shards, opener = list_shards(source), ShardOpener()
    keys, latitudes, longitudes = list[str](), list[float](), list[float]()
    cells: dict[str, list[str | None]] = {label: [] for label in labels}
    for url, expected in zip(shards.urls, shards.sizes, strict=True):
        for record in described_records(url, opener, expected=expected):
            keys.append(record.key)
            latitudes.append(record.latlon_deg[0])
            longitudes.append(record.latlon_deg[1])
            for label, column in cells.items():
                value = record.label.get(label)
                column.append(None if value is None else str(value))
    there = {label: column for label, column in cells.items() if any(c is not None for c in column)}
    columns = {"key": keys, "latitude": latitudes, "longitude": longitudes}
    texts = {label: pa.array(column, type=pa.string()) for label, column in there.items()}
    return pa.table({**columns, **{k: v for k, v in texts.items() if k not in columns}})

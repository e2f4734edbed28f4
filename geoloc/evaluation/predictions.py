"""Tables of predictions: their columns, what is refused in them, reading and writing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from geoloc.artifacts import write_atomically
from geoloc.errors import CoordinateError, DataError
from geoloc.geodesy import is_valid_latlon

SCHEMA_VERSION = 1
LEVELS = ("country", "region", "sub-region", "city")
PLACE_COLUMNS = ("true_lat_deg", "true_lon_deg", "pred_lat_deg", "pred_lon_deg")
REQUIRED_COLUMNS = ("key", *PLACE_COLUMNS)
TOP_COLUMNS = ("top_lat_deg", "top_lon_deg", "top_score")
LABEL_COLUMNS = tuple(f"unique_{level}" for level in LEVELS)
_KNOWN = (*REQUIRED_COLUMNS, "score", *TOP_COLUMNS, *LABEL_COLUMNS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PredictionTable:
    """A table that has been looked at: every row counts, every place is one on Earth.

    Attributes:
        key: one name a row, all different.
        true_deg: true places.
        pred_deg: predicted places.
        label: for each level that the table knows, its labels; None where a row has none.
    """

    key: np.ndarray
    true_deg: Float64[np.ndarray, "row 2"]
    pred_deg: Float64[np.ndarray, "row 2"]
    label: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.key)


def prediction_table(
    frame: pd.DataFrame, *, columns: Mapping[str, str] | None = None
) -> PredictionTable:
    """Check a table of predictions and take out what scoring needs.

    Args:
        frame: one row an image.
        columns: our names to the frame's own, where they differ.

    Raises:
        DataError: a column is missing, the table is empty, or a key is missing or repeated.
        CoordinateError: a place is not finite or out of range; the row and its key are named.
    """
    frame = _with_our_names(frame, columns)
    if frame.empty:
        raise DataError("the table of predictions has no rows: nothing to score")
    key = checked_keys(frame["key"])
    numbers = np.stack([_numbers(frame[name]) for name in PLACE_COLUMNS], axis=1)
    for what, place in (("true", numbers[:, :2]), ("predicted", numbers[:, 2:])):
        _check_places(place, key, what=what)
    label = {
        level: _labels(frame[f"unique_{level}"])
        for level in LEVELS
        if f"unique_{level}" in frame.columns
    }
    return PredictionTable(
        key=key, true_deg=numbers[:, :2].copy(), pred_deg=numbers[:, 2:].copy(), label=label
    )


def read_predictions(
    path: Path | str,
    columns: Mapping[str, str] | None = None,
    *,
    required: Sequence[str] = REQUIRED_COLUMNS,
) -> pd.DataFrame:
    """Read predictions from parquet or CSV under our column names.

    Of a CSV file every cell is read as text, so that 16-digit ids keep their digits and "NA" stays
    Namibia; an empty label is a missing one.

    Args:
        path: ends in .parquet, .pq or .csv.
        columns: our names to the file's own, where they differ.
        required: what must be there, under our names.

    Raises:
        DataError: the file is missing, unreadable or of another kind, or lacks a column.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file of predictions at {path}")
    try:
        frame = _read_frame(path)
    except DataError:
        raise
    except (OSError, ValueError) as error:  # pyarrow and pandas raise kinds of these two
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "damaged"
        raise DataError(f"{path} cannot be read: {reason}") from None
    try:
        return _with_our_names(frame, columns, required=required)
    except DataError as error:
        raise DataError(f"{path}: {error}") from None


def write_predictions(frame: pd.DataFrame, path: Path | str) -> None:
    """Write predictions as parquet, atomically, with our schema.

    Args:
        frame: as `evaluate_split` gives it; further columns are kept as they are.
        path: where to.

    Raises:
        DataError: a required column is missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    frame = _with_our_names(frame, None)
    types: dict[str, Any] = {name: pa.float64() for name in (*PLACE_COLUMNS, "score")}
    types |= {name: pa.list_(pa.float64()) for name in TOP_COLUMNS}
    types |= {name: pa.string() for name in ("key", *LABEL_COLUMNS)}
    arrays = {
        str(name): pa.array(frame[name].astype(object), type=types.get(str(name)), from_pandas=True)
        for name in frame.columns
    }
    table = pa.table(arrays).replace_schema_metadata(
        {"geoloc_predictions_schema": str(SCHEMA_VERSION)}
    )
    write_atomically(Path(path), lambda temporary: pq.write_table(table, temporary))


def _read_frame(path: Path) -> pd.DataFrame:
    kind = path.suffix.lower()
    if kind in (".parquet", ".pq"):
        return pd.read_parquet(path)
    if kind == ".csv":
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
        if not isinstance(frame.index, pd.RangeIndex):
            # Pandas would take the first column for names of rows and shift the others.
            raise DataError(f"{path}: its rows have more cells than its header")
        return frame
    raise DataError(
        f"{path}: predictions are read from .parquet or .csv, not {kind or 'no suffix'}"
    )


def _with_our_names(
    frame: pd.DataFrame,
    columns: Mapping[str, str] | None,
    *,
    required: Sequence[str] = REQUIRED_COLUMNS,
) -> pd.DataFrame:
    columns = dict(columns or {})
    there = [str(name) for name in frame.columns]
    if unknown := [name for name in columns if name not in _KNOWN]:
        raise DataError(f"no such column of predictions: {unknown}; ours are {list(_KNOWN)}")
    if absent := [theirs for theirs in columns.values() if theirs not in there]:
        raise DataError(f"columns {absent} are missing; the table has {there}")
    if columns:
        # a column of ours that another one now stands in for must not remain beside it
        replaced = [ours for ours, theirs in columns.items() if ours != theirs and ours in there]
        renamed = {ours: frame[theirs] for ours, theirs in columns.items()}
        frame = frame.drop(columns=[*replaced]).assign(**renamed)
    if missing := [name for name in required if name not in frame.columns]:
        raise DataError(f"columns {missing} are missing; the table has {there}")
    return frame


def checked_keys(column: Any) -> np.ndarray:
    """A column of keys as text.

    Raises:
        DataError: a key is missing, repeated, or a floating-point number.
    """
    if pd.api.types.is_float_dtype(column.dtype):
        raise DataError("keys are floating-point numbers, which lose digits: give them as text")
    text = column.astype(str)
    if len(bad := np.flatnonzero(column.isna().to_numpy(bool) | (text == "").to_numpy(bool))):
        raise DataError(f"row {int(bad[0])} has no key")
    key, repeated = text.to_numpy(object), text.duplicated().to_numpy(bool)
    if repeated.any():
        row = int(np.flatnonzero(repeated)[0])
        raise DataError(
            f"{int(repeated.sum())} keys occur more than once, first {key[row]!r} in row {row}: "
            "every image counts once"
        )
    return key


def _numbers(column: Any) -> np.ndarray:
    return np.asarray(pd.to_numeric(column, errors="coerce"), dtype=np.float64)


def _check_places(latlon_deg: np.ndarray, key: np.ndarray, *, what: str) -> None:
    good = np.asarray(is_valid_latlon(latlon_deg))
    if good.all():
        return
    row = int(np.flatnonzero(~good)[0])
    raise CoordinateError(
        f"{int((~good).sum())} {what} places are not on Earth, first in row {row} "
        f"(key {key[row]!r}): latitude, longitude = {latlon_deg[row].tolist()}"
    )


def _labels(column: Any) -> np.ndarray:
    """Labels as text; None for what is null or empty."""
    code, different = pd.factorize(column)
    text = np.array(
        [str(label) or None for label in pd.Index(different).to_numpy(object)] + [None],
        dtype=object,
    )
    return text[code]

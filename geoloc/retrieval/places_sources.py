"""Places in files: read from CSV, parquet and NumPy, written to them; which are the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from geoloc.artifacts import write_atomically
from geoloc.errors import ConfigError, CoordinateError, DataError
from geoloc.geodesy import validate_latlon

PLACE_FILES = (".csv", ".parquet", ".npy")
"""Endings of the files that hold places."""

# mean_*: the cells of OSV-5M's quadtrees; true_*: predictions
_LATITUDE = ("lat", "latitude", "lat_deg", "latitude_deg", "mean_lat", "true_lat_deg")
_LONGITUDE = (
    *("lon", "lng", "long", "longitude", "lon_deg", "longitude_deg"),
    *("mean_lon", "true_lon_deg"),
)


def distinct_places(
    latlon_deg: Float64[np.ndarray, "place 2"],
) -> tuple[Int64[np.ndarray, " distinct"], Int64[np.ndarray, " place"]]:
    """Which places are the first of their kind, and which of those each place equals.

    Two places are the same when they are the same point: longitude 180 and -180 are one meridian,
    every longitude is one pole, and 0.0 is -0.0. Near neighbours stay apart.

    Returns:
        The indices of the first occurrences in their order, and for every place the position of
        its own first occurrence among them.
    """
    point = latlon_deg + 0.0  # makes -0.0 equal to 0.0 in bytes too
    point[point[:, 1] == 180.0, 1] = -180.0
    point[np.abs(point[:, 0]) == 90.0, 1] = 0.0
    _, first, inverse = np.unique(point, axis=0, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    return first[order].astype(np.int64), rank[inverse.reshape(-1)].astype(np.int64)


def places_from_file(
    path: Path | str, *, latitude: str | None = None, longitude: str | None = None
) -> Float64[np.ndarray, "place 2"]:
    """Read places in degrees, duplicates included, from a .csv, a .parquet or an .npy file.

    Args:
        path: a table with a header, or an array of shape (n, 2) of latitudes and longitudes.
        latitude: a table's column of latitudes; by default the one called lat, latitude, mean_lat
            or true_lat_deg, ... in any case.
        longitude: its column of longitudes, likewise.

    Raises:
        DataError: the file is missing or empty, or a column cannot be found.
        CoordinateError: a row holds no number, or one out of range; the row is named.
    """
    path = Path(path)
    if path.suffix.lower() != ".npy":
        return _from_table(path, latitude, longitude, None)[0]
    _must_be(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as an array: {error}") from None
    if array.ndim != 2 or array.shape[1] != 2 or array.dtype.kind not in "fiu" or not len(array):
        raise DataError(
            f"{path} holds an array of {array.dtype} and shape {array.shape}: expected (n, 2), "
            "latitude and longitude in degrees"
        )
    places = array.astype(np.float64)
    validate_latlon(places, what=f"place of {path.name}")
    return places


def grouped_places_from_file(
    path: Path | str, column: str
) -> tuple[Float64[np.ndarray, "place 2"], Shaped[np.ndarray, " place"]]:
    """Places of a table with the text of another of its columns, such as a cell's number.

    Raises:
        DataError: the file is missing or empty, or a column cannot be found.
        CoordinateError: a row holds no number, or one out of range.
    """
    return _from_table(Path(path), None, None, column)


def save_places(latlon_deg: Float64[np.ndarray, "place 2"], path: Path | str) -> Path:
    """Write places as .csv or .parquet (columns latitude, longitude) or .npy; gives the path.

    Numbers are written so that they read back exactly.

    Raises:
        ConfigError: the file has another ending.
        OSError: it cannot be written.
    """
    import pandas as pd

    path = Path(path)
    ending = path.suffix.lower()
    if ending not in PLACE_FILES:
        raise ConfigError(f"{path}: places are written as {', '.join(PLACE_FILES)}")
    frame = pd.DataFrame(latlon_deg, columns=["latitude", "longitude"])

    def write(temporary: Path) -> None:
        if ending == ".csv":
            frame.to_csv(temporary, index=False)
        elif ending == ".parquet":
            frame.to_parquet(temporary, index=False)
        else:
            np.save(temporary, latlon_deg, allow_pickle=False)

    write_atomically(path, write)
    return path


def _from_table(
    path: Path, latitude: str | None, longitude: str | None, column: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Places, and the text of another column; without one, of latitudes."""
    import pandas as pd

    _must_be(path)
    try:
        names = _names(path)
        chosen = [
            _column(path, names, latitude, _LATITUDE),
            _column(path, names, longitude, _LONGITUDE),
        ]
        if column is not None:
            chosen.append(_column(path, names, column, ()))
        frame = _read(path, chosen)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as CSV: {str(error).strip()}") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read as parquet: {str(error).strip()}") from None
    if frame.empty:
        raise DataError(f"{path} holds no places: it has a header only")
    text = frame[chosen[:2]]
    places = text.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if len(bad := np.flatnonzero(~np.isfinite(places).all(axis=1))):
        row = int(bad[0])
        raise CoordinateError(f"{path}, row {row + 1}: no place in {list(text.iloc[row])}")
    validate_latlon(places, what=f"place of {path.name}")
    return places, frame[chosen[-1]].astype(str).to_numpy(dtype=object)


def _must_be(path: Path) -> None:
    if not path.is_file():
        raise DataError(f"there is no file of places at {path}")


def _names(path: Path) -> list[str]:
    import pandas as pd
    from pyarrow import parquet

    if path.suffix.lower() == ".parquet":
        try:
            return [str(name) for name in parquet.read_schema(path).names]
        except ValueError as error:  # pyarrow's own errors are of this kind
            raise OSError(str(error)) from None
    return [str(name) for name in pd.read_csv(path, nrows=0).columns]


def _read(path: Path, columns: list[str]) -> Any:
    """The columns alone: a table of millions of rows may have thirty others."""
    import pandas as pd

    if path.suffix.lower() == ".parquet":
        return pd.read_parquet(path, columns=list(dict.fromkeys(columns)))
    wanted = set(columns)
    return pd.read_csv(
        path, dtype=str, keep_default_na=False, usecols=lambda name: str(name) in wanted
    )


def _column(path: Path, names: list[str], wanted: str | None, aliases: tuple[str, ...]) -> str:
    if wanted is not None and wanted in names:
        return wanted
    found = [name for name in names if name.strip().lower() in aliases]
    if wanted is None and len(found) == 1:
        return found[0]
    problem = f"no column {wanted!r}" if wanted is not None else f"no one column of {aliases}"
    raise DataError(f"{path}: {problem}; it has {names}: name the columns to use")

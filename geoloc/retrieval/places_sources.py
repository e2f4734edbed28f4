"""Where the places of a gallery come from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import CoordinateError, DataError
from geoloc.geodesy import validate_latlon

_LATITUDE = ("lat", "latitude", "lat_deg", "latitude_deg")
_LONGITUDE = ("lon", "lng", "long", "longitude", "lon_deg", "longitude_deg")


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


def _column(path: Path, names: list[str], wanted: str | None, aliases: tuple[str, ...]) -> str:
    if wanted is not None and wanted in names:
        return wanted
    found = [name for name in names if name.strip().lower() in aliases]
    if wanted is None and len(found) == 1:
        return found[0]
    problem = f"no column {wanted!r}" if wanted is not None else f"no one column of {aliases}"
    raise DataError(f"{path}: {problem}; it has {names}: name the columns to use")


def places_from_csv(
    path: Path | str, *, latitude: str | None = None, longitude: str | None = None
) -> Float64[np.ndarray, "place 2"]:
    """Read places in degrees from a CSV file with a header, duplicates included.

    Args:
        path: the file.
        latitude: its column of latitudes; by default the one called lat, latitude, ... in any case.
        longitude: its column of longitudes, likewise.

    Raises:
        DataError: the file is missing or empty, or a column cannot be found.
        CoordinateError: a row holds no number, or one out of range; the line is named.
    """
    import pandas as pd

    path = Path(path)
    if not path.is_file():
        raise DataError(f"there is no file of places at {path}")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as CSV: {str(error).strip()}") from None
    names = [str(name) for name in frame.columns]
    chosen = [
        _column(path, names, latitude, _LATITUDE),
        _column(path, names, longitude, _LONGITUDE),
    ]
    if frame.empty:
        raise DataError(f"{path} holds no places: it has a header only")
    text = frame[chosen]
    places = text.apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if len(bad := np.flatnonzero(~np.isfinite(places).all(axis=1))):
        row = int(bad[0])
        raise CoordinateError(f"{path}, row {row + 1}: no place in {list(text.iloc[row])}")
    validate_latlon(places, what=f"place of {path.name}")
    return places

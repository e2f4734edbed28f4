"""S2, Google's quadrilaterals: the one file that knows the library s2cell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt64

from geoloc.errors import ConfigError

_DEEPEST = 30
_PART = 1 << 16


def centre_parts(level: int) -> Iterator[Float64[np.ndarray, "_ 2"]]:
    """The centres of all cells of a level along S2's curve, some 65,000 at a time.

    A cell's number is its place along the curve, then a one, then zeros: see "S2 Cells" in
    Google's documentation of S2.
    """
    count = 6 * 4**level
    return (
        cell_centres(_along_curve(first, min(first + _PART, count), level))
        for first in range(0, count, _PART)
    )


def _along_curve(first: int, end: int, level: int) -> UInt64[np.ndarray, " cell"]:
    one = np.uint64(1)
    along = np.arange(first, end, dtype=np.uint64)
    return ((along << one) | one) << np.uint64(2 * (_DEEPEST - level))


def cell_numbers(
    latlon_deg: Float64[np.ndarray, "place 2"], level: int
) -> UInt64[np.ndarray, " place"]:
    """The cell that each place lies in, by S2's own numbers."""
    find = _library().lat_lon_to_cell_id
    cells = (find(lat, lon, level) for lat, lon in latlon_deg.tolist())
    return np.fromiter(cells, dtype=np.uint64, count=len(latlon_deg))


def cell_centres(cell: UInt64[np.ndarray, " cell"]) -> Float64[np.ndarray, "cell 2"]:
    """The centres of cells given by number."""
    find = _library().cell_id_to_lat_lon
    return np.array([find(number) for number in cell.tolist()], dtype=np.float64).reshape(-1, 2)


def _library() -> Any:
    try:
        import s2cell
    except ImportError:
        raise ConfigError('cells of S2 need a library: pip install "geoloc[cells]"') from None
    return s2cell

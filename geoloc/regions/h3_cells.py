"""H3, Uber's hexagons: the one file that knows the library h3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from jaxtyping import Float64, UInt64

from geoloc.errors import ConfigError


def centre_parts(resolution: int) -> Iterator[Float64[np.ndarray, "_ 2"]]:
    """The centres of all cells of a resolution, one part for each of the 122 base cells."""
    h3 = _library()
    bases = sorted(h3.get_res0_cells().tolist())
    # as NumPy's own uint64: h3's is another type of C of the same size
    return (cell_centres(h3.cell_to_children(base, resolution).astype(np.uint64)) for base in bases)


def cell_numbers(
    latlon_deg: Float64[np.ndarray, "place 2"], resolution: int
) -> UInt64[np.ndarray, " place"]:
    """The cell that each place lies in, by H3's own numbers."""
    find = _library().latlng_to_cell
    cells = (find(lat, lon, resolution) for lat, lon in latlon_deg.tolist())
    return np.fromiter(cells, dtype=np.uint64, count=len(latlon_deg))


def cell_centres(cell: UInt64[np.ndarray, " cell"]) -> Float64[np.ndarray, "cell 2"]:
    """The centres of cells given by number."""
    find = _library().cell_to_latlng
    return np.array([find(number) for number in cell.tolist()], dtype=np.float64).reshape(-1, 2)


def _library() -> Any:
    try:
        import h3.api.numpy_int as h3
    except ImportError:
        raise ConfigError('cells of H3 need its library: pip install "geoloc[cells]"') from None
    return h3

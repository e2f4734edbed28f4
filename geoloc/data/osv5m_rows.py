"""The rows of an OSV-5M table, checked, sorted to the zips that hold their images, on disk."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float

from geoloc.data.earth_blocks import BlockGrid
from geoloc.data.osv5m_images import ImageIndex
from geoloc.data.record import PlaceError, place_of
from geoloc.data.table_rows import read_table
from geoloc.data.write_report import CountingWriter

_ROWS_AT_ONCE = 20_000
_DENSITY_BLOCK_DEG = 1.0
_DENSITY_POWER = -0.75
_NUMBERS = frozenset(
    (
        *("latitude", "longitude", "lon_bin", "lat_bin", "cell", "dist_sea"),
        *("land_cover", "road_index", "drive_side", "climate", "soil"),
        *(f"quadtree_10_{size}" for size in (500, 1000, 2500, 5000, 12500, 25000, 50000)),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedRows:
    """Usable rows, spooled to one file a container of images, numbered in the table's order.

    Attributes:
        folder: where the spool files lie.
        latlon_deg: places of the usable rows.
        unused_images: images that no row mentions.
    """

    folder: Path
    latlon_deg: Float[np.ndarray, "row 2"]
    unused_images: int

    def of_container(self, container: int) -> list[tuple[int, dict[str, Any]]]:
        """Number and columns of the rows whose images lie in a container."""
        file = _spool_file(self.folder, container)
        if not file.exists():
            return []
        with file.open(encoding="utf-8") as lines:
            return [(number, row) for number, row in map(json.loads, lines)]


def sort_rows(
    table: Path,
    images: ImageIndex,
    folder: Path,
    *,
    tally: CountingWriter,
    progress: Callable[[int], None] | None = None,
) -> SortedRows:
    """Read the table once, count what cannot be used, spool the rest by container of images.

    Everything is text until a column known to be a number is turned into one: ids near 2^53 keep
    every digit, and Namibia's "NA" is not missing. Empty cells become None.

    Raises:
        DataError: the table is missing, not UTF-8, or lacks a column.
    """
    seen = np.zeros(len(images.id), dtype=np.bool_)
    places: list[tuple[float, float]] = []
    rows = read_table(table, needed=("id", "latitude", "longitude"))
    for done in itertools.count(_ROWS_AT_ONCE, _ROWS_AT_ONCE):
        chunk = list(itertools.islice(rows, _ROWS_AT_ONCE))
        if not chunk:
            break
        spool: dict[int, list[str]] = {}
        positions = images.find([row.get("id") or "" for row in chunk])
        for row, position in zip(chunk, positions.tolist(), strict=True):
            place = _usable_place(row, position, seen=seen, tally=tally)
            if place is None:
                continue
            seen[position] = True
            line = json.dumps((len(places), _typed(row, place)), ensure_ascii=False)
            places.append(place)
            spool.setdefault(int(images.container[position]), []).append(line + "\n")
        for container, lines in spool.items():
            with _spool_file(folder, container).open("a", encoding="utf-8") as file:
                file.writelines(lines)
        if progress is not None:
            progress(done)
    return SortedRows(
        folder=folder,
        latlon_deg=np.array(places, dtype=np.float64).reshape(-1, 2),
        unused_images=int((~seen).sum()),
    )


def choose_validation(
    latlon_deg: Float[np.ndarray, "row 2"], *, share: float, generator: np.random.Generator
) -> Bool[np.ndarray, " row"]:
    """Which rows to set aside for validation: a share of all, with weight density^-0.75.

    OSV-5M draws its validation set so, that crowded countries do not fill it (Astruc et al. 2024).
    The density of a row is here the number of rows in its block of about 1 degree by 1 degree of
    the equator (`BlockGrid`). Drawn without replacement by the keys log(u) / weight of Efraimidis
    and Spirakis, "Weighted random sampling with a reservoir", 2006.
    """
    chosen = np.zeros(len(latlon_deg), dtype=np.bool_)
    count = round(share * len(latlon_deg))
    if count == 0:
        return chosen
    block = BlockGrid(block_deg=_DENSITY_BLOCK_DEG).block_of(latlon_deg)
    weight = np.bincount(block)[block].astype(np.float64) ** _DENSITY_POWER
    key = np.log(generator.uniform(np.finfo(np.float64).tiny, 1.0, len(latlon_deg))) / weight
    chosen[np.argsort(-key, kind="stable")[:count]] = True
    return chosen


def _usable_place(
    row: Mapping[str, str | None],
    position: int,
    *,
    seen: Bool[np.ndarray, " image"],
    tally: CountingWriter,
) -> tuple[float, float] | None:
    """The place of a row that can be written; None, and counted, for any other."""
    name = row.get("id") or "(no id)"
    if "" in row:
        tally.skip("malformed_row", name)
    # An id becomes a file name; the release has digits only.
    elif not (name.isascii() and name.isdigit()):
        tally.skip("bad_id", name)
    else:
        try:
            place = place_of(row)
        except PlaceError as error:
            tally.skip(error.kind, name)
            return None
        if position < 0:
            tally.skip("missing_image", name)
        elif seen[position]:
            tally.skip("duplicate_id", name)
        else:
            return place
    return None


def _typed(row: Mapping[str, str | None], place: tuple[float, float]) -> dict[str, Any]:
    typed: dict[str, Any] = {
        name: _number(cell) if name in _NUMBERS and cell is not None else cell
        for name, cell in row.items()
    }
    return {**typed, "latitude": place[0], "longitude": place[1]}


def _number(cell: str) -> int | float | str:
    for kind in (int, float):
        try:
            value = kind(cell)
        except ValueError:
            continue
        # JSON knows no NaN: such a cell stays the text it was.
        return value if np.isfinite(value) else cell
    return cell


def _spool_file(folder: Path, container: int) -> Path:
    return folder / f"{container:06d}.jsonl"

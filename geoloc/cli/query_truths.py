"""True places of queried images, from a table, to be shown beside their answers."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

Truths: TypeAlias = Mapping[str, tuple[float, float]]
"""True places in degrees by names of files, or by paths or their ends (``north/1.jpg``)."""


def read_truths(file: Path) -> dict[str, tuple[float, float]]:
    """True places in degrees by names of files, from a CSV with file, latitude and longitude.

    Raises:
        DataError: the table cannot be read, gives a file two places, or one that is not on Earth.
    """
    from geoloc.errors import DataError
    from geoloc.geodesy import is_valid_latlon

    try:
        # Spreadsheets begin their tables with a mark of the encoding.
        with file.open(encoding="utf-8-sig", newline="") as stream:
            rows = [
                (str(Path(row["file"])), (float(row["latitude"]), float(row["longitude"])))
                for row in csv.DictReader(stream)
            ]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"--truth {file}: a CSV with file, latitude and longitude is needed ({error})"
        ) from None
    known: dict[str, tuple[float, float]] = {}
    for name, place in rows:
        if not is_valid_latlon(np.array(place)):
            raise DataError(f"--truth {file}: {name} is at {place}, which is not on Earth")
        if known.setdefault(name, place) != place:
            raise DataError(f"--truth {file}: {name} has two places: give each image its path")
    return known


def truth_of(source: str, known: Truths) -> tuple[float, float] | None:
    """The true place of an answer's image, None where it has none.

    The table may name the image by its path or any end of it; the longest that it holds counts.
    """
    name = _name_in(source, known)
    return None if name is None else known[name]


def refuse_ambiguous(known: Truths, files: Iterable[Path]) -> None:
    """See that no entry is taken for the place of two images.

    Raises:
        DataError: one would be, as they have the same name in different folders.
    """
    from geoloc.errors import DataError

    first: dict[str, Path] = {}
    for path in files:
        name = _name_in(str(path), known)
        if name is not None and first.setdefault(name, path) != path:
            raise DataError(
                f"--truth: {name} may be {first[name]} or {path}: give their paths in the table"
            )


def _name_in(source: str, known: Truths) -> str | None:
    parts = Path(source).parts
    ends = (str(Path(*parts[start:])) for start in range(len(parts)))
    return next((end for end in ends if end in known), None)

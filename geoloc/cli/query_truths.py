"""True places of queried images, from a table, to be shown beside their answers."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

Truths: TypeAlias = Mapping[str, tuple[float, float]]
"""True places in degrees by names of files."""


def read_truths(file: Path) -> dict[str, tuple[float, float]]:
    """True places in degrees by names of files, from a CSV with file, latitude and longitude.

    Raises:
        DataError: the table cannot be read, or a place in it is not on Earth.
    """
    from geoloc.errors import DataError
    from geoloc.geodesy import is_valid_latlon

    try:
        with file.open(encoding="utf-8", newline="") as stream:
            known = {
                row["file"]: (float(row["latitude"]), float(row["longitude"]))
                for row in csv.DictReader(stream)
            }
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise DataError(
            f"--truth {file}: a CSV with file, latitude and longitude is needed ({error})"
        ) from None
    for name, place in known.items():
        if not is_valid_latlon(np.array(place)):
            raise DataError(f"--truth {file}: {name} is at {place}, which is not on Earth")
    return known


def truth_of(source: str, known: Truths) -> tuple[float, float] | None:
    """The true place of an answer's image by the name of its file, None where it has none."""
    return known.get(Path(source).name)

"""A column of a table as series at places, or of no place."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from geoloc.data.placed_series import PlacedSeries, with_gaps
from geoloc.data.table_values import TableColumns, read_table_values


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
    read = read_table_values(path, columns)
    values, places, notes = read.values, read.places, list(read.notes)
    if places is not None and len(places) > most_places:
        drawn = np.random.default_rng(seed).choice(len(places), size=most_places, replace=False)
        notes.append(f"{most_places:,} of {len(places):,} places, drawn with seed {seed}")
        values, places = values[:, np.sort(drawn)], places[np.sort(drawn)]
    series = PlacedSeries(
        name=f"{columns.value} ({path.name})",
        unit="",
        values=values,
        latlon_deg=places,
        time=np.zeros(1) if read.time is None else read.time,
        dated=read.dated,
        notes=tuple(notes),
    )
    return with_gaps(series)

"""The rows of a CSV file as text, so that no value is guessed at."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from geoloc.errors import DataError


def read_table(table: Path, *, needed: tuple[str, ...]) -> Iterator[dict[str, str | None]]:
    """Rows of a CSV file as text, one at a time; empty cells are None.

    A row with too many or too few cells comes with the key ``""`` set, which no header has.

    Raises:
        DataError: the file is missing, not UTF-8, not a table, or lacks a needed column.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval=None, strict=True)
            names = reader.fieldnames or ()
            missing = [name for name in needed if name not in names]
            if missing:
                has = f"; it has {', '.join(names)}" if names else ""
                raise DataError(f"{table}: no column {', '.join(missing)}{has}")
            for row in reader:
                whole = "" not in row and None not in row.values()
                cells: dict[str, str | None] = {
                    name: cell or None for name, cell in row.items() if name
                }
                yield cells if whole else {**cells, "": "wrong number of cells"}
    except FileNotFoundError as error:
        raise DataError(f"{table}: no such file") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table}: cannot be read as a table ({error})") from error

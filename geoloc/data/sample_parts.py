"""SampleParts: a table of samples that grows on disk part by part, so that a kill loses little."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from geoloc.artifacts import write_atomically
from geoloc.batch import GeoBatch

ROWS_A_PART = 4096

_SCHEMA = pa.schema(
    [
        ("key", pa.large_string()),
        ("lat_deg", pa.float64()),
        ("lon_deg", pa.float64()),
        ("label", pa.large_string()),
    ]
)


class SampleParts:
    """Key, place and label (JSON) of samples, in files ``part-00000.parquet``, ...

    Args:
        folder: where the parts lie; those that are there are gone on with.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting = _no_rows()
        self._keys: list[Any] = []
        while (path := self._path(len(self._keys))).is_file():
            self._keys.append(parquet.read_table(path, columns=["key"]).column("key"))

    @property
    def saved(self) -> int:
        """Rows on disk."""
        return sum(len(part) for part in self._keys)

    @property
    def waiting(self) -> int:
        """Rows in memory, after those on disk."""
        return len(self._waiting["key"])

    def keys(self, first: int, count: int) -> tuple[str, ...]:
        """The keys of these rows, as far as they are on disk."""
        found: list[str] = []
        for part in self._keys:
            if first < len(part) and len(found) < count:
                found += part.slice(max(0, first), count - len(found)).to_pylist()
            first -= len(part)
        return tuple(found)

    def add(self, batch: GeoBatch) -> None:
        """Append the samples of a batch; `save` brings them to the disk."""
        places = batch.latlon_deg.cpu().numpy().astype(np.float64)
        labels = batch.label or ({},) * len(batch)
        self._waiting["key"] += batch.key
        self._waiting["lat_deg"] += places[:, 0].tolist()
        self._waiting["lon_deg"] += places[:, 1].tolist()
        self._waiting["label"] += [json.dumps(dict(label)) for label in labels]

    def save(self) -> None:
        """Write the waiting rows as one more part, whole or not at all."""
        if not self.waiting:
            return
        table = pa.table(self._waiting, schema=_SCHEMA)
        path = self._path(len(self._keys))
        write_atomically(path, lambda temporary: parquet.write_table(table, temporary))
        self._keys.append(table.column("key"))
        self._waiting = _no_rows()

    def keep(self, count: int) -> None:
        """Forget all rows on disk after the first `count`; nothing may be waiting."""
        while self.saved > count:
            path = self._path(len(self._keys) - 1)
            left = count - (self.saved - len(self._keys[-1]))
            if left > 0:
                table = parquet.read_table(path).slice(0, left)
                self._waiting = {name: table.column(name).to_pylist() for name in _SCHEMA.names}
            path.unlink()
            self._keys.pop()

    def merge(self, path: Path) -> None:
        """Write all parts into one file, a group of rows each."""
        self.save()
        with parquet.ParquetWriter(path, _SCHEMA) as writer:
            for number in range(len(self._keys)):
                writer.write_table(parquet.read_table(self._path(number)))

    def remove(self) -> None:
        """Delete the parts, the last first: what a kill leaves of them is still a beginning."""
        for number in reversed(range(len(self._keys))):
            self._path(number).unlink()

    def _path(self, number: int) -> Path:
        return self._folder / f"part-{number:05d}.parquet"


def _no_rows() -> dict[str, list[Any]]:
    return {name: [] for name in _SCHEMA.names}

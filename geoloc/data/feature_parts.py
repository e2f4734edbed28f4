"""The samples of each finished shard, a file a shard: that it is there says that the shard is done.

A part has key, latitude, longitude and label (JSON) of the samples in the order of their rows, and
with them what became of all samples of the shard, and the SHA-256 of its features, view by view.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute
from pyarrow import parquet

from geoloc.artifacts import write_atomically
from geoloc.batch import GeoBatch
from geoloc.data.ledger import LossLedger
from geoloc.errors import DataError

_NOTE = b"geoloc"
_SCHEMA = pa.schema(
    [
        ("key", pa.large_string()),
        ("lat_deg", pa.float64()),
        ("lon_deg", pa.float64()),
        ("label", pa.large_string()),
    ]
)


@dataclass(slots=True)
class SampleColumns:
    """Key, place and label of samples, growing batch by batch."""

    key: list[str] = field(default_factory=list[str])
    lat_deg: list[float] = field(default_factory=list[float])
    lon_deg: list[float] = field(default_factory=list[float])
    label: list[str] = field(default_factory=list[str])

    def add(self, batch: GeoBatch) -> None:
        """Append the samples of a batch."""
        self.key += batch.key
        self.lat_deg += batch.latlon_deg[:, 0].tolist()
        self.lon_deg += batch.latlon_deg[:, 1].tolist()
        labels: Sequence[Mapping[str, Any]] = batch.label or ({},) * len(batch)
        self.label += [json.dumps(dict(label)) for label in labels]


@dataclass(frozen=True, slots=True, kw_only=True)
class PartNote:
    """What a part says beside its samples.

    Attributes:
        ledger: what became of all samples of the shard; `ledger.valid` have features.
        sha256: of the features of these, one digest a view.
    """

    ledger: LossLedger
    sha256: tuple[str, ...]

    @property
    def is_done(self) -> bool:
        """Whether the shard need not be read again.

        One that gave nothing is: no work is lost by it, and what was missing may be there by then.
        """
        return self.ledger.valid > 0 or self.ledger.lost == 0


def part_path(folder: Path, shard: int) -> Path:
    """Where the part of a shard lies."""
    return folder / f"part-{shard:06d}.parquet"


def write_part(path: Path, samples: SampleColumns, note: PartNote) -> None:
    """Write a part, whole or not at all.

    Raises:
        OSError: the disk is full.
    """
    told = {"ledger": note.ledger.to_json(), "sha256": note.sha256}
    schema = _SCHEMA.with_metadata({_NOTE: json.dumps(told).encode()})
    columns = {name: getattr(samples, name) for name in _SCHEMA.names}
    table = pa.table(columns, schema=schema)
    write_atomically(path, lambda temporary: parquet.write_table(table, temporary))


def read_note(path: Path) -> PartNote | None:
    """What a part says of its shard; None where there is none that can be read."""
    try:
        told = json.loads(parquet.read_schema(path).metadata[_NOTE])
        return PartNote(
            ledger=LossLedger.from_json(told["ledger"]), sha256=tuple(map(str, told["sha256"]))
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def merge_parts(parts: Sequence[Path], path: Path) -> None:
    """Write the samples of all parts into one file, in order.

    Raises:
        DataError: two samples have one key.
        OSError: the disk is full, or a part cannot be read.
    """
    keys: list[Any] = []

    def write(temporary: Path) -> None:
        with parquet.ParquetWriter(temporary, _SCHEMA) as writer:
            for part in parts:
                table: Any = parquet.read_table(part).replace_schema_metadata(None)
                keys.append(table.column("key"))
                if table.num_rows:
                    writer.write_table(table)
        _refuse_twins(keys)

    write_atomically(path, write)


def _refuse_twins(columns: Sequence[Any]) -> None:
    keys: Any = pa.chunked_array([chunk for each in columns for chunk in each.chunks])
    compute: Any = pyarrow.compute
    if compute.count_distinct(keys).as_py() == len(keys):
        return
    counts: Any = compute.value_counts(keys)
    twin = counts.filter(compute.greater(counts.field("counts"), 1)).field("values")[0].as_py()
    raise DataError(f"the key {twin} comes twice: keys must be unique in a data set")

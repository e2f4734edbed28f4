"""What became of each source sample when shards were written: written, or skipped and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.errors import DataError

_EXAMPLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteReport:
    """Every source sample is written or skipped: their sum is what the source holds.

    Attributes:
        written: samples in the shards.
        by_split: the written samples by the name of their split.
        skipped: samples left out, by kind.
        examples: the first few skipped samples of each kind, by name.
        unused_images: images that the table of the source does not mention.
    """

    written: int
    by_split: Mapping[str, int]
    skipped: Mapping[str, int]
    examples: Mapping[str, tuple[str, ...]]
    unused_images: int = 0

    @property
    def total(self) -> int:
        """Samples in the source."""
        return self.written + sum(self.skipped.values())

    def to_json(self) -> dict[str, Any]:
        """The report as a mapping that `json` can write."""
        return {
            "written": self.written,
            "by_split": dict(self.by_split),
            "skipped": dict(self.skipped),
            "examples": {kind: list(names) for kind, names in self.examples.items()},
            "unused_images": self.unused_images,
        }


class CountingWriter:
    """Shard writers, one a split, that count what is written and what is left out.

    A context manager: an exception inside takes away what was written. A split that gets no sample
    gets no folder.

    Args:
        folders: where each split goes, by its name; each must be absent or empty.
        samples_per_shard: samples in each tar.

    Raises:
        DataError: a folder is not empty; or, on leaving, not one sample was written.
    """

    def __init__(self, folders: Mapping[str, Path], *, samples_per_shard: int) -> None:
        for folder in folders.values():
            if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
                raise DataError(f"{folder}: not an empty folder; remove it, or name another")
        self._folders = dict(folders)
        self._samples_per_shard = samples_per_shard
        self._writers: dict[str, ShardWriter] = {}
        self._skipped: dict[str, int] = {}
        self._examples: dict[str, tuple[str, ...]] = {}

    def __enter__(self) -> CountingWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for writer in self._writers.values():
            writer.__exit__(kind, error, trace)
        if kind is None and self.written == 0:
            found = ", ".join(f"{count} {why}" for why, count in sorted(self._skipped.items()))
            folders = ", ".join(str(folder) for folder in self._folders.values())
            raise DataError(f"{folders}: no sample could be written ({found or 'none was found'})")

    @property
    def written(self) -> int:
        """Samples written so far, in all splits."""
        return sum(writer.count for writer in self._writers.values())

    def write(self, split: str, record: Record) -> None:
        """Add a record to a split, as `ShardWriter.write` does."""
        if split not in self._writers:
            self._writers[split] = ShardWriter(
                self._folders[split], samples_per_shard=self._samples_per_shard
            )
        self._writers[split].write(record)

    def skip(self, kind: str, name: str) -> None:
        """Count one sample as left out."""
        self.skip_rest(kind, 1)
        known = self._examples.get(kind, ())
        if len(known) < _EXAMPLES:
            self._examples[kind] = (*known, name)

    def skip_rest(self, kind: str, count: int) -> None:
        """Count many samples as left out that have not been looked at."""
        if count > 0:
            self._skipped[kind] = self._skipped.get(kind, 0) + count

    def report(self, *, unused_images: int = 0) -> WriteReport:
        """What has been counted."""
        by_split = dict.fromkeys(self._folders, 0)
        by_split.update({split: writer.count for split, writer in self._writers.items()})
        return WriteReport(
            written=self.written,
            by_split=by_split,
            skipped=dict(sorted(self._skipped.items())),
            examples=dict(sorted(self._examples.items())),
            unused_images=unused_images,
        )

"""One side of an audit: what its samples are called, where they lie and what they look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Shaped, UInt64

from geoloc.data.decoding import read_limited
from geoloc.data.described import described_records
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.ledger import LossLedger, LostSample
from geoloc.data.perceptual_hash import perceptual_hash
from geoloc.data.photos import photo_files, photo_place_deg
from geoloc.data.reading import ShardReader, open_sample
from geoloc.data.record import PlaceError
from geoloc.data.sample_table import is_table, read_samples
from geoloc.data.shard_list import list_shards
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.split_table import GROUP_COLUMNS
from geoloc.errors import ImageError

_NO_PLACE = (float("nan"), float("nan"))
_FILES_AT_ONCE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSample:
    """What of one sample is compared.

    Attributes:
        key: its name.
        latlon_deg: its place; NaN, NaN where it has none.
        sequence, creator: whom it belongs to, where that is said.
        digest: SHA-256 of the encoded image; None where images are not looked at.
        look: `perceptual_hash`; None for a flat image, or where images are not looked at.
    """

    key: str
    latlon_deg: tuple[float, float] = _NO_PLACE
    sequence: str | None = None
    creator: str | None = None
    digest: bytes | None = None
    look: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSet:
    """The samples of one side, and an account of those that could not be read.

    Attributes:
        name: what it is called.
        samples: those that could be read.
        ledger: their number, and the lost ones by kind.
    """

    name: str
    samples: Sequence[AuditSample]
    ledger: LossLedger

    @property
    def latlon_deg(self) -> Float64[np.ndarray, "sample 2"]:
        """Places in degrees; NaN where a sample has none."""
        places = [sample.latlon_deg for sample in self.samples]
        return np.array(places, dtype=np.float64).reshape(-1, 2)

    @property
    def look(self) -> tuple[UInt64[np.ndarray, " sample"], Bool[np.ndarray, " sample"]]:
        """Perceptual hashes, and which samples have one."""
        looks = [sample.look for sample in self.samples]
        known = np.array([look is not None for look in looks], dtype=np.bool_)
        return np.array([look or 0 for look in looks], dtype=np.uint64), known

    def column(self, name: str) -> Shaped[np.ndarray, " sample"]:
        """One attribute of all samples."""
        values = np.empty(len(self.samples), dtype=object)
        values[:] = [getattr(sample, name) for sample in self.samples]
        return values


@dataclass(slots=True, kw_only=True)
class _Part:
    """What one task found."""

    samples: list[AuditSample] = field(default_factory=list[AuditSample])
    ledger: LossLedger = field(default_factory=LossLedger)

    def add(self, sample: AuditSample) -> None:
        self.samples.append(sample)
        self.ledger.valid += 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shard:
    """Read one shard."""

    url: str
    expected: int | None
    images: bool

    def run(self) -> _Part:
        part = _Part()
        if not self.images:
            for record in described_records(self.url, ShardOpener(), expected=self.expected):
                part.add(_said(record.key, record.latlon_deg, record.label))
            return part
        for item in ShardReader(self.url, expected=self.expected):
            if isinstance(item, LostSample):
                part.ledger.add(item)
                continue
            opened = open_sample(item, lambda image, _: perceptual_hash(image))
            if isinstance(opened, LostSample):
                part.ledger.add(opened)
            else:
                record, look = opened
                digest = sha256(item.image_bytes).digest()
                part.add(
                    _said(record.key, record.latlon_deg, record.label, digest=digest, look=look)
                )
        return part


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """Read some image files: those of a folder, or of rows of a table (then `rows` is set)."""

    root: Path
    names: Sequence[str]
    rows: Sequence[AuditSample] | None
    images: bool

    def run(self) -> _Part:
        part = _Part()
        for at, name in enumerate(self.names):
            try:
                data = read_limited(self.root / name)
                look = perceptual_hash(EncodedImage(data, name=name)) if self.images else None
            except ImageError as error:
                lost = LostSample(kind=error.kind, key=name, shard=str(self.root))
                part.ledger.add(lost)
                continue
            row = AuditSample(key=name) if self.rows is None else self.rows[at]
            place = row.latlon_deg if self.rows is not None else _exif_place(data, name)
            part.add(
                AuditSample(
                    key=row.key,
                    latlon_deg=place,
                    sequence=row.sequence,
                    creator=row.creator,
                    digest=sha256(data).digest(),
                    look=look,
                )
            )
        return part


def read_audit_set(
    source: str,
    *,
    images: bool = True,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> AuditSet:
    """Read what an audit compares.

    Args:
        source: a table (.csv, .parquet) with latitude and longitude, and images where it has a
            column ``path`` or ``file``, relative to its folder; a folder of photos with EXIF; or
            shards.
        images: look at the images; otherwise only at names and places.
        processes: how many work at it.
        progress: told how many parts are done, and of how many.

    Raises:
        DataError: the source is missing, empty or cannot be read as a whole.
        ConfigError: imagehash is not installed.
    """
    tasks, rows = _tasks(source, images=images)
    part = _Part()
    for row in rows:
        part.add(row)
    with ExitStack() as stack:
        found: Iterator[_Part] = map(_run, tasks)
        if min(processes, len(tasks)) > 1:
            pool = stack.enter_context(ProcessPoolExecutor(min(processes, len(tasks))))
            found = pool.map(_run, tasks)
        for done, each in enumerate(found, start=1):
            part.samples.extend(each.samples)
            part.ledger = part.ledger.merge(each.ledger)
            if progress is not None:
                progress(done, len(tasks))
    return AuditSet(name=source, samples=part.samples, ledger=part.ledger)


def _run(task: _Shard | _Files) -> _Part:
    return task.run()


def _tasks(source: str, *, images: bool) -> tuple[list[_Shard | _Files], list[AuditSample]]:
    """What is to be read, and samples that a table describes without an image to read."""
    if is_table(source):
        return _table_tasks(source, images=images)
    folder = Path(source)
    if folder.is_dir() and not any(folder.glob("*.t*")):
        names = [path.relative_to(folder).as_posix() for path in photo_files(folder)]
        return [
            _Files(root=folder, names=names[at : at + _FILES_AT_ONCE], rows=None, images=images)
            for at in range(0, len(names), _FILES_AT_ONCE)
        ], []
    shards = list_shards(source, strict=False)
    return [
        _Shard(url=url, expected=expected, images=images)
        for url, expected in zip(shards.urls, shards.sizes, strict=True)
    ], []


def _table_tasks(source: str, *, images: bool) -> tuple[list[_Shard | _Files], list[AuditSample]]:
    table = read_samples(source)
    groups = [
        None if column is None else table.texts(column)
        for column in (table.find(GROUP_COLUMNS["sequence"]), table.find(GROUP_COLUMNS["creator"]))
    ]
    sequence, creator = ([None] * len(table) if texts is None else texts for texts in groups)
    rows = [
        AuditSample(key=key, latlon_deg=(lat, lon), sequence=one, creator=other)
        for key, (lat, lon), one, other in zip(
            table.keys(), table.latlon_deg.tolist(), sequence, creator, strict=True
        )
    ]
    column = table.find(("path", "file")) if images else None
    if column is None:
        return [], rows
    names = [path or "" for path in table.texts(column)]
    return [
        _Files(
            root=Path(source).parent,
            names=names[at : at + _FILES_AT_ONCE],
            rows=rows[at : at + _FILES_AT_ONCE],
            images=True,
        )
        for at in range(0, len(names), _FILES_AT_ONCE)
    ], []


def _said(
    key: str,
    latlon_deg: tuple[float, float],
    label: Mapping[str, Any],
    *,
    digest: bytes | None = None,
    look: int | None = None,
) -> AuditSample:
    sequence, creator = (
        next((str(label[name]) for name in GROUP_COLUMNS[kind] if label.get(name)), None)
        for kind in ("sequence", "creator")
    )
    return AuditSample(
        key=key,
        latlon_deg=latlon_deg,
        sequence=sequence,
        creator=creator,
        digest=digest,
        look=look,
    )


def _exif_place(data: bytes, name: str) -> tuple[float, float]:
    try:
        return photo_place_deg(data, name=name)
    except PlaceError:
        return _NO_PLACE

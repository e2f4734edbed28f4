"""ShardIndex: where each sample lies in a shard, beside it, so that nobody need look for headers.

``00000.index.parquet`` beside ``00000.tar`` has for each sample its key, and offset, length and
CRC-32 of its image and of its json. With it a shard is read at random, a shuffle buffer holds
places in files instead of images, a resumed run goes to its position at once, and every damaged
byte of a sample is seen whatever a tar reader makes of it.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Int64
from pyarrow import parquet

from geoloc.artifacts import write_atomically
from geoloc.data.ledger import LostSample
from geoloc.data.reading import RawSample, ShardReader
from geoloc.data.record import checksum, parse_checksum
from geoloc.data.shard_list import ShardList, list_shards
from geoloc.data.sidecars import is_local, shard_name
from geoloc.errors import DataError

SCHEMA_VERSION = "1"
INDEX_ENDING = ".index.parquet"
_COLUMNS = ("image_at", "image_bytes", "image_crc32", "json_at", "json_bytes", "json_crc32")
_SCHEMA = pa.schema([("key", pa.large_string()), *((name, pa.int64()) for name in _COLUMNS)])
# A json that lies no farther behind its image is read with it.
_NEAR_BYTES = 2**14
_PROBES = 8


def index_path(shard: Path) -> Path:
    """Where the index of a shard lies."""
    return shard.with_name(shard.name.removesuffix(".tar") + INDEX_ENDING)


class IndexedShard:
    """A local shard with its index: samples by row, in the order in which they stand.

    Args:
        shard: the tar.
        keys: of the samples.
        parts: offset, length and CRC-32 of image and json, a row a sample.
    """

    def __init__(self, shard: Path, keys: Any, parts: Int64[np.ndarray, "sample 6"]) -> None:
        self.name = shard_name(str(shard))
        self._keys = keys
        self._parts = parts
        # Not mapped into memory: what happens to a mapped file kills the process that reads it.
        self._file = shard.open("rb", buffering=0)

    def __len__(self) -> int:
        return len(self._parts)

    def is_current(self) -> bool:
        """Whether some samples, the last among them, have their json where the index says.

        Tars are padded, so that one which was packed anew may well have the length it had before.
        """
        rows = (
            np.unique(np.linspace(0, len(self) - 1, _PROBES, dtype=np.int64)) if len(self) else []
        )
        return all(
            zlib.crc32(self._bytes(at, count)) == crc32
            for at, count, crc32 in self._parts[rows, 3:].tolist()
        )

    def key(self, row: int) -> str:
        """The key of a sample."""
        return str(self._keys[row].as_py())

    def read(self, row: int) -> RawSample | LostSample:
        """The bytes of a sample; lost (``torn``, ``checksum``) if they are not those indexed.

        An image whose bytes are others is given all the same, marked as damaged: decoding it tells
        more than that.
        """
        key = self.key(row)
        image_at, image_bytes, image_crc32, json_at, json_bytes, json_crc32 = self._parts[
            row
        ].tolist()
        gap = json_at - image_at - image_bytes
        try:
            if 0 <= gap <= _NEAR_BYTES:
                both = self._bytes(image_at, image_bytes + gap + json_bytes)
                image, text = both[:image_bytes], both[image_bytes + gap :]
            else:
                image = self._bytes(image_at, image_bytes)
                text = self._bytes(json_at, json_bytes)
        except OSError as error:
            return LostSample(kind="torn", key=key, shard=self.name, detail=str(error))
        if len(image) < image_bytes or len(text) < json_bytes:
            return LostSample(kind="torn", key=key, shard=self.name, detail="the shard ends before")
        if zlib.crc32(text) != json_crc32:
            detail = "its json is not the one that was indexed"
            return LostSample(kind="checksum", key=key, shard=self.name, detail=detail)
        return RawSample(
            key=key,
            image_bytes=image,
            json_bytes=text,
            shard=self.name,
            image_at=image_at,
            json_at=json_at,
            image_crc32=(found := checksum(image)),
            altered=int(found, 16) != image_crc32,
        )

    def _bytes(self, at: int, count: int) -> bytes:
        return os.pread(self._file.fileno(), count, at)

    def __del__(self) -> None:
        if "_file" in self.__dict__:
            self._file.close()


@dataclass(frozen=True, slots=True)
class IndexedSample:
    """A sample that is not read yet.

    Attributes:
        shard: where it lies.
        row: which one it is.
    """

    shard: IndexedShard
    row: int

    def read(self) -> RawSample | LostSample:
        """Its bytes, or why it is lost."""
        return self.shard.read(self.row)


def open_indexed(url: str, *, expected: int | None) -> IndexedShard | None:
    """A shard with its index; None where there is none that fits.

    An index fits a local tar of the length that it was made of, with the samples where it says, as
    many as `expected`, where somebody says. All other shards are read from their beginning.
    """
    if not is_local(url) or not url.endswith(".tar"):
        return None
    shard = Path(url)
    try:
        table: Any = parquet.read_table(index_path(shard), page_checksum_verification=True)
        noted = table.schema.metadata or {}
        if noted.get(b"schema_version") != SCHEMA_VERSION.encode():
            return None
        if noted.get(b"shard_bytes") != str(shard.stat().st_size).encode():
            return None
        if expected is not None and table.num_rows != expected:
            return None
        columns = [table.column(name).to_numpy() for name in _COLUMNS]
        keys = table.column("key").combine_chunks()
        indexed = IndexedShard(shard, keys, np.stack(columns, axis=1).astype(np.int64))
        return indexed if indexed.is_current() else None
    except (OSError, pa.ArrowException, KeyError):
        # A damaged index is none.
        return None


def write_index(shard: Path, *, expected: int | None = None) -> int:
    """Read a shard whole and write its index beside it.

    Args:
        shard: a plain tar.
        expected: number of samples that it should hold; None if nobody says.

    Returns:
        The number of samples.

    Raises:
        DataError: it is no plain local tar, or is damaged: a sample is lost already.
    """
    if not shard.name.endswith(".tar"):
        raise DataError(f"{shard}: only plain .tar files can be indexed")
    table = _table(_rows(str(shard), expected=expected), shard.stat().st_size)
    write_atomically(
        index_path(shard),
        lambda path: parquet.write_table(table, path, write_page_checksum=True),
    )
    return int(table.num_rows)


def _rows(url: str, *, expected: int | None) -> list[tuple[str, list[int]]]:
    """Key and place of each sample of a shard, as they stand in it."""
    reader = ShardReader(url, expected=expected)
    rows: list[tuple[str, list[int]]] = []
    for item in reader:
        if isinstance(item, LostSample):
            told = item.detail or item.kind
            raise DataError(f"{url} is damaged ({item.key or 'a sample'}: {told}): not indexed")
        rows.append((item.key, _place(item)))
    if reader.faults:
        raise DataError(f"{url} is damaged ({reader.faults[0]}): not indexed")
    return rows


def _place(sample: RawSample) -> list[int]:
    image_crc32 = checksum(sample.image_bytes)
    noted = parse_checksum(sample.json_bytes)
    if noted is not None and noted != image_crc32:
        raise DataError(f"{sample.shard}: the image of {sample.key} is damaged: not indexed")
    return [
        sample.image_at,
        len(sample.image_bytes),
        int(image_crc32, 16),
        sample.json_at,
        len(sample.json_bytes),
        zlib.crc32(sample.json_bytes),
    ]


def _table(rows: list[tuple[str, list[int]]], shard_bytes: int) -> Any:
    parts = np.array([place for _, place in rows], dtype=np.int64).reshape(-1, len(_COLUMNS))
    try:
        keys = pa.array([key for key, _ in rows], pa.large_string())
    except UnicodeEncodeError as error:
        raise DataError(f"a key is no text ({error}): not indexed") from None
    columns = [keys, *map(pa.array, parts.T)]
    noted = {"schema_version": SCHEMA_VERSION, "shard_bytes": str(shard_bytes)}
    return pa.table(columns, schema=_SCHEMA.with_metadata(noted))


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexReport:
    """What `index_shards` did.

    Attributes:
        shards: how many have an index now.
        samples: in those.
        refused: one line for each shard that has none.
    """

    shards: int
    samples: int
    refused: tuple[str, ...]


def index_shards(
    source: str | os.PathLike[str] | Sequence[str] | ShardList,
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> IndexReport:
    """Write an index beside each shard that is whole; damaged ones are left without.

    Args:
        source: see `list_shards`; of this machine.
        processes: how many work at it.
        progress: told after each shard how many are done, and of how many.

    Raises:
        DataError: there is no shard, or sizes.json cannot be read.
    """
    listed = list_shards(source)
    tasks = list(zip(listed.urls, listed.sizes, strict=True))
    outcomes: list[int | str] = []
    with ProcessPoolExecutor(min(processes, len(tasks))) as pool:
        for outcome in pool.map(_index_shard, tasks) if processes > 1 else map(_index_shard, tasks):
            outcomes.append(outcome)
            if progress is not None:
                progress(len(outcomes), len(tasks))
    counts = [outcome for outcome in outcomes if isinstance(outcome, int)]
    refused = tuple(outcome for outcome in outcomes if isinstance(outcome, str))
    return IndexReport(shards=len(counts), samples=sum(counts), refused=refused)


def _index_shard(task: tuple[str, int | None]) -> int | str:
    url, expected = task
    if not is_local(url):
        return f"{url} is not on this machine"
    try:
        return write_index(Path(url), expected=expected)
    except (DataError, OSError) as error:
        return str(error)

"""ShardWriter: records into tar shards that webdataset reads, the same bytes for the same records.

A shard is a tar of ``<key>.jpg`` (``.png``, ``.webp`` where the bytes are such) and ``<key>.json``;
``sizes.json`` beside the shards has their numbers of samples, ``checksums.json`` tells one content
from another, ``places.npy`` has all places, so that nobody need read the shards for them, and an
index beside each shard says where its samples lie (`shard_index`).
"""

from __future__ import annotations

import io
import json
import os
import tarfile
from pathlib import Path
from types import TracebackType

import numpy as np
from jaxtyping import Float64

from geoloc.artifacts import write_atomically, write_text
from geoloc.data.member_names import image_ending, member_stem
from geoloc.data.record import Record, description_bytes, place_of
from geoloc.data.shard_index import INDEX_ENDING, index_path, write_index
from geoloc.data.sidecars import (
    CHECKSUMS_FILE,
    PLACES_FILE,
    SIZES_FILE,
    UNFINISHED_FILE,
    NotedFile,
    checksums_text,
    places_bytes,
)
from geoloc.errors import CoordinateError, DataError

_BESIDE = (SIZES_FILE, CHECKSUMS_FILE, PLACES_FILE)


class ShardWriter:
    """Writes records into shards; a context manager.

    Samples of a shard are sorted by key, and no time or owner is written, so that the same records
    give the same bytes. Each shard is written beside its name and renamed. An exception inside the
    ``with`` takes away what was written; after a kill, a marker makes readers refuse the folder.

    The json of a sample has latitude, longitude, its labels, and ``image_crc32``, with which
    readers of geoloc find damage that still decodes. Others read it as one more label.

    Args:
        folder: made if absent; must be empty unless `overwrite`.
        samples_per_shard: they are kept in memory until their shard is full.
        prefix: put before the number in each file name.
        overwrite: delete the shards that are there, and what was written beside them.

    Raises:
        DataError: the folder is not empty, or a number makes no sense.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        samples_per_shard: int = 1000,
        prefix: str = "",
        overwrite: bool = False,
    ) -> None:
        if samples_per_shard < 1:
            raise DataError(f"samples_per_shard must be at least 1, not {samples_per_shard}")
        if "/" in prefix:
            raise DataError(f"prefix {prefix!r} must not name a folder")
        self.folder = Path(folder)
        self._samples_per_shard = samples_per_shard
        self._prefix = prefix
        self._keys: set[str] = set()
        self._open: list[Record] = []
        self._sizes: dict[str, int] = {}
        self._noted: dict[str, NotedFile] = {}
        self._places: list[Float64[np.ndarray, "place 2"]] = []
        self._closed = False
        self._make_room(overwrite)

    def __enter__(self) -> ShardWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._abandon()

    @property
    def count(self) -> int:
        """Records written so far."""
        return len(self._keys)

    def write(self, record: Record) -> None:
        """Add a record.

        Raises:
            DataError: its key was written before or cannot be one, its image is empty or neither
                JPEG, PNG nor WebP, or a label is not JSON.
            CoordinateError: its place is not finite or out of range.
        """
        if self._closed:
            raise DataError(f"{self.folder}: this writer is closed")
        member_stem(record.key)
        if record.key in self._keys:
            raise DataError(f"{record.key}: this key was written before; keys must be unique")
        try:
            place_of({"latitude": record.latlon_deg[0], "longitude": record.latlon_deg[1]})
        except CoordinateError as error:
            raise CoordinateError(f"{record.key}: {error}") from None
        if image_ending(record.image_bytes) is None:
            what = "is empty" if not record.image_bytes else "is neither JPEG, PNG nor WebP"
            raise DataError(f"{record.key}: its image {what}")
        description_bytes(record)
        self._keys.add(record.key)
        self._open.append(record)
        if len(self._open) == self._samples_per_shard:
            self._write_shard()

    def close(self) -> dict[str, int]:
        """Write what is left, then places.npy, checksums.json and sizes.json.

        Returns:
            The number of samples by file name.

        Raises:
            DataError: nothing was written.
        """
        if self._closed:
            return self._sizes
        if not self._keys:
            self._abandon()
            raise DataError(f"{self.folder}: there was no record to write")
        if self._open:
            self._write_shard()
        places = places_bytes(np.concatenate(self._places))
        write_atomically(self.folder / PLACES_FILE, lambda path: path.write_bytes(places))
        self._noted[PLACES_FILE] = NotedFile.of(places, samples=self.count)
        write_text(self.folder / CHECKSUMS_FILE, checksums_text(self._noted))
        write_text(self.folder / SIZES_FILE, json.dumps(self._sizes, indent=1) + "\n")
        (self.folder / UNFINISHED_FILE).unlink()
        self._closed = True
        return self._sizes

    def _make_room(self, overwrite: bool) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        if overwrite:
            for pattern in ("*.tar", "*.tar.tmp", f"*{INDEX_ENDING}", *_BESIDE, UNFINISHED_FILE):
                for path in self.folder.glob(pattern):
                    path.unlink()
        elif any(self.folder.iterdir()):
            raise DataError(
                f"{self.folder} is not empty: choose another folder, or ask for overwriting"
            )
        (self.folder / UNFINISHED_FILE).touch()

    def _write_shard(self) -> None:
        name = f"{self._prefix}{len(self._sizes):05d}.tar"
        if len(self._sizes) > 99_999:
            raise DataError("more than 100,000 shards: take more samples per shard")
        records = sorted(self._open, key=lambda record: record.key)
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for record in records:
                stem = member_stem(record.key)
                _add(tar, f"{stem}.{image_ending(record.image_bytes)}", record.image_bytes)
                _add(tar, f"{stem}.json", description_bytes(record))
        data = buffer.getvalue()
        write_atomically(self.folder / name, lambda path: path.write_bytes(data))
        self._sizes[name] = len(records)
        write_index(self.folder / name, expected=len(records))
        self._noted[name] = NotedFile.of(data, samples=len(records))
        self._places.append(np.array([record.latlon_deg for record in records], dtype=np.float64))
        self._open.clear()

    def _abandon(self) -> None:
        self._closed = True
        indexes = [index_path(Path(name)).name for name in self._sizes]
        for name in [*self._sizes, *indexes, *_BESIDE, UNFINISHED_FILE]:
            (self.folder / name).unlink(missing_ok=True)


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    # A new TarInfo has time 0, owner 0 and no names of people.
    info = tarfile.TarInfo(name)
    info.size = len(data)
    tar.addfile(info, io.BytesIO(data))

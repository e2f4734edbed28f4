"""FeatureRows: the file in which all processes of a computation put features, each where it may."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, TypeAlias

from numpy.typing import NDArray

from geoloc.artifacts import write_atomically
from geoloc.data.feature_files import FeatureLayout
from geoloc.errors import DataError

WriteRows: TypeAlias = Callable[[int, int, int, NDArray[Any]], None]
"""Puts features of (shard, view) from a row of the shard on."""

_CHUNK_BYTES = 2**24


class OtherRowsError(DataError):
    """Rows of a shard are not those that were written.

    Args:
        shard: its number.
    """

    def __init__(self, shard: int) -> None:
        super().__init__(f"features of shard {shard} are not those that were written")
        self.shard = shard


@dataclass(frozen=True, slots=True)
class FeatureRows:
    """An .npy file with room for the rows of every shard, of which some may stay empty.

    Attributes:
        path: where it lies.
        layout: which rows are whose.
    """

    path: Path
    layout: FeatureLayout

    def make(self) -> None:
        """Make the file, empty but as long as it will be; the disk fills as rows are written.

        Raises:
            DataError: there is no room on the disk.
        """
        wanted, free = self.layout.file_bytes, shutil.disk_usage(self.path.parent).free
        if wanted > free:
            raise DataError(
                f"{self.path.parent.parent} has room for {free / 1e9:,.1f} GB, the features need "
                f"{wanted / 1e9:,.1f} GB: make room, or choose another folder (data.cache_folder)"
            )
        with self.path.open("wb") as stream:
            stream.write(self.layout.header)
            stream.truncate(wanted)

    def is_made(self) -> bool:
        """Whether the file is there, and of this layout."""
        try:
            with self.path.open("rb") as stream:
                header = stream.read(len(self.layout.header))
                length = stream.seek(0, os.SEEK_END)
        except OSError:
            return False
        return header == self.layout.header and length == self.layout.file_bytes

    @contextmanager
    def open(self) -> Generator[WriteRows]:
        """The file for writing; see `WriteRows`."""
        file = os.open(self.path, os.O_RDWR)
        starts = [self.layout.starts(view) for view in range(self.layout.views)]

        def write(shard: int, view: int, first: int, features: NDArray[Any]) -> None:
            offset = starts[view][shard] + first * self.layout.row_bytes
            left = memoryview(features.tobytes())
            while left:
                written = os.pwrite(file, left, offset)
                left, offset = left[written:], offset + written

        try:
            yield write
        finally:
            os.close(file)

    def check(self, used: Sequence[int], sha256: Sequence[Sequence[str]]) -> str:
        """Hold the rows of each shard against what was written; the SHA-256 of the file.

        Args:
            used: rows that are in use, of each shard: all.
            sha256: of the rows of each shard, a digest for each view.

        Raises:
            OtherRowsError: rows are others.
        """
        return self._pass(used, sha256, self.layout.header, lambda _: None)

    def copy(self, path: Path, used: Sequence[int], sha256: Sequence[Sequence[str]]) -> str:
        """Write the rows in use, and no other, to a file of their own; its SHA-256.

        Args:
            path: where.
            used: rows that are in use, of each shard: its first so many.
            sha256: of these, a digest for each view.

        Raises:
            OtherRowsError: rows are others.
            OSError: the disk is full.
        """
        header, whole = replace(self.layout, rows=tuple(used)).header, ""

        def write(temporary: Path) -> None:
            nonlocal whole
            with temporary.open("wb") as out:
                whole = self._pass(used, sha256, header, out.write)

        write_atomically(path, write)
        return whole

    def _pass(
        self,
        used: Sequence[int],
        sha256: Sequence[Sequence[str]],
        header: bytes,
        put: Callable[[bytes], object],
    ) -> str:
        whole = hashlib.sha256(header)
        put(header)
        with self.path.open("rb") as stream:
            for view in range(self.layout.views):
                starts = self.layout.starts(view)
                for shard, rows in enumerate(used):
                    stream.seek(starts[shard])
                    own = hashlib.sha256()
                    for chunk in _chunks(stream, rows * self.layout.row_bytes):
                        own.update(chunk)
                        whole.update(chunk)
                        put(chunk)
                    if own.hexdigest() != sha256[shard][view]:
                        raise OtherRowsError(shard)
        return whole.hexdigest()


def _chunks(stream: IO[bytes], size: int) -> Iterator[bytes]:
    while size > 0 and (chunk := stream.read(min(size, _CHUNK_BYTES))):
        size -= len(chunk)
        yield chunk

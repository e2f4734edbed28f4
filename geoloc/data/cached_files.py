"""CachedFiles: a folder of downloads that many processes share, held under a limit.

Who downloads a file locks its ``.part`` alone (flock), who reads one locks it with others: locks go
with the process that holds them, so that a dead one is in nobody's way. What is locked is never
removed.
"""

from __future__ import annotations

import errno
import fcntl
import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from geoloc.artifacts import read_json, sync, write_json
from geoloc.data.remote_connection import FileVersion
from geoloc.errors import DataError

_PART = ".part"
_VERSION = ".part.json"
# Nothing else in the folder is ours to remove.
_OURS = re.compile(r"[0-9a-f]{32}-.*(?<!\.part\.json)")


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedFiles:
    """Files by name; names begin with 32 hexadecimal digits and a hyphen.

    Attributes:
        folder: where they lie; it may hold other files, which are left alone.
        limit_bytes: the files used longest ago are removed above it; None keeps all.
    """

    folder: Path
    limit_bytes: int | None = None

    def open(self, name: str, *, length: int | None) -> io.BufferedReader | None:
        """A whole file, marked as used now; None if it is not there.

        Args:
            name: of the file.
            length: one of another length is removed, in bytes; None takes any.

        Raises:
            OSError: it cannot be read.
        """
        path = self.folder / name
        try:
            stream = path.open("rb")
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(stream, fcntl.LOCK_SH)
            if length is None or os.fstat(stream.fileno()).st_size == length:
                os.utime(stream.fileno())
                return stream
            path.unlink(missing_ok=True)
        except BaseException:
            stream.close()
            raise
        stream.close()
        return None

    def begin(self, name: str) -> io.BufferedRandom | None:
        """What is there of a download, locked; waits for who has it. None once the file is whole.

        Raises:
            OSError: the folder cannot be written.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        whole, path = self.folder / name, self.folder / (name + _PART)
        while True:
            part = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o644), "r+b")
            try:
                fcntl.flock(part, fcntl.LOCK_EX)
                # Meanwhile it may have become the whole file, or have been removed.
                is_at_path, is_done = _is_at(part.fileno(), path), whole.exists()
                if is_at_path and not is_done:
                    return part
                if is_at_path:
                    path.unlink()
            except BaseException:
                part.close()
                raise
            part.close()
            if is_done:
                return None

    def finish(self, name: str, part: io.BufferedRandom) -> io.BufferedReader:
        """Make a download the file of that name, and open it; `part` is to be closed after that.

        Raises:
            OSError: the disk is full.
        """
        part.flush()
        path = self.folder / (name + _PART)
        sync(path)
        path.replace(self.folder / name)
        (self.folder / (name + _VERSION)).unlink(missing_ok=True)
        # The same open file, so the lock stays.
        stream = os.fdopen(os.dup(part.fileno()), "rb")
        try:
            fcntl.flock(stream, fcntl.LOCK_SH)
            stream.seek(0)
            self._remove_above(self.limit_bytes)
        except BaseException:
            stream.close()
            raise
        return stream

    def discard(self, name: str) -> None:
        """Remove a download that was begun and that this process has locked."""
        for ending in (_PART, _VERSION):
            with suppress(OSError):
                (self.folder / (name + ending)).unlink()

    def version_begun(self, name: str) -> FileVersion | None:
        """Which remote file a download was begun of; None if nobody knows."""
        try:
            return FileVersion(**read_json(self.folder / (name + _VERSION), what="download"))
        except (DataError, OSError, TypeError):
            return None

    def note_version(self, name: str, version: FileVersion) -> None:
        """Keep beside a download of which remote file it is.

        Raises:
            OSError: the disk is full.
        """
        write_json(self.folder / (name + _VERSION), asdict(version))

    def make_room(self, length: int, part: io.BufferedRandom) -> None:
        """See that a file of `length` bytes, of which `part` has some, finds room.

        Raises:
            OSError: it is longer than the limit, or the disk has not so much room.
        """
        have = os.fstat(part.fileno()).st_size
        if self.limit_bytes is not None:
            if length > self.limit_bytes:
                raise OSError(errno.ENOSPC, f"{length:,} bytes are more than its limit")
            self._remove_above(self.limit_bytes - (length - have))
        if shutil.disk_usage(self.folder).free < length - have:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _remove_above(self, limit_bytes: int | None) -> None:
        """Remove what was used longest ago and is not in use, until no more than that is left."""
        if limit_bytes is None:
            return
        files = sorted(self._files())
        used = sum(size for _, size, _ in files)
        for _, size, path in files:
            if used <= limit_bytes:
                return
            if _remove_unused(path):
                used -= size

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """When each was used last, its length in bytes, and where it lies."""
        for path in self.folder.iterdir():
            if _OURS.fullmatch(path.name):
                with suppress(FileNotFoundError):
                    found = path.stat()
                    yield found.st_mtime_ns, found.st_size, path


def _remove_unused(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_at(descriptor, path):
            path.unlink()
            path.with_name(path.name + ".json").unlink(missing_ok=True)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is still the one at a path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False

"""RemoteStream: a remote file read forward, through dropped connections and short bodies."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Callable
from typing import Any, TypeVar

from geoloc.data.remote_connection import Connection, FileVersion
from geoloc.data.remote_filesystems import connect_filesystem
from geoloc.data.remote_http import connect_http
from geoloc.data.retries import RemoteError, RetryPolicy, plain_address

CHUNK_BYTES = 2**18

# So much has to come before failures are counted anew: a server that gives a byte at a time and
# then drops the connection is no use.
_PROGRESS_BYTES = 2**16
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class RemoteStream(io.RawIOBase):
    """A remote file from a byte on; it is opened at once.

    When the connection breaks, or the body ends before its length, it connects again and goes on
    with the byte where it stood (http: a Range request; a server that answers with the whole file
    is read up to there). What it goes on with has to be the same file by length, ETag and date of
    change, so that two versions are never spliced. Each retry is logged as one warning.

    Args:
        url: ``http(s)://``, or another scheme that fsspec knows.
        policy: when to try again.
        position: the byte to begin with.
        version: of the file that was begun earlier; None for whichever is there.

    Attributes:
        position: the byte that comes next.
        version: of the file; None before the first answer.
        retries: attempts beyond the first so far, over the whole file.

    Raises:
        RemoteError: it cannot be had, or (when read) the rest of it cannot: at once where no
            attempt can help, else after those of the policy.
    """

    def __init__(
        self,
        url: str,
        policy: RetryPolicy,
        *,
        position: int = 0,
        version: FileVersion | None = None,
    ) -> None:
        super().__init__()
        self.position = position
        self.version = version
        self.retries = 0
        self._url = url
        self._policy = policy
        self._connection: Connection | None = None
        self._failures = 0
        self._failed_at = position
        if not self._is_at_end:
            self._patiently(self._connect)

    def readable(self) -> bool:
        """True: it can be read, and nothing else."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Put what comes next into `buffer`; 0 at the end of the file."""
        data = self._next(len(buffer))
        # Whoever looks whether it is gzip needs the first two bytes at once.
        if self.position == 1 and len(buffer) > 1:
            data += self._next(len(buffer) - 1)
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Give up the connection."""
        self._disconnect()
        super().close()

    @property
    def _is_at_end(self) -> bool:
        return self.version is not None and self.version.length == self.position

    def _next(self, size: int) -> bytes:
        if self._is_at_end:
            return b""
        data = self._patiently(lambda: self._read(size))
        self.position += len(data)
        return data

    def _read(self, size: int) -> bytes:
        connection = self._connection or self._connect()
        length = None if self.version is None else self.version.length
        # A server that sends more than it said is cut off.
        data = connection.read(size if length is None else min(size, length - self.position))
        if not data and length is not None:
            told = f"{self.position:,} of {length:,} bytes came"
            raise RemoteError(told, kind="unreachable")
        return data

    def _connect(self) -> Connection:
        url, at = self._url, self.position
        if url.lower().startswith(("http://", "https://")):
            found = connect_http(url, at, self.version, timeout_s=self._policy.timeout_s)
        else:
            found = connect_filesystem(url, at)
        self._connection = found
        if self.version is None:
            self.version = found.version
        elif not self.version.agrees_with(found.version):
            raise RemoteError("another file stands there now", kind="changed")
        left = at - found.start
        while left and (passed := found.read(min(left, CHUNK_BYTES))):
            left -= len(passed)
        if left:
            raise RemoteError("the connection broke on the way to there", kind="unreachable")
        return found

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _patiently(self, action: Callable[[], _T]) -> _T:
        while True:
            try:
                return action()
            except RemoteError as error:
                self._disconnect()
                self._wait_or_give_up(error)

    def _wait_or_give_up(self, error: RemoteError) -> None:
        where = f"{plain_address(self._url)} at byte {self.position:,}"
        if error.kind != "unreachable":
            raise RemoteError(f"{where}: {error}", kind=error.kind) from None
        if self.position - self._failed_at >= _PROGRESS_BYTES:
            self._failures = 0
        self._failures, self._failed_at = self._failures + 1, self.position
        if self._failures >= self._policy.attempts:
            told = f"{where}: given up after {self._failures} attempts: {error}"
            raise RemoteError(told, kind="unreachable") from None
        self.retries += 1
        wait_s = self._policy.wait_s(self._failures, asked_s=error.asked_wait_s)
        _log.warning("%s: %s; again in %.3g s", where, error, wait_s)
        time.sleep(wait_s)


def open_remote(url: str, policy: RetryPolicy) -> io.BufferedReader:
    """A buffered stream of a remote file; see `RemoteStream`.

    Raises:
        RemoteError: it cannot be had.
    """
    return io.BufferedReader(RemoteStream(url, policy), CHUNK_BYTES)


def read_remote(url: str, policy: RetryPolicy) -> bytes:
    """All of a small remote file.

    Raises:
        RemoteError: it cannot be had.
    """
    with open_remote(url, policy) as stream:
        return stream.read()

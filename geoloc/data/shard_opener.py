"""ShardOpener: from the address of a shard to its bytes, wherever it lies."""

from __future__ import annotations

import gzip
import io
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoloc.data.remote import open_remote
from geoloc.data.retries import RetryPolicy
from geoloc.data.shard_cache import ShardCache
from geoloc.data.sidecars import is_local
from geoloc.data.tar_members import ByteStream


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOpener:
    """Opens shards; small and picklable, so that every worker has one.

    Attributes:
        policy: how often a remote shard is asked for again.
        cache: where remote shards are kept; None streams them.
    """

    policy: RetryPolicy = field(default_factory=RetryPolicy)
    cache: ShardCache | None = None

    def prepare(self, urls: Sequence[str]) -> None:
        """What the main process does before workers get a copy: read what is noted of shards.

        Raises:
            DataError: a server that has it cannot be reached.
        """
        if self.cache is not None:
            self.cache.learn(urls, self.policy)

    def open(self, url: str) -> ByteStream:
        """A stream of a shard's bytes, unpacked where they are gzip.

        A local file, or one of the cache, is a seekable ``io.BufferedReader``.

        Args:
            url: a local path, ``http(s)://``, ``pipe:`` (a command, run by webdataset's gopen), or
                a scheme that fsspec knows.

        Raises:
            OSError: it is not there or cannot be read.
        """
        if url.startswith("pipe:"):
            return _open_pipe(url)
        if not is_local(url):
            if self.cache is not None:
                return _unpacked(self.cache.open(url, self.policy))
            return _unpacked(open_remote(url, self.policy))
        # Opening a pipe waits for a writer that may never come, and a device never ends.
        if not stat.S_ISREG(Path(url).stat().st_mode):
            raise OSError(f"{url} is no ordinary file")
        return _unpacked(Path(url).open("rb"))


def _open_pipe(url: str) -> ByteStream:
    from webdataset.gopen import gopen

    try:
        return _QuietClose(gopen(url))
    except ValueError as error:
        raise OSError(str(error)) from error


def _unpacked(stream: io.BufferedReader) -> ByteStream:
    try:
        packed = stream.peek(2)[:2] == b"\x1f\x8b"
    except BaseException:
        stream.close()
        raise
    return _Unpacking(stream) if packed else stream


class _Unpacking(gzip.GzipFile):
    """Unpacks gzip and, unlike its parent, closes what it reads from."""

    def __init__(self, stream: io.BufferedReader) -> None:
        super().__init__(fileobj=stream, mode="rb")
        self._packed = stream

    def close(self) -> None:
        super().close()
        self._packed.close()


class _QuietClose:
    """A stream of webdataset's whose command fails: a fault when read, and nothing when closed."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def read(self, size: int) -> bytes:
        return self._stream.read(size)

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()

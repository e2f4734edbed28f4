"""ShardCache: remote shards kept in a folder of this machine, each downloaded once."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from geoloc.data.cached_files import CachedFiles
from geoloc.data.remote import CHUNK_BYTES, RemoteStream, open_remote
from geoloc.data.retries import RemoteError, RetryPolicy, plain_address
from geoloc.data.sidecars import (
    CHECKSUMS_FILE,
    NotedFile,
    folder_of,
    is_local,
    read_checksums,
    shard_name,
)

_GB = 10**9
_NAME_LETTERS = 80
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class ShardCache:
    """Remote shards on the disk, for all processes that name the same folder.

    A shard is downloaded by whoever wants it first; others wait for that. An interrupted download
    goes on where it was. What checksums.json notes of a shard (length, SHA-256) is held against it,
    and then it is known by that content; a shard of which nothing is noted is known by its address,
    so that what changes there goes unnoticed. Where the disk is full or cannot be written,
    shards are streamed, with one warning.

    Attributes:
        folder: where they are kept.
        limit_gb: in 10⁹ bytes; above it the shards used longest ago are removed, but none that is
            being read or downloaded. A longer shard is streamed. None keeps all.
    """

    folder: Path
    limit_gb: float | None = None
    _noted: dict[str, dict[str, NotedFile]] = field(
        init=False, repr=False, compare=False, default_factory=dict[str, dict[str, NotedFile]]
    )
    _told: bool = field(init=False, repr=False, compare=False, default=False)

    def learn(self, urls: Iterable[str], policy: RetryPolicy) -> None:
        """Read what checksums.json notes of shards, once for all workers that get a copy of this.

        Raises:
            DataError: a server that has it cannot be reached.
        """
        for url in urls:
            self._noted_of(url, policy)

    def open(self, url: str, policy: RetryPolicy) -> io.BufferedReader:
        """A stream of a remote shard: a file of the cache, wherever that is possible.

        Raises:
            RemoteError: the shard cannot be had, or is twice another than checksums.json notes.
            DataError: checksums.json cannot be read.
        """
        noted = self._noted_of(url, policy)
        name, length = _file_name(url, noted), None if noted is None else noted.bytes
        limit = None if self.limit_gb is None else int(self.limit_gb * _GB)
        files = CachedFiles(folder=self.folder, limit_bytes=limit)
        try:
            while True:
                if (whole := files.open(name, length=length)) is not None:
                    return whole
                part = files.begin(name)
                if part is not None:
                    with part:
                        return _Download(url, policy, noted).into(files, name, part)
        except RemoteError:
            raise
        # All that is left is trouble with the disk.
        except OSError as error:
            if not self._told:
                _log.warning("cache of shards %s: %s; streaming instead", self.folder, error)
                self._told = True
            return open_remote(url, policy)

    def _noted_of(self, url: str, policy: RetryPolicy) -> NotedFile | None:
        folder = folder_of(url)
        if folder is None or is_local(url):
            return None
        if folder not in self._noted:
            self._noted[folder] = read_checksums(folder, policy=policy)
        return self._noted[folder].get(shard_name(url))


@dataclass(frozen=True, slots=True)
class _Download:
    """One shard on its way into the cache."""

    url: str
    policy: RetryPolicy
    noted: NotedFile | None

    def into(self, files: CachedFiles, name: str, part: io.BufferedRandom) -> io.BufferedReader:
        try:
            fault = self._receive(files, name, part)
            if fault is not None:
                _log.warning("%s: %s; downloading again", plain_address(self.url), fault)
                part.seek(0)
                part.truncate()
                fault = self._receive(files, name, part)
            if fault is not None:
                files.discard(name)
                raise RemoteError(f"{plain_address(self.url)}: {fault}", kind="damaged")
            return files.finish(name, part)
        except RemoteError:
            raise
        except OSError:
            # A full disk: what came so far should not fill it.
            files.discard(name)
            raise

    def _receive(self, files: CachedFiles, name: str, part: io.BufferedRandom) -> str | None:
        """Fetch what is missing; what is wrong with the whole, in one line, or None."""
        have = part.seek(0, os.SEEK_END)
        version = files.version_begun(name) if have else None
        if version is None or not (version.is_told or self.noted is not None):
            have, version = 0, None
        part.seek(have)
        part.truncate()
        try:
            with RemoteStream(self.url, self.policy, position=have, version=version) as stream:
                if stream.version is not None:
                    files.note_version(name, stream.version)
                    if stream.version.length is not None:
                        files.make_room(stream.version.length, part)
                shutil.copyfileobj(stream, part, CHUNK_BYTES)
        except RemoteError as error:
            if error.kind != "changed":
                raise
            return str(error)
        return self._difference(part)

    def _difference(self, part: io.BufferedRandom) -> str | None:
        if self.noted is None:
            return None
        length = part.tell()
        if length != self.noted.bytes:
            return f"{length:,} bytes, {CHECKSUMS_FILE} notes {self.noted.bytes:,}"
        part.seek(0)
        if hashlib.file_digest(part, "sha256").hexdigest() != self.noted.sha256:
            return f"its SHA-256 is not the one in {CHECKSUMS_FILE}"
        return None


def _file_name(url: str, noted: NotedFile | None) -> str:
    # A name of our own: what a server notes may be anything, and no path shall come of it.
    content = url if noted is None else f"{noted.bytes} {noted.sha256}"
    digest = hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{digest[:32]}-{re.sub('[^A-Za-z0-9._-]', '_', shard_name(url))[-_NAME_LETTERS:]}"

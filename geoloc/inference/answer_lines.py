"""AnswerLines: a file of one JSON object an image that a killed query goes on with."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from geoloc.artifacts import append_whole, sync
from geoloc.errors import ConfigError, DataError

LINES_VERSION = 2
_BEGINNING = f'{{"schema_version": {LINES_VERSION}, "query": '.encode()
_SYNC_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FileKey:
    """A file as it was when it was asked about: one that has changed since is another.

    Attributes:
        path: as the user named it.
        size_bytes: its size, None where it could not be had.
        modified_ns: when its content changed last, in ns since 1970, likewise.
    """

    path: str
    size_bytes: int | None = None
    modified_ns: int | None = None

    @classmethod
    def of(cls, path: Path) -> FileKey:
        """The key of a file as it is now."""
        try:
            found = path.stat()
        except (OSError, ValueError):
            return cls(path=str(path))
        return cls(path=str(path), size_bytes=found.st_size, modified_ns=found.st_mtime_ns)

    def json(self) -> dict[str, object]:
        """The key as it stands in a line."""
        return {
            "path": self.path,
            "size_bytes": self.size_bytes,
            "modified_ns": self.modified_ns,
        }


def header_text(query: Mapping[str, object]) -> str:
    """The first line of a file: what was asked, of which model and gallery, where and when."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    where = {"folder": str(Path.cwd()), "started": started}
    return line_text({"schema_version": LINES_VERSION, "query": dict(query), **where})


def line_text(content: Mapping[str, object]) -> str:
    """One line of strict JSON with its end; names that are no Unicode by JSON's escapes."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


class AnswerLines:
    """Appends a line an image, each whole or absent, and knows which images have theirs.

    The file is locked while it is open, so that two queries cannot answer the same images.

    Args:
        path: the file.
        query: what is asked: an earlier file must have been asked the same.
        resume: go on with the file if it stands there already.

    Raises:
        ConfigError: the file stands there and is not to be resumed; it holds the answers of
            another query; or another process has it open.
        DataError: the file is not one of answers, or a line before the last is damaged.
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path, query: Mapping[str, object], *, resume: bool) -> None:
        if path.exists() and not resume:
            raise ConfigError(
                f"{path} is there already: go on with it by --resume, or name another file"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path, self._folder = path, Path.cwd()
        self._stream = path.open("ab", buffering=0)
        self._synced_s = time.monotonic()
        try:
            self._lock()
            self._done = self._read(query)
            if path.stat().st_size == 0:
                append_whole(self._stream, header_text(query).encode())
        except BaseException:
            self._stream.close()
            raise

    def is_done(self, key: FileKey) -> bool:
        """Whether the file holds a line of this image as it is now."""
        return _identity(key, self._folder) in self._done

    def append(self, content: Mapping[str, object], *, key: FileKey | None = None) -> None:
        """Add a line at once.

        Args:
            content: the line (see `asked_json`).
            key: the image's file as it was before it was read, which the line holds too.

        Raises:
            OSError: the disk is full; the file is as it was before.
        """
        append_whole(self._stream, line_text(content).encode())
        if key is not None:
            self._done.add(_identity(key, self._folder))
        # A killed process loses nothing of this; a machine without current at most a second.
        if time.monotonic() - self._synced_s > _SYNC_S:
            self._sync()

    def close(self) -> None:
        """Flush the file to disk and give it back."""
        self._sync()
        self._stream.close()

    def _sync(self) -> None:
        sync(self._path)
        self._synced_s = time.monotonic()

    def _lock(self) -> None:
        try:
            fcntl.flock(self._stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(f"{self._path} is being written by another process") from None
        except OSError:
            # Some network file systems have no locks, and can be used all the same.
            return

    def _read(self, query: Mapping[str, object]) -> set[tuple[str, int | None, int | None]]:
        done: set[tuple[str, int | None, int | None]] = set()
        whole, header = 0, None
        with self._path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if number == 1 and not line.startswith(_BEGINNING):
                    raise DataError(
                        f"{self._path} does not hold answers of `geoloc query --format jsonl`:"
                        " name another file"
                    )
                # The last line of a process that was killed in the midst of it.
                if not line.endswith(b"\n"):
                    break
                content = self._parsed(line, number)
                if header is None:
                    header = content
                    self._refuse_damaged(header)
                    self._refuse_another(header, query)
                else:
                    done.add(self._identity_in(content, header, number))
                whole += len(line)
        self._stream.truncate(whole)
        return done

    def _parsed(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            content = json.loads(line)
        except ValueError as error:
            raise DataError(f"{self._path}, line {number} is damaged: {error}") from None
        if not isinstance(content, dict):
            raise DataError(f"{self._path}, line {number} is damaged: not a JSON object")
        return cast("dict[str, Any]", content)

    def _identity_in(
        self, content: Mapping[str, Any], header: Mapping[str, Any], number: int
    ) -> tuple[str, int | None, int | None]:
        try:
            key = FileKey(**content["file"])
            return _identity(key, Path(header["folder"]))
        except (KeyError, TypeError) as error:
            raise DataError(f"{self._path}, line {number} is damaged: {error!r}") from None

    def _refuse_damaged(self, header: Mapping[str, Any]) -> None:
        kinds = {"query": dict, "folder": str}
        for name, kind in kinds.items():
            if not isinstance(header.get(name), kind):
                raise DataError(f"{self._path}, line 1 is damaged: it has no {name}")

    def _refuse_another(self, header: Mapping[str, Any], query: Mapping[str, object]) -> None:
        earlier = cast("Mapping[str, object]", header["query"])
        told = [
            f"{name} was {_word(earlier.get(name))} and is {_word(query.get(name))}"
            for name in dict.fromkeys((*earlier, *query))
            if earlier.get(name) != query.get(name)
        ]
        if told:
            raise ConfigError(
                f"{self._path} holds the answers of another query ({'; '.join(told)}): "
                "ask the same again, or name another file"
            )


def _identity(key: FileKey, folder: Path) -> tuple[str, int | None, int | None]:
    return os.path.normpath(folder / key.path), key.size_bytes, key.modified_ns


def _word(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)

"""Which shards a source means, and how many samples each is said to hold."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPResponse
from pathlib import Path, PurePosixPath
from typing import Any, cast

from geoloc.errors import DataError

SIZES_FILE = "sizes.json"
UNFINISHED_FILE = ".unfinished"

_ENDINGS = (".tar", ".tar.gz", ".tgz")
_TIMEOUT_S = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardList:
    """Shards in order.

    Attributes:
        urls: local paths, ``http(s)://``, ``pipe:`` commands, or whatever webdataset's gopen opens.
        sizes: samples that each is said to hold (sizes.json); None where nobody says.
    """

    urls: tuple[str, ...]
    sizes: tuple[int | None, ...]

    def __post_init__(self) -> None:
        if len(self.urls) != len(self.sizes):
            raise ValueError(f"{len(self.urls)} shards, {len(self.sizes)} sizes")

    def __len__(self) -> int:
        return len(self.urls)

    @property
    def sample_count(self) -> int | None:
        """Samples of all shards, if every shard's number is known."""
        total = 0
        for size in self.sizes:
            if size is None:
                return None
            total += size
        return total

    def pick(self, index: Sequence[int]) -> ShardList:
        """The shards at these positions, in that order."""
        return ShardList(
            urls=tuple(self.urls[i] for i in index), sizes=tuple(self.sizes[i] for i in index)
        )

    def fingerprint(self) -> str:
        """The same for the same file names and sizes in the same order, in whatever folder."""
        content = json.dumps([[shard_name(url) for url in self.urls], list(self.sizes)])
        return hashlib.sha256(content.encode()).hexdigest()


def shard_name(url: str) -> str:
    """The file name of a shard, by which sizes.json knows it; a ``pipe:`` is its own name."""
    return url if url.startswith("pipe:") else PurePosixPath(url.split("?")[0]).name


def list_shards(
    source: str | os.PathLike[str] | Sequence[str] | ShardList, *, strict: bool = True
) -> ShardList:
    """The shards that a source means: a folder, one tar, a brace URL, several of these, or a list.

    In a folder these are its tars and those that sizes.json names, sorted. For other sources
    ``sizes.json`` is looked for beside each shard, for ``http(s)`` too. Brace URLs are expanded as
    in webdataset: ``data/{00000..00099}.tar``.

    Args:
        source: where to look.
        strict: refuse a folder whose sizes.json does not name all of its tars. Otherwise
            these are taken to hold no sample, so that each of theirs counts as surplus.

    Raises:
        DataError: there is no shard, sizes.json cannot be read, writing was interrupted, or (see
            `strict`) a tar is not accounted for.
    """
    if isinstance(source, ShardList):
        return source
    if not isinstance(source, str | os.PathLike):
        lists = [list_shards(part, strict=strict) for part in source]
        return ShardList(
            urls=tuple(url for part in lists for url in part.urls),
            sizes=tuple(size for part in lists for size in part.sizes),
        )
    text = os.fspath(source)
    return _list_folder(Path(text), strict=strict) if Path(text).is_dir() else _list_urls(text)


def _list_folder(folder: Path, *, strict: bool) -> ShardList:
    if (folder / UNFINISHED_FILE).exists():
        raise DataError(f"{folder}: writing these shards was interrupted: write them again")
    found = {path.name for path in folder.iterdir() if path.name.endswith(_ENDINGS)}
    sizes = _read_sizes(folder / SIZES_FILE) if (folder / SIZES_FILE).is_file() else None
    names = sorted(found | set(sizes or {}))
    if not names:
        inside = sorted(path.name for path in folder.iterdir() if path.is_dir())
        hint = f" (there are folders in it: {', '.join(inside[:5])})" if inside else ""
        raise DataError(f"{folder} holds no .tar shard{hint}")
    unlisted = sorted(found - set(sizes)) if sizes is not None else []
    if unlisted and strict:
        raise DataError(
            f"{folder / SIZES_FILE} does not name {unlisted[0]} ({len(unlisted)} such shards): add "
            "their numbers of samples, or move them away"
        )
    return ShardList(
        urls=tuple(str(folder / name) for name in names),
        sizes=tuple(None if sizes is None else sizes.get(name, 0) for name in names),
    )


def _list_urls(text: str) -> ShardList:
    from webdataset.shardlists import expand_urls

    is_pipe, is_local = text.startswith("pipe:"), "://" not in text
    urls = [text] if is_pipe else list(expand_urls(text))
    if is_pipe:
        return ShardList(urls=tuple(urls), sizes=(None,))
    if is_local and not any(Path(url).is_file() for url in urls):
        raise DataError(f"{text}: no such folder or shard")
    known: dict[str, dict[str, int] | None] = {}
    sizes: list[int | None] = []
    for url in urls:
        folder = url.split("?")[0].rpartition("/")[0]
        if folder not in known:
            known[folder] = _sizes_beside(folder, is_local=is_local)
        sizes.append((known[folder] or {}).get(shard_name(url)))
    return ShardList(urls=tuple(urls), sizes=tuple(sizes))


def _sizes_beside(folder: str, *, is_local: bool) -> dict[str, int] | None:
    if is_local:
        path = Path(folder or ".") / SIZES_FILE
        return _read_sizes(path) if path.is_file() else None
    if not folder.startswith(("http://", "https://")):
        return None
    try:
        with open_web(f"{folder}/{SIZES_FILE}") as response:
            return _parse_sizes(response.read(), what=f"{folder}/{SIZES_FILE}")
    except OSError:
        return None


def open_web(url: str) -> HTTPResponse:
    """A stream of what lies at an ``http(s)`` address.

    Raises:
        OSError: it cannot be had.
    """
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"not an http(s) address: {url}")
    return cast("HTTPResponse", urllib.request.urlopen(url, timeout=_TIMEOUT_S))


def _read_sizes(path: Path) -> dict[str, int]:
    try:
        return _parse_sizes(path.read_bytes(), what=str(path))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _parse_sizes(data: bytes, *, what: str) -> dict[str, int]:
    try:
        sizes: Any = json.loads(data)
    except ValueError as error:
        raise DataError(
            f"{what} is no JSON ({error}): it should map file names to counts"
        ) from None
    if not isinstance(sizes, dict) or not all(
        isinstance(count, int) and not isinstance(count, bool) and count >= 0
        for count in cast("dict[str, Any]", sizes).values()
    ):
        raise DataError(f'{what} should map file names to counts: {{"00000.tar": 1000}}')
    return cast("dict[str, int]", sizes)

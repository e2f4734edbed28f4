"""Which shards a source means, and how many samples each is said to hold."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from geoloc.data.retries import RetryPolicy
from geoloc.data.sidecars import (
    SIZES_FILE,
    UNFINISHED_FILE,
    NotedFile,
    fits,
    folder_of,
    is_local,
    read_checksums,
    read_sizes,
    shard_name,
)
from geoloc.errors import DataError

_ENDINGS = (".tar", ".tar.gz", ".tgz")
_END_BYTES = 2**16


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardList:
    """Shards in order.

    Attributes:
        urls: local paths, ``http(s)://``, ``pipe:`` commands, or schemes that fsspec knows.
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
        """The same for the same shards in the same order, in whatever folder of this machine.

        Into it go names and numbers of samples, and of the content the SHA-256 that checksums.json
        beside the shard notes. Without one (or where the length is another): of a local file its
        length and a hash of its first and last 64 KiB; of all else the address without its query,
        so that what changes there unsaid goes unnoticed.
        """
        noted: dict[str, dict[str, NotedFile]] = {}
        content: list[list[str | int | None]] = []
        for url, size in zip(self.urls, self.sizes, strict=True):
            folder = folder_of(url)
            if folder is not None and folder not in noted:
                noted[folder] = read_checksums(folder)
            file = None if folder is None else noted[folder].get(shard_name(url))
            content.append([shard_name(url), size, _content(url, file)])
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _content(url: str, noted: NotedFile | None) -> str:
    if noted is not None and fits(url, noted):
        return noted.sha256
    if not is_local(url):
        return url.split("?")[0]
    try:
        with Path(url).open("rb") as stream:
            length = stream.seek(0, os.SEEK_END)
            stream.seek(0)
            ends = hashlib.sha256(stream.read(_END_BYTES))
            stream.seek(max(0, length - _END_BYTES))
            ends.update(stream.read(_END_BYTES))
    except OSError:
        return "absent"
    return f"{length} bytes, ends {ends.hexdigest()}"


def list_shards(
    source: str | os.PathLike[str] | Sequence[str] | ShardList,
    *,
    strict: bool = True,
    policy: RetryPolicy | None = None,
) -> ShardList:
    """The shards that a source means: a folder, one tar, a brace URL, several of these, or a list.

    In a folder these are its tars and those that sizes.json names, sorted. For other sources
    ``sizes.json`` is looked for beside each shard, for remote ones too. Brace URLs are expanded as
    in webdataset: ``data/{00000..00099}.tar``.

    Args:
        source: where to look.
        strict: refuse a folder whose sizes.json does not name all of its tars. Otherwise
            these are taken to hold no sample, so that each of theirs counts as surplus.
        policy: how often the server of remote shards is asked again for sizes.json.

    Raises:
        DataError: there is no shard, sizes.json cannot be read, writing was interrupted, or (see
            `strict`) a tar is not accounted for.
    """
    if isinstance(source, ShardList):
        return source
    if not isinstance(source, str | os.PathLike):
        lists = [list_shards(part, strict=strict, policy=policy) for part in source]
        return ShardList(
            urls=tuple(url for part in lists for url in part.urls),
            sizes=tuple(size for part in lists for size in part.sizes),
        )
    text = os.fspath(source)
    if Path(text).is_dir():
        return _list_folder(Path(text), strict=strict)
    return _list_urls(text, policy=policy)


def _list_folder(folder: Path, *, strict: bool) -> ShardList:
    if (folder / UNFINISHED_FILE).exists():
        raise DataError(f"{folder}: writing these shards was interrupted: write them again")
    found = {path.name for path in folder.iterdir() if path.name.endswith(_ENDINGS)}
    sizes = read_sizes(str(folder))
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


def _list_urls(text: str, *, policy: RetryPolicy | None) -> ShardList:
    from webdataset.shardlists import expand_urls

    if text.startswith("pipe:"):
        return ShardList(urls=(text,), sizes=(None,))
    urls = list(expand_urls(text))
    if is_local(text) and not any(Path(url).is_file() for url in urls):
        raise DataError(f"{text}: no such folder or shard")
    known: dict[str | None, dict[str, int]] = {None: {}}
    sizes: list[int | None] = []
    for url in urls:
        folder = folder_of(url)
        if folder is not None and folder not in known:
            known[folder] = read_sizes(folder, policy=policy) or {}
        sizes.append(known[folder].get(shard_name(url)))
    return ShardList(urls=tuple(urls), sizes=tuple(sizes))

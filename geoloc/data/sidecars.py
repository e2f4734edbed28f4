"""The small files beside shards: sizes.json, and what `ShardWriter` adds to it.

``sizes.json`` is part of the published layout. ``checksums.json`` has the length, the SHA-256 and
the number of samples of each shard, and of ``places.npy``: latitude and longitude of all samples in
degrees, float64, in the order of the shards. Both are read where they are there and fit.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
from jaxtyping import Float64

from geoloc.data.remote import read_remote
from geoloc.data.retries import RemoteError, RetryPolicy
from geoloc.errors import DataError

SIZES_FILE = "sizes.json"
CHECKSUMS_FILE = "checksums.json"
PLACES_FILE = "places.npy"
UNFINISHED_FILE = ".unfinished"

_log = logging.getLogger(__name__)
_LIMITS_DEG = (90.0, 180.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class NotedFile:
    """What checksums.json says of a file.

    Attributes:
        bytes: its length.
        sha256: of its bytes, as 64 hexadecimal digits.
        samples: how many it holds.
    """

    bytes: int
    sha256: str
    samples: int

    @classmethod
    def of(cls, data: bytes | memoryview, *, samples: int) -> NotedFile:
        """What is to be noted of these bytes."""
        return cls(bytes=len(data), sha256=hashlib.sha256(data).hexdigest(), samples=samples)


def is_local(url: str) -> bool:
    """Whether a shard is a file of this machine, neither a command nor behind an address."""
    return "://" not in url and not url.startswith("pipe:")


def shard_name(url: str) -> str:
    """The file name of a shard, by which sizes.json knows it; a ``pipe:`` is its own name."""
    return url if url.startswith("pipe:") else PurePosixPath(url.split("?")[0]).name


def folder_of(url: str) -> str | None:
    """Where the files beside a shard lie; None for a ``pipe:``."""
    if url.startswith("pipe:"):
        return None
    return str(Path(url).parent) if is_local(url) else url.split("?")[0].rpartition("/")[0]


def read_beside(folder: str, name: str, *, policy: RetryPolicy | None = None) -> bytes | None:
    """A file beside shards, of this machine or behind an address; None without one.

    A server that says no (401, 403, …) counts as one without it, which is logged: storages answer
    so for what is not there when the folder may not be listed.

    Args:
        folder: where the shards lie.
        name: of the file.
        policy: how often a server that cannot be reached is asked again.

    Raises:
        DataError: it is there and cannot be read, or nobody can tell whether it is there.
    """
    if not is_local(folder):
        return _read_remote_beside(folder, name, policy=policy or RetryPolicy())
    path = Path(folder) / name
    try:
        return path.read_bytes() if path.is_file() else None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error


def _read_remote_beside(folder: str, name: str, *, policy: RetryPolicy) -> bytes | None:
    try:
        return read_remote(f"{folder}/{name}", policy)
    except RemoteError as error:
        if error.kind == "absent":
            return None
        if error.kind == "refused":
            _log.warning("%s: taken for a file that is not there", error)
            return None
        raise DataError(f"{name} beside the shards cannot be read: {error}") from error


def read_sizes(folder: str, *, policy: RetryPolicy | None = None) -> dict[str, int] | None:
    """What sizes.json says: number of samples by file name; None without one.

    Raises:
        DataError: it is there and cannot be read, or is no mapping of file names to counts.
    """
    data = read_beside(folder, SIZES_FILE, policy=policy)
    what = f"{folder}/{SIZES_FILE}"
    if data is None:
        return None
    try:
        sizes: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{what} is no JSON ({error}): it should map file names to counts"
        ) from None
    if not isinstance(sizes, dict) or not all(
        isinstance(count, int) and not isinstance(count, bool) and count >= 0
        for count in cast("dict[str, Any]", sizes).values()
    ):
        raise DataError(f'{what} should map file names to counts: {{"00000.tar": 1000}}')
    sizes = cast("dict[str, int]", sizes)
    for name in sizes:
        if not _is_file_name(name):
            raise DataError(f"{what} names {name!r}, which is no file name: shards lie beside it")
    return sizes


def _is_file_name(name: str) -> bool:
    odd = any(letter in "/\\\0" or "\ud800" <= letter <= "\udfff" for letter in name)
    return not odd and name not in ("", ".", "..")


def checksums_text(noted: Mapping[str, NotedFile]) -> str:
    """What checksums.json is to hold."""
    return json.dumps({name: asdict(file) for name, file in noted.items()}, indent=1) + "\n"


def read_checksums(folder: str, *, policy: RetryPolicy | None = None) -> dict[str, NotedFile]:
    """What checksums.json says, in its order; nothing of entries that have not our form.

    Raises:
        DataError: it cannot be read (see `read_beside`).
    """
    data = read_beside(folder, CHECKSUMS_FILE, policy=policy)
    try:
        content: Any = json.loads(data or b"{}")
    except (ValueError, RecursionError):
        return {}
    if not isinstance(content, dict):
        return {}
    entries = cast("dict[str, Any]", content).items()
    noted = {name: _noted(entry) for name, entry in entries}
    return {name: file for name, file in noted.items() if file is not None}


def _noted(entry: Any) -> NotedFile | None:
    try:
        file = NotedFile(**entry)
    except TypeError:
        return None
    whole = type(file.bytes) is int and type(file.samples) is int
    return file if whole and type(file.sha256) is str and file.samples >= 0 else None


def fits(url: str, noted: NotedFile) -> bool:
    """Whether a shard may be the one that was noted; of a local file the length is compared."""
    if not is_local(url):
        return True
    try:
        return Path(url).stat().st_size == noted.bytes
    except OSError:
        return False


def read_noted_places(
    folder: str, *, policy: RetryPolicy | None = None
) -> dict[str, Float64[np.ndarray, "place 2"]]:
    """The places of each shard from places.npy, by file name; none where it is missing or stale.

    Raises:
        DataError: it cannot be read (see `read_beside`).
    """
    noted = read_checksums(folder, policy=policy)
    whole = noted.pop(PLACES_FILE, None)
    data = None if whole is None else read_beside(folder, PLACES_FILE, policy=policy)
    counts = [file.samples for file in noted.values()]
    if data is None or NotedFile.of(data, samples=sum(counts)) != whole:
        return {}
    places: Any = np.load(io.BytesIO(data), allow_pickle=False)
    if places.dtype != np.float64 or places.shape != (sum(counts), 2):
        return {}
    if not (np.abs(places) <= _LIMITS_DEG).all():
        return {}
    return dict(zip(noted, np.split(places, np.cumsum(counts)[:-1]), strict=True))


def places_bytes(latlon_deg: Float64[np.ndarray, "place 2"]) -> bytes:
    """What places.npy is to hold."""
    buffer = io.BytesIO()
    np.save(buffer, latlon_deg, allow_pickle=False)
    return buffer.getvalue()

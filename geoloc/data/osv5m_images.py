"""Where the images of an OSV-5M release are: in numbered zips, or unpacked in folders."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from jaxtyping import Int, Shaped

from geoloc.data.decoding import read_limited
from geoloc.errors import DataError, ImageError

_SUFFIXES = (".jpg", ".jpeg")
_MAX_MEGABYTES = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageIndex:
    """The images under one folder, by id; some 20 bytes of memory an image.

    Attributes:
        containers: zips, and folders that hold images directly, in order of name.
        id: ids in ascending order, each once, as bytes.
        container: for each id, its place in `containers` (the first, where several hold it).
    """

    containers: tuple[Path, ...]
    id: Shaped[np.ndarray, " image"]
    container: Int[np.ndarray, " image"]

    @classmethod
    def build(cls, folder: Path) -> ImageIndex:
        """List the images of all zips and folders under `folder`; no image is read.

        Raises:
            DataError: there is no such folder, no image in it, or a zip is damaged.
        """
        if not folder.is_dir():
            raise DataError(f"{folder}: no such folder; the images of the split belong there")
        containers: list[Path] = []
        ids: list[np.ndarray] = []
        for path in sorted((folder, *folder.rglob("*"))):
            names = _names_in(path)
            stems = [PurePosixPath(name).stem.encode() for name in names]
            if stems:
                containers.append(path)
                ids.append(np.array(stems))
        if not ids:
            raise DataError(f"{folder}: no .jpg image, neither in zips nor in folders")
        everything = np.concatenate(ids)
        source = np.repeat(np.arange(len(ids)), [len(part) for part in ids])
        known, first = np.unique(everything, return_index=True)
        return cls(containers=tuple(containers), id=known, container=source[first])

    def find(self, ids: list[str]) -> Int[np.ndarray, " id"]:
        """Position of each id in the index; -1 where there is no such image."""
        wanted = np.array([one.encode() for one in ids], dtype=np.bytes_)
        position = np.minimum(np.searchsorted(self.id, wanted), len(self.id) - 1)
        return np.where(self.id[position] == wanted, position, -1)

    @contextmanager
    def opened(self, container: int) -> Generator[Callable[[str], bytes]]:
        """A function from an id to the bytes of its image in one container, opened once.

        The function raises ImageError with kind ``unreadable_image`` or ``file_too_large``.
        """
        path = self.containers[container]
        by_id = {PurePosixPath(name).stem: name for name in reversed(_names_in(path))}
        if path.is_dir():
            yield lambda one: read_limited(path / by_id[one], max_megabytes=_MAX_MEGABYTES)
            return
        with zipfile.ZipFile(path) as archive:
            yield lambda one: _read_member(archive, by_id[one])


def _names_in(path: Path) -> list[str]:
    """Names of the images in a zip or directly in a folder, ascending; none in anything else."""
    if path.is_dir():
        return sorted(one.name for one in path.iterdir() if one.suffix.lower() in _SUFFIXES)
    if path.suffix.lower() != ".zip":
        return []
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError) as error:
        raise DataError(f"{path}: a damaged zip ({error}); fetch it again") from error
    return sorted(name for name in names if PurePosixPath(name).suffix.lower() in _SUFFIXES)


def _read_member(archive: zipfile.ZipFile, name: str) -> bytes:
    try:
        megabytes = archive.getinfo(name).file_size / 1e6
        if megabytes > _MAX_MEGABYTES:
            raise ImageError(f"{name}: {megabytes:.0f} MB unpacked", kind="file_too_large")
        return archive.read(name)
    except (zipfile.BadZipFile, zlib.error, OSError, RuntimeError, NotImplementedError) as error:
        raise ImageError(
            f"{archive.filename}: {name} cannot be unpacked ({error})", kind="unreadable_image"
        ) from error

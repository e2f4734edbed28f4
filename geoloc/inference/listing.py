"""Which images are asked about: files, folders and lists of names."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from geoloc.data.decoding import image_suffixes
from geoloc.data.visible_files import visible_files
from geoloc.inference.answers import Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedImages:
    """What is to be asked, each file once, and what of it could not even be listed.

    Attributes:
        files: in the order in which they were named; those of a folder in order of path.
        refusals: folders without an image in them, or closed to us.
        folders: whether any folder was named.
    """

    files: tuple[Path, ...]
    refusals: tuple[Refusal, ...]
    folders: bool


def list_images(named: Iterable[Path]) -> ListedImages:
    """Files as they are named, whatever they are called; folders with all visible images below.

    In a folder an image is known by its ending, which must be that of a format that is decoded
    (`image_suffixes`); hidden files, hidden folders and linked folders are passed over. A file that
    is named twice, or once more by its folder, is asked once.
    """
    files: dict[str, Path] = {}
    refusals: list[Refusal] = []
    folders = False
    for path in named:
        inside = [path]
        if _is_folder(path):
            folders = True
            inside, closed = _folder_images(path)
            refusals += closed
        for file in inside:
            files.setdefault(os.path.normpath(file), file)
    return ListedImages(files=tuple(files.values()), refusals=tuple(refusals), folders=folders)


def names_of(content: bytes) -> list[Path]:
    """The paths in a list, one a line, or each ended by NUL (as `find -print0` does) if any is.

    Lines may end as on Windows.
    """
    if b"\0" in content:
        names = content.split(b"\0")
    else:
        names = [line.removesuffix(b"\r") for line in content.split(b"\n")]
    return [Path(os.fsdecode(name)) for name in names if name]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError):
        # A name that no file can have: refused when it is opened.
        return False


def _folder_images(folder: Path) -> tuple[list[Path], list[Refusal]]:
    refusals: list[Refusal] = []

    def closed(place: Path) -> None:
        message = "the folder cannot be listed"
        refusals.append(Refusal(source=str(place), message=message, kind="unreadable"))

    found = visible_files(folder, closed=closed)
    images = [path for path in found if path.suffix.lower() in image_suffixes()]
    if not images and not refusals:
        message = "no image in this folder"
        refusals.append(Refusal(source=str(folder), message=message, kind="no_images"))
    return images, refusals

"""The files below a folder that a user sees there."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def visible_files(folder: Path, *, closed: Callable[[Path], None] | None = None) -> list[Path]:
    """The files below a folder in order of path, without hidden ones and those in hidden folders.

    Linked files count, linked folders are not entered (they may lead back).

    Args:
        folder: searched with all folders below it.
        closed: called with each folder that cannot be listed; None passes over them.
    """

    def tell(error: OSError) -> None:
        if closed is not None:
            closed(Path(os.fsdecode(error.filename)))

    found: list[Path] = []
    for place, folders, names in os.walk(folder, onerror=tell):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(place, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.is_file())

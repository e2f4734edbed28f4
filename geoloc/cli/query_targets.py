"""The files that `geoloc query` writes, looked at before anything is asked."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

from geoloc.cli.query_arguments import asked_format

_ANOTHER = "name another file"


def written_file(path: Path) -> Path:
    """What a name stands for: a link stays, and the file that it names is written."""
    return Path(os.path.realpath(path))


def is_special(path: Path) -> bool:
    """Whether a device or a pipe stands there, which is written into and not replaced."""
    try:
        return path.exists() and not path.is_file() and not path.is_dir()
    except (OSError, ValueError):
        return False


def refuse_targets(args: argparse.Namespace) -> None:
    """See that ``--out`` and ``--map`` can be written, before minutes of work go into them.

    Raises:
        ConfigError: one of them cannot, or both are one file.
    """
    from geoloc.errors import ConfigError

    named = [(f"--{name}", getattr(args, name)) for name in ("out", "map")]
    named = [(option, path) for option, path in named if path is not None]
    for option, path in named:
        lines = option == "--out" and asked_format(args) == "jsonl"
        why = _special(option, path, lines=lines) or _unwritable(path)
        if lines and not why and path.exists() and not args.resume:
            why = f"it is there already: go on with it by --resume, or {_ANOTHER}"
        # The ending decides between page and picture.
        if not why and option == "--map" and written_file(path).suffix != path.suffix:
            why = f"it is a link to a file of another ending: {_ANOTHER}"
        if why:
            raise ConfigError(f"{option} {path}: {why}")
    if len(named) > 1 and len({os.path.realpath(path) for _, path in named}) == 1:
        raise ConfigError("--out and --map name the same file: name two")


def refuse_originals(args: argparse.Namespace, files: Sequence[Path]) -> None:
    """See that no image is written over.

    Raises:
        ConfigError: ``--out`` or ``--map`` is one of the images.
    """
    from geoloc.errors import ConfigError

    written = {os.path.realpath(path) for path in (args.out, args.map) if path is not None}
    for path in files if written else ():
        if os.path.realpath(path) in written:
            raise ConfigError(f"{path} is one of the images: name another file to be written")


def _special(option: str, path: Path, *, lines: bool) -> str | None:
    if not is_special(path) or (option == "--out" and not lines):
        return None
    if lines:
        return "JSON lines grow in a regular file; without --out they are printed as they come"
    return f"it is a device or a pipe: {_ANOTHER}"


def _unwritable(path: Path) -> str | None:
    """Why a name cannot be written to, None where nothing speaks against it."""
    try:
        if path.is_dir():
            return f"it is a folder: {_ANOTHER}"
        if is_special(path):
            return None
        folder = written_file(path).parent
        while not folder.exists():
            folder = folder.parent
    except (OSError, ValueError) as error:
        return f"{getattr(error, 'strerror', None) or error}: {_ANOTHER}"
    if not folder.is_dir():
        return f"{folder} is no folder: {_ANOTHER}"
    if not os.access(folder, os.W_OK | os.X_OK):
        return f"nothing can be written to the folder {folder}: {_ANOTHER}"
    return None

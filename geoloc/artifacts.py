"""Files that are whole or absent, and whose damage is seen when they are read."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from typing import Any, cast

import numpy as np
from safetensors import SafetensorError

from geoloc.errors import DataError


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, flush it to disk, then rename it.

    A crash or a full disk leaves the old file (or none), never half of the new one.

    Args:
        path: where the file is to stand; its folder is made when absent.
        write: called with the temporary path, which has the suffix of `path`.

    Raises:
        OSError: the disk is full or the folder cannot be written; `path` is as it was before.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last: some writers choose their format by it.
    temporary = path.with_name(f".{path.stem}-{secrets.token_hex(4)}{path.suffix}")
    try:
        write(temporary)
        sync(temporary)
        temporary.replace(path)
    except SafetensorError as error:
        # Its writer reports a full disk by an error of its own.
        raise OSError(f"{path} cannot be written: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def sync(path: Path) -> None:
    """Ask the disk to hold a file, or the entries of a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:
        # Some network file systems cannot sync folders, and can be used all the same.
        if not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def append_whole(stream: FileIO, content: bytes) -> None:
    """Add bytes at the end of a file, all of them or none.

    Args:
        stream: opened for appending and unbuffered, so that what a full disk refused does not come
            again when the file is closed.
        content: what is added.

    Raises:
        OSError: the disk is full or gone; the file is as it was before.
    """
    before, rest = stream.seek(0, os.SEEK_END), memoryview(content)
    try:
        while rest:
            # A disk that is nearly full takes the beginning, and refuses the next call.
            rest = rest[stream.write(rest) :]
    except OSError:
        stream.truncate(before)
        raise


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, object]) -> None:
    """Write strict JSON (no NaN, no Infinity) atomically."""
    text = json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    write_text(path, text)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays by name as a .npz."""
    save: Any = np.savez
    write_atomically(path, lambda temporary: save(temporary, allow_pickle=False, **arrays))


def read_json(path: Path, *, what: str) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        path: the file.
        what: what it is, for the message ("gallery").

    Raises:
        DataError: the file is missing, is not JSON, or is not an object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no {what} at {path.parent}: {path.name} is missing") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}); delete the {what} and build again") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} is damaged: not a JSON object; delete the {what} and build again")
    return cast("dict[str, Any]", content)


def check_sha256(path: Path, expected: str, *, what: str) -> None:
    """Refuse a file whose bytes are not those that were written.

    Args:
        path: the file.
        expected: the SHA-256 noted when it was written.
        what: what it belongs to, for the message.

    Raises:
        DataError: the file is missing or its SHA-256 differs.
    """
    if not path.is_file():
        raise DataError(f"the {what} at {path.parent} is torn: {path.name} is missing")
    if (found := sha256_of(path)) != expected:
        raise DataError(
            f"{path} is damaged: SHA-256 {found[:12]}…, written as {expected[:12]}…; "
            f"delete the {what} and build it again"
        )

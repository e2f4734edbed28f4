"""Remote files of every scheme that fsspec knows (s3, gs, hf, …), from any byte on."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from geoloc.data.remote_connection import Connection, FileVersion
from geoloc.data.retries import RemoteError

_ADDRESS = re.compile(r"([a-z][a-z0-9+.-]*)://.+", re.IGNORECASE | re.DOTALL)
_TAGS = ("ETag", "etag", "checksum", "md5Hash", "blob_id")
_TIMES = ("LastModified", "last_modified", "mtime", "updated", "created")
_INSTALL = "pip install 'geoloc[remote]'"


def connect_filesystem(url: str, position: int) -> Connection:
    """A way to a file's bytes from `position` on.

    Args:
        url: ``scheme://…``; chains of schemes (``zip::s3://…``) are refused.
        position: the byte to begin with.

    Raises:
        RemoteError: there is no library for the scheme (``unsupported``), no such file, no right
            to read it, or any other fault (``unreachable``).
    """
    system, path = _filesystem(url)
    try:
        # Listings are kept by fsspec, and would hide a change.
        system.invalidate_cache()
        info: dict[str, Any] = system.info(path)
        if info.get("type") == "directory":
            raise RemoteError("it is a folder", kind="refused")
        file: Any = system.open(path, "rb")
        file.seek(position)
    except Exception as error:
        raise _remote_error(error) from error

    def read(size: int) -> bytes:
        try:
            return file.read(size)
        except Exception as error:
            raise _remote_error(error) from error

    def close() -> None:
        with suppress(Exception):
            file.close()

    return Connection(start=position, version=_version(info), read=read, close=close)


def _filesystem(url: str) -> tuple[Any, str]:
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise RemoteError("no address of the form scheme://…", kind="unsupported")
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise RemoteError(f"{found[1]}:// needs fsspec: {_INSTALL}", kind="unsupported") from None
    try:
        return url_to_fs(url)
    except ImportError as error:
        told = f"{found[1]}:// needs one more library ({error}): {_INSTALL}"
        raise RemoteError(told, kind="unsupported") from None
    except ValueError as error:
        raise RemoteError(f"fsspec cannot open it: {error}", kind="unsupported") from None
    # Its file systems raise their libraries' own errors, which have no root in common.
    except Exception as error:
        raise _remote_error(error) from error


def _remote_error(error: Exception) -> RemoteError:
    if isinstance(error, RemoteError):
        return error
    told = f"{type(error).__name__}: {' '.join(str(error).split())}"
    if isinstance(error, FileNotFoundError):
        return RemoteError("there is no such file", kind="absent")
    if isinstance(error, PermissionError | IsADirectoryError | NotImplementedError):
        return RemoteError(told, kind="refused")
    return RemoteError(told, kind="unreachable")


def _version(info: dict[str, Any]) -> FileVersion:
    def first(names: tuple[str, ...]) -> str | None:
        return next((str(info[name]) for name in names if info.get(name) is not None), None)

    size = info.get("size")
    return FileVersion(
        length=size if isinstance(size, int) else None, tag=first(_TAGS), modified=first(_TIMES)
    )

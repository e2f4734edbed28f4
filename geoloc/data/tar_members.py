"""TarScanner: the files in a tar stream, going on behind damage and telling what it met."""

from __future__ import annotations

import io
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

MAX_MEMBER_BYTES = 512 * 2**20

_BLOCK = 512
_CHUNK = 2**18
_ZEROS = bytes(_BLOCK)
_MAGIC = b"ustar"
_MAGIC_AT = 257
_MAX_HEADER_BYTES = 2**20
# What their size field says is no length of data (a hard link repeats its target's).
_WITHOUT_DATA = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)
_FILE_TYPES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)


@runtime_checkable
class ByteStream(Protocol):
    """Anything that can be read forward, and closed."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...

    def close(self) -> None:
        """Give up what stands behind it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TarMember:
    """A file of a tar.

    Attributes:
        name: its path inside the tar.
        data: its bytes; None when they break off before the end or are more than 512 MiB.
        at: where its bytes begin, from the beginning of the tar.
    """

    name: str
    data: bytes | None
    at: int


class TarScanner:
    """Reads the members of a tar that may be damaged anywhere; never raises for damage.

    The usual readers end at the first bad header or block of zeros and give no sign of it. This one
    looks for the next header with a right checksum, at any byte, and goes on there. Headers are
    those of POSIX.1-1988 (ustar), POSIX.1-2001 (pax: path and size) and GNU (long names).

    Attributes:
        faults: what was met, one line each; empty for a whole tar.
        saw_data: whether there was any byte that is not zero.
    """

    def __init__(self, stream: ByteStream) -> None:
        # Bytes that were read too far are read again from streams put on top of this pile.
        self._pile: list[ByteStream] = [stream]
        self._file = _plain_file(stream)
        self._at = 0
        self.faults: list[str] = []
        self.saw_data = False

    def members(self, wanted: Callable[[str], bool]) -> Iterator[TarMember]:
        """The ordinary files whose name is wanted, in order; all else is passed over."""
        zeros, extension = 0, _Extension()
        while block := self._read(_BLOCK):
            if block == _ZEROS[: len(block)]:
                zeros += 1
                continue
            self.saw_data = True
            header = _header(block)
            if header is None:
                self._find_header(block)
                zeros, extension = 0, _Extension()
                continue
            if zeros:
                self.faults.append(
                    f"{zeros} blocks of zeros before the member at byte {self._at - _BLOCK}"
                )
                zeros = 0
            if header.type in _EXTENSIONS:
                extension = self._extend(extension, header)
                continue
            header.name = extension.path or header.name
            header.size = header.size if extension.size is None else extension.size
            extension = _Extension()
            is_file = header.type in _FILE_TYPES
            if is_file and wanted(header.name):
                at = self._at
                yield TarMember(name=header.name, data=self._payload(header), at=at)
            elif header.type not in _WITHOUT_DATA:
                self._pass_over(header.size)

    def _payload(self, header: tarfile.TarInfo) -> bytes | None:
        if header.size > MAX_MEMBER_BYTES:
            self.faults.append(f"{header.name!r} claims {header.size} bytes")
            return None
        start = self._at
        data = self._read(header.size)
        if len(data) < header.size:
            self.faults.append(
                f"{header.name!r} breaks off: {len(data)} of {header.size} bytes from byte {start}"
            )
            # With a wrong size it has swallowed what follows: look for headers in it.
            self._put_back(data)
            return None
        self._read(-header.size % _BLOCK)
        return data

    def _extend(self, extension: _Extension, header: tarfile.TarInfo) -> _Extension:
        if header.size > _MAX_HEADER_BYTES:
            self.faults.append(f"an extended header at byte {self._at} claims {header.size} bytes")
            return extension
        data = self._payload(header)
        if data is None or header.type == tarfile.XGLTYPE:
            return extension
        if header.type == tarfile.GNUTYPE_LONGNAME:
            name = data.rstrip(b"\0").decode("utf-8", "surrogateescape")
            return _Extension(path=name, size=extension.size)
        if header.type == tarfile.GNUTYPE_LONGLINK:
            return extension
        try:
            return _pax_extension(data)
        except ValueError:
            self.faults.append(f"the extended header before byte {self._at} cannot be read")
            return extension

    def _pass_over(self, size: int) -> None:
        left = size + -size % _BLOCK
        if self._file is not None and self._pile == [self._file]:
            start = self._file.tell()
            # Never beyond the end: what a damaged header claims may be too far to seek to.
            end = min(start + left, max(start, os.fstat(self._file.fileno()).st_size))
            self._at += self._file.seek(end) - start
            return
        while left > 0 and (chunk := self._read(min(left, _CHUNK))):
            left -= len(chunk)

    def _find_header(self, window: bytes) -> None:
        """Go on at the next header with a right checksum, wherever it begins."""
        start = self._at - len(window)
        while True:
            found = window.find(_MAGIC, _MAGIC_AT)
            while found >= 0 and found - _MAGIC_AT + _BLOCK <= len(window):
                begin = found - _MAGIC_AT
                if _header(window[begin : begin + _BLOCK]) is not None:
                    self._put_back(window[begin:])
                    self.faults.append(f"bytes {start} to {self._at} belong to no member")
                    return
                found = window.find(_MAGIC, found + 1)
            chunk = self._read(_CHUNK)
            if not chunk:
                self.faults.append(f"bytes {start} to the end belong to no member")
                return
            window = window[-(_BLOCK + len(_MAGIC)) :] + chunk

    def _put_back(self, data: bytes) -> None:
        self._pile.append(io.BytesIO(data))
        self._at -= len(data)

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size > 0 and self._pile:
            try:
                part = self._pile[-1].read(min(size, _CHUNK))
            except (OSError, EOFError, zlib.error) as error:
                self.faults.append(f"reading fails at byte {self._at}: {error}")
                part = b""
            if not part:
                self._pile.pop()
            parts.append(part)
            size -= len(part)
            self._at += len(part)
        return b"".join(parts)


def _plain_file(stream: ByteStream) -> io.BufferedReader | None:
    """The stream if it is a file in which one can leap."""
    return stream if isinstance(stream, io.BufferedReader) and stream.seekable() else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extension:
    """What an extended header says of the member after it."""

    path: str | None = None
    size: int | None = None


_EXTENSIONS = (
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)


def _header(block: bytes) -> tarfile.TarInfo | None:
    try:
        header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None
    return header if header.size >= 0 else None


def _pax_extension(data: bytes) -> _Extension:
    """Records of the form ``length key=value newline`` (POSIX.1-2001, pax interchange format)."""
    path, size = None, None
    while data.rstrip(b"\0"):
        digits = data.split(b" ", 1)[0]
        length = int(digits)
        if not len(digits) + 1 < length <= len(data):
            raise ValueError("a record of impossible length")
        key, _, value = data[len(digits) + 1 : length - 1].partition(b"=")
        if key == b"path":
            path = value.decode("utf-8", "surrogateescape")
        elif key == b"size":
            size = int(value)
            if size < 0:
                raise ValueError("a negative size")
        data = data[length:]
    return _Extension(path=path, size=size)

"""Connection: the bytes of a remote file from one on, and FileVersion, which file they are of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class FileVersion:
    """What tells a remote file from another at the same address; None where the server is silent.

    Attributes:
        length: in bytes.
        tag: http's ETag, or what a storage has in its place.
        modified: when it was changed last, in the server's words.
    """

    length: int | None = None
    tag: str | None = None
    modified: str | None = None

    def agrees_with(self, other: FileVersion) -> bool:
        """Whether nothing that both know differs."""
        return all(
            one is None or two is None or one == two
            for one, two in (
                (self.length, other.length),
                (self.tag, other.tag),
                (self.modified, other.modified),
            )
        )

    @property
    def is_told(self) -> bool:
        """Whether a change that keeps the length would show."""
        return self.tag is not None or self.modified is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """An open way to a remote file.

    Attributes:
        start: the byte with which it begins; at most the one that was asked for.
        version: the file it belongs to.
        read: gives at most so many bytes, none at the end; raises RemoteError of kind
            ``unreachable`` when they cannot be had.
        close: gives it up.
    """

    start: int
    version: FileVersion
    read: Callable[[int], bytes]
    close: Callable[[], None]

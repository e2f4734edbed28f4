"""RetryPolicy: how often a remote file is asked for again; RemoteError: why it cannot be had."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

RemoteErrorKind = Literal["absent", "refused", "unsupported", "changed", "damaged", "unreachable"]

# Many workers that met one outage should not come back at the same moment. No sample depends on it.
_JITTER = random.SystemRandom()
_LEAST_JITTER = 0.5


class RemoteError(OSError):
    """A remote file, or the rest of one, cannot be had.

    Args:
        message: what is wrong, in one line.
        kind: ``unreachable`` may be over soon and is tried again; all else is final:
            ``absent`` (there is no such file), ``refused`` (the server says no), ``unsupported``
            (no library for the scheme), ``changed`` (another file than the one that was begun),
            ``damaged`` (not the bytes that checksums.json notes).
        asked_wait_s: how long the server asks to be left alone, in seconds.
    """

    def __init__(self, message: str, *, kind: RemoteErrorKind, asked_wait_s: float = 0.0) -> None:
        super().__init__(message)
        self.kind: RemoteErrorKind = kind
        self.asked_wait_s = asked_wait_s


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """When to ask again, and when to give up.

    Attributes:
        attempts: failures in a row after which a file is given up. A row ends with 64 KiB of news.
        first_wait_s: before the second attempt, in seconds.
        factor: each further wait is so many times longer.
        longest_wait_s: no wait is longer, whatever a server asks for.
        timeout_s: a server that sends nothing for so long counts as a failure (http and https;
            other schemes have limits of their own).
    """

    attempts: int = 6
    first_wait_s: float = 1.0
    factor: float = 2.0
    longest_wait_s: float = 60.0
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.factor < 1 or self.timeout_s <= 0:
            raise ValueError(f"impossible: {self}")

    def wait_s(self, failures: int, *, asked_s: float = 0.0) -> float:
        """How long to wait after so many failures in a row: by half at most shorter, at random.

        Args:
            failures: in a row, from 1 on.
            asked_s: what the server asks for, in seconds; 0 if nothing.
        """
        # The exponent is held, since floats overflow.
        wait = min(self.longest_wait_s, self.first_wait_s * self.factor ** min(failures - 1, 60))
        wait *= _JITTER.uniform(_LEAST_JITTER, 1.0)
        return min(self.longest_wait_s, max(wait, asked_s))


def plain_address(url: str) -> str:
    """An address as it may stand in a log: without user, query and fragment, which hold secrets."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return url.split("?")[0]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()

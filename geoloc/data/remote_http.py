"""Remote files by http and https, from any byte on.

Source of the headers: RFC 9110, sections 8.8 (ETag, Last-Modified), 10.2.3 (Retry-After), 13.1.5
(If-Range) and 14 (Range, Content-Range).
"""

from __future__ import annotations

import re
import time
import urllib.request
from email.message import Message
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse, InvalidURL
from typing import cast
from urllib.error import HTTPError

from geoloc.data.remote_connection import Connection, FileVersion
from geoloc.data.retries import RemoteError

_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_GONE = (404, 410)
_RANGE_BEYOND_THE_END = 416
_PARTIAL = 206
# Request Timeout, Too Early, Too Many Requests: of the 4xx those that may pass.
_PASSING = (408, 425, 429)


def connect_http(
    url: str, position: int, version: FileVersion | None, *, timeout_s: float
) -> Connection:
    """A way to a file's bytes from `position` on, or from the first where the server can no better.

    Args:
        url: ``http://`` or ``https://``.
        position: the byte to begin with.
        version: of the file that was begun; None at first.
        timeout_s: seconds without any sign of the server.

    Raises:
        RemoteError: no connection (``unreachable``), or the server says no.
    """
    request = urllib.request.Request(url)
    if position:
        request.add_header("Range", f"bytes={position}-")
        # A weak tag may stand for other bytes, and is no condition a server takes.
        if version is not None and version.tag is not None and not version.tag.startswith("W/"):
            request.add_header("If-Range", version.tag)
    response = _answer(request, timeout_s=timeout_s)
    try:
        start, length = _extent(response, position)
    except RemoteError:
        response.close()
        raise

    def read(size: int) -> bytes:
        try:
            # What has arrived, without waiting for more: it would be lost if the connection broke.
            return response.read1(size)
        except (OSError, HTTPException, ValueError) as error:
            raise _unreachable(error) from error

    return Connection(
        start=start,
        version=FileVersion(
            length=length,
            tag=response.headers.get("ETag"),
            modified=response.headers.get("Last-Modified"),
        ),
        read=read,
        close=response.close,
    )


def _answer(request: urllib.request.Request, *, timeout_s: float) -> HTTPResponse:
    try:
        return cast("HTTPResponse", urllib.request.urlopen(request, timeout=timeout_s))
    except HTTPError as error:
        with error:
            raise _refusal(error) from None
    except (InvalidURL, ValueError) as error:
        raise RemoteError(f"no address: {error}", kind="unsupported") from None
    except (OSError, HTTPException) as error:
        raise _unreachable(error) from error


def _extent(response: HTTPResponse, position: int) -> tuple[int, int | None]:
    """The byte that a body begins with, and the length of the whole file if it is told."""
    if response.status != _PARTIAL:
        return 0, response.length
    found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if found is None or int(found[1]) > position:
        raise RemoteError("the server sends another part of the file", kind="unreachable")
    return int(found[1]), None if found[2] == "*" else int(found[2])


def _refusal(error: HTTPError) -> RemoteError:
    told = f"the server answers {error.code} {error.reason}"
    if error.code in _GONE:
        return RemoteError(told, kind="absent")
    if error.code == _RANGE_BEYOND_THE_END:
        return RemoteError("the file has become shorter", kind="changed")
    if error.code in _PASSING or error.code >= 500:
        return RemoteError(told, kind="unreachable", asked_wait_s=_asked_wait_s(error.headers))
    return RemoteError(told, kind="refused")


def _asked_wait_s(headers: Message) -> float:
    """What Retry-After says, in seconds from now: it holds a number of them, or a date."""
    asked = headers.get("Retry-After", "")
    if asked.strip().isdecimal():
        return float(asked)
    try:
        return max(0.0, parsedate_to_datetime(asked).timestamp() - time.time())
    except (ValueError, OverflowError):
        return 0.0


def _unreachable(error: Exception) -> RemoteError:
    told = " ".join(str(error).split()) or type(error).__name__
    return RemoteError(told, kind="unreachable")

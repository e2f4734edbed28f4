"""Refusals of whole requests: a status, a countable kind, and one line for people."""

from __future__ import annotations

import traceback

from starlette.responses import JSONResponse


class RequestError(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        kind: a short word for counting, such as ``"too_many_bytes"``.
        message: what to do about it, in one line; holds nothing of the request's own text.
        headers: that go with it, such as Retry-After.
    """

    def __init__(
        self, status: int, kind: str, message: str, *, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.headers = headers or {}


def malformed(message: str) -> RequestError:
    """400: the request cannot be understood."""
    return RequestError(400, "malformed", message)


def too_many_bytes(most_megabytes: float) -> RequestError:
    """413: the body is larger than the limit."""
    return RequestError(
        413, "too_many_bytes", f"a request may hold {most_megabytes:g} MB: send fewer or smaller"
    )


def wrong_content_type(wanted: str) -> RequestError:
    """415: the body is of a type that nobody reads."""
    return RequestError(415, "wrong_content_type", f"send {wanted}")


def no_text_tower(message: str = "this model cannot be asked in words") -> RequestError:
    """501: questions in words have no answer here."""
    return RequestError(501, "no_text_tower", message)


def busy(kind: str, message: str, *, retry_after_s: int = 1) -> RequestError:
    """503: try again later."""
    return RequestError(503, kind, message, headers={"Retry-After": str(retry_after_s)})


def error_response(error: RequestError) -> JSONResponse:
    """The error as the document that every endpoint gives."""
    return JSONResponse(
        {"error": {"kind": error.kind, "message": error.message}},
        status_code=error.status,
        headers=error.headers,
    )


def where(error: BaseException) -> str:
    """The functions and lines that an error came through, innermost first; none of its words."""
    frames = traceback.extract_tb(error.__traceback__)
    return " < ".join(f"{frame.name}:{frame.lineno}" for frame in reversed(frames[-6:]))

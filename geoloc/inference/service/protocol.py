"""HTTP/1.1 as uvicorn speaks it, with time limits where uvicorn has none."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from geoloc.inference.service.guard import SECURITY_HEADERS

Stage = Literal["headers", "drain", "free"]


class PatientProtocol(H11Protocol):
    """A connection that must bring its headers, and end a refused body, in time.

    uvicorn waits for headers, and reads on after an early answer (so that the client gets to see
    it), for as long as the client likes. Requests that are no HTTP get the service's error
    document. Use `patient_protocol` for one with given limits.
    """

    most_connections = 512
    header_seconds = 10.0
    drain_seconds = 30.0
    _stage: Stage = "free"
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers, or close where there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
            return
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._set_timer("free", 0.0)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Go on, and see what is waited for now."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """After an answer: a body that is still coming must end, the next headers may come."""
        super().on_response_complete()
        self._watch()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, by h11's own hint where it has one (431: headers too large)."""
        # uvicorn calls this where it catches h11's error, and does not pass the error on.
        hint = getattr(sys.exception(), "error_status_hint", 400)
        self._say(hint if hint in {400, 431, 501} else 400, "malformed", msg)

    def _watch(self) -> None:
        if self.transport.is_closing():
            self._set_timer("free", 0.0)
        elif self.conn.their_state is h11.IDLE and self.conn.our_state is h11.IDLE:
            # Between requests uvicorn's own keep-alive timer counts, until something comes.
            waiting = self.timeout_keep_alive_task is None
            self._set_timer("headers" if waiting else "free", self.header_seconds)
        elif self.conn.our_state is h11.DONE and self.conn.their_state is h11.SEND_BODY:
            self._set_timer("drain", self.drain_seconds)
        else:
            self._set_timer("free", 0.0)

    def _set_timer(self, stage: Stage, seconds: float) -> None:
        if stage == self._stage:
            return
        self._stage = stage
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if stage != "free":
            self._timer = self.loop.call_later(seconds, self._too_late)

    def _too_late(self) -> None:
        if self._stage == "headers":
            self._say(408, "headers_too_slow", "The headers took too long.")
        else:
            self.transport.abort()

    def _say(self, status: int, kind: str, message: str) -> None:
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            body = json.dumps({"error": {"kind": kind, "message": message}}).encode()
            headers = {
                **SECURITY_HEADERS,
                "content-type": "application/json",
                "content-length": str(len(body)),
                "connection": "close",
            }
            events = (
                h11.Response(status_code=status, headers=list(headers.items())),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()


def patient_protocol(
    *, most_connections: int, header_seconds: float, drain_seconds: float
) -> type[PatientProtocol]:
    """A protocol class with these limits, as uvicorn's ``http=`` takes it."""
    limits = {
        "most_connections": most_connections,
        "header_seconds": header_seconds,
        "drain_seconds": drain_seconds,
    }
    return type("LimitedProtocol", (PatientProtocol,), limits)

"""HTTP/1.1 as uvicorn speaks it, with time limits where uvicorn has none."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from typing import Literal

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from geoloc.inference.service.guard import SECURITY_HEADERS

Stage = Literal["headers", "drain", "free"]

LEAST_TAKEN_BYTES = 32_768
"""Of an answer, in each `send_seconds`."""
SEND_BUFFER_BYTES = 131_072
"""The kernel's own for a connection (Linux takes twice as much)."""


class PatientProtocol(H11Protocol):
    """A connection that must bring its headers, end a refused body, and take its answer in time.

    uvicorn waits for headers, reads on after an early answer (so that the client gets to see it),
    and waits for a client to take what was sent, also where it has closed, for as long as the
    client likes. Requests that are no HTTP get the service's error
    document. Use `patient_protocol` for one with given limits.
    """

    most_connections = 512
    header_seconds = 10.0
    drain_seconds = 30.0
    send_seconds = 20.0
    _stage: Stage = "free"
    _timer: asyncio.TimerHandle | None = None
    _unsent_bytes = 0
    _send_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for headers, or close where there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self.most_connections:
            transport.abort()
            return
        # So that writing is paused exactly while something is unsent, were it an answer's end.
        transport.set_write_buffer_limits(high=0)
        # The kernel takes more only once a third of its buffer is free: see smaller steps.
        connected = transport.get_extra_info("socket")
        connected.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is waited for any more."""
        self._set_timer("free", 0.0)
        self._end_send_timer()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not take what is sent as fast as it comes: see how it goes on."""
        super().pause_writing()
        self._begin_send_timer()

    def resume_writing(self) -> None:
        """All was taken."""
        self._end_send_timer()
        super().resume_writing()

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

    def _begin_send_timer(self) -> None:
        self._end_send_timer()
        self._unsent_bytes = self.transport.get_write_buffer_size()
        self._send_timer = self.loop.call_later(self.send_seconds, self._check_sending)

    def _end_send_timer(self) -> None:
        if self._send_timer is not None:
            self._send_timer.cancel()
            self._send_timer = None

    def _check_sending(self) -> None:
        taken_bytes = self._unsent_bytes - self.transport.get_write_buffer_size()
        if taken_bytes < LEAST_TAKEN_BYTES:
            self.transport.abort()
        else:
            self._begin_send_timer()

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
    *, most_connections: int, header_seconds: float, drain_seconds: float, send_seconds: float
) -> type[PatientProtocol]:
    """A protocol class with these limits, as uvicorn's ``http=`` takes it."""
    limits = {
        "most_connections": most_connections,
        "header_seconds": header_seconds,
        "drain_seconds": drain_seconds,
        "send_seconds": send_seconds,
    }
    return type("LimitedProtocol", (PatientProtocol,), limits)

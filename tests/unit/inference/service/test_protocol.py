import socket
import threading
import time
from contextlib import contextmanager

import pytest
import uvicorn

from geoloc.inference.service.protocol import LEAST_TAKEN_BYTES, patient_protocol

SIZE = 16_000_000
"""Bytes of an answer: more than any kernel's buffers take from the server."""


async def large(scope, receive, send):
    """Answers everything in one piece."""
    length = [(b"content-length", str(SIZE).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": bytes(SIZE)})


@contextmanager
def serving(send_seconds):
    """A server that speaks through the protocol, and its port."""
    http = patient_protocol(
        most_connections=9, header_seconds=9.0, drain_seconds=9.0, send_seconds=send_seconds
    )
    config = uvicorn.Config(large, port=0, http=http, lifespan="off", log_config=None, ws="none")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.005)
        assert thread.is_alive()
    try:
        yield server, server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = server.force_exit = True
        thread.join(timeout=10)
        assert not thread.is_alive()


@pytest.mark.parametrize("connection", [b"keep-alive", b"close"])
def test_a_client_that_takes_nothing_is_dropped_also_after_its_answer(connection):
    asked = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: " + connection + b"\r\n\r\n"
    with serving(0.2) as (server, port), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(asked)
        # Once it is there, the answer is complete for whoever made it, and not sent.
        client.recv(1)
        assert len(server.server_state.connections) == 1
        deadline = time.monotonic() + 4
        while server.server_state.connections:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_client_that_takes_its_answer_slowly_has_all_of_it():
    taken = 0
    with serving(1.0) as (_, port), socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        while chunk := client.recv(20 * LEAST_TAKEN_BYTES):
            taken += len(chunk)
            time.sleep(0.1)
    assert taken > SIZE

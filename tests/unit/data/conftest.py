"""Small real images, and shards of them."""

from __future__ import annotations

import http.server
import io
import logging
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.data.record import Record
from geoloc.data.resampling import numba_kernel
from geoloc.data.retries import RetryPolicy
from geoloc.data.shards import ShardWriter
from geoloc.models.image_encoder import ImagePreset

# Compared with Pillow from the first image on.
numba_kernel()

MakeRecords = Callable[..., list[Record]]


def encode(seed: int, *, form: str = "JPEG", side: int = 48) -> bytes:
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def make_image() -> Callable[..., bytes]:
    return encode


@pytest.fixture
def make_records() -> MakeRecords:
    def make(count: int, *, first: int = 0, side: int = 48) -> list[Record]:
        return [
            Record(
                key=f"k{index:04d}",
                image_bytes=encode(index, side=side),
                latlon_deg=(-60.0 + index * 0.5, -170.0 + index),
                label={"country": "NA" if index % 2 else "FR", "unique_city": None},
            )
            for index in range(first, first + count)
        ]

    return make


@pytest.fixture
def make_shards(tmp_path: Path, make_records: MakeRecords) -> Callable[..., Path]:
    def make(count: int, *, per_shard: int, name: str = "shards", side: int = 48) -> Path:
        folder = tmp_path / name
        with ShardWriter(folder, samples_per_shard=per_shard) as writer:
            for record in make_records(count, side=side):
                writer.write(record)
        return folder

    return make


@pytest.fixture
def preset() -> ImagePreset:
    return ImagePreset(size=16)


@dataclass
class Fault:
    """What happens to one request.

    Attributes:
        status: the answer, with no body; None sends the file.
        retry_after: the header.
        keep: bytes of the body that are sent before the connection ends.
        hang: no further byte comes, but the connection stays.
        flip: a bit of the body is another, at this byte.
        then: what happens once the body is sent.
    """

    status: int | None = None
    retry_after: str | None = None
    keep: int | None = None
    hang: bool = False
    flip: int | None = None
    then: Callable[[], object] | None = None


@dataclass
class Web:
    """A server on this machine that serves a folder, with faults.

    Attributes:
        faults: by file name, one for each of its next requests.
        always: by file name, of all further requests.
        asked: file name and Range of every request.
        ranges: whether Range is obeyed.
        tags: whether answers have an ETag.
        lengths: whether answers have a Content-Length.
    """

    folder: Path
    url: str = ""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    always: dict[str, Fault] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    ranges: bool = True
    tags: bool = True
    lengths: bool = True

    def count(self, name: str) -> int:
        return sum(asked == name for asked, _ in self.asked)

    def starts(self, name: str) -> list[int]:
        """Where each request for a file begins."""
        found = [span for asked, span in self.asked if asked == name]
        return [0 if span is None else int(span[6:-1]) for span in found]


class _Handler(http.server.BaseHTTPRequestHandler):
    web: Web

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        web, name = self.web, self.path.split("?")[0].strip("/")
        web.asked.append((name, self.headers.get("Range")))
        faults = web.faults.get(name)
        fault = faults.pop(0) if faults else web.always.get(name, Fault())
        path = web.folder / name
        if fault.status is not None or not path.is_file():
            self.send_response(fault.status or 404)
            if fault.retry_after is not None:
                self.send_header("Retry-After", fault.retry_after)
            self.end_headers()
            return
        self.send_file(path.read_bytes(), fault)

    def send_file(self, data: bytes, fault: Fault) -> None:
        tag = f'"{zlib.crc32(data):x}"'
        start = self.start_of(tag)
        if start >= len(data) > 0:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        told = {
            "ETag": (self.web.tags, tag),
            "Content-Length": (self.web.lengths, len(data) - start),
        }
        for name, (is_told, value) in told.items():
            if is_told:
                self.send_header(name, str(value))
        self.end_headers()
        if fault.flip is not None:
            data = data[: fault.flip] + bytes([data[fault.flip] ^ 1]) + data[fault.flip + 1 :]
        end = len(data) if fault.keep is None else start + fault.keep
        with suppress(OSError):
            self.wfile.write(data[start:end])
            self.wfile.flush()
        if fault.then is not None:
            fault.then()
        if fault.hang:
            self.web.released.wait(30)

    def start_of(self, tag: str) -> int:
        asked = self.headers.get("Range")
        if asked is None or not self.web.ranges or self.headers.get("If-Range", tag) != tag:
            return 0
        return int(asked.removeprefix("bytes=").removesuffix("-"))


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], Web]]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    begun: list[tuple[Web, http.server.ThreadingHTTPServer, threading.Thread]] = []

    def start(folder: Path) -> Web:
        web = Web(folder)
        handler = type("Handler", (_Handler,), {"web": web})
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        web.url = f"http://127.0.0.1:{server.server_port}"
        begun.append((web, server, thread))
        return web

    yield start
    for web, server, thread in begun:
        web.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def quick() -> RetryPolicy:
    """Waits that no test notices."""
    return RetryPolicy(attempts=4, first_wait_s=1e-4, longest_wait_s=1e-3, timeout_s=5.0)


@pytest.fixture
def fault() -> type[Fault]:
    return Fault


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """The warnings so far."""
    caplog.set_level(logging.WARNING, logger="geoloc")
    return lambda: [record.getMessage() for record in caplog.records]

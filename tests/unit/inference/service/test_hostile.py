"""Two hundred inputs that mean no good, against the real server in a process of its own."""

from __future__ import annotations

import gzip
import io
import json
import logging
import os
import random
import re
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

LIMITS = (
    *("limits.request_megabytes=4", "limits.memory_megabytes=16", "limits.megapixels=8"),
    *("limits.images=4", "limits.upload_seconds=1.0", "limits.header_seconds=1.0"),
    *("limits.header_kilobytes=8", "limits.connections=64", "shutdown_seconds=5"),
)
GROWTH_MB = 2 * 8 * 20 + 2 * 16 + 24 * 0.65 + 64
"""Two decoders with 8 MP each at 20 bytes a pixel (what the dearest form takes at its peak, a
transparent WebP: 19.5 measured; a JPEG 7.8, a float TIFF 13.7), 16 MB of bodies held twice while
they are joined, 24 connections with h11's buffers, and a batch of 16 images in the model."""
BOUNDARY = b"----HostileBoundary"
FORM = b"multipart/form-data; boundary=" + BOUNDARY
logger = logging.getLogger("hostile")


@contextmanager
def server(run, *words):
    """Port and process of `geoloc serve`, ready."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "geoloc", "serve", "--run", str(run), f"port={port}", *words]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + 300
        while ask(port, request("GET", "/ready")) != 200:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.1)
        yield port, process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def request(method, path, body=b"", *, kind=None, headers=(), length=True):
    """The bytes of a request."""
    lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", b"Connection: close", *headers]
    if kind is not None:
        lines.append(b"Content-Type: " + kind)
    if length and (body or method == "POST"):
        lines.append(b"Content-Length: " + str(len(body)).encode())
    return b"\r\n".join([*lines, b"", body])


def talk(port, *pieces, pause_s=0.0, patience_s=60.0):
    """The bytes that come back for bytes sent in pieces; none where the server just closed."""
    answer = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=patience_s) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                    time.sleep(pause_s)
            except OSError:
                # The server has answered and closed before everything was sent.
                pass
            while chunk := connection.recv(65536):
                answer += chunk
    except ConnectionError:
        pass
    return answer


def ask(port, *pieces, **how):
    """The status that comes back; 0 where the server just closed; -1 where it hung."""
    try:
        answer = talk(port, *pieces, **how)
    except TimeoutError:
        return -1
    found = re.match(rb"HTTP/1\.1 (\d\d\d) ", answer)
    return int(found[1]) if found else 0


def part(name, data, filename=None, headers=b""):
    file = b"" if filename is None else b'; filename="' + filename + b'"'
    disposition = b'Content-Disposition: form-data; name="' + name + b'"' + file
    return b"--" + BOUNDARY + b"\r\n" + disposition + b"\r\n" + headers + b"\r\n" + data + b"\r\n"


def form(*parts, end=b"--" + BOUNDARY + b"--\r\n"):
    return request("POST", "/v1/locate", b"".join(parts) + end, kind=FORM)


def upload(data, filename=b"a.jpg", **fields):
    texts = [part(name.encode(), value) for name, value in fields.items()]
    return form(*texts, part(b"image", data, filename))


def encoded(form_name, size=(64, 48), mode="RGB", **how):
    pixels = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).resize(size).convert(mode).save(buffer, form_name, **how)
    return buffer.getvalue()


def png_chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(width, height, idat, *more):
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", header),
            *more,
            png_chunk(b"IDAT", idat),
            png_chunk(b"IEND", b""),
        ]
    )


JPEG = encoded("JPEG")


def bombs():
    nothing = zlib.compress(bytes(1000))
    for width, height in [(60_000, 60_000), (2**31 - 1, 1), (1, 2**31 - 1), (3000, 3000)]:
        yield upload(png_of(width, height, nothing))
    yield upload(png_of(5000, 5000, zlib.compress(bytes(75_005_000))))
    text = png_chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(60_000_000)))
    yield upload(png_of(8, 8, zlib.compress(bytes(8 * 25)), text))
    profile = png_chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(60_000_000)))
    yield upload(png_of(8, 8, zlib.compress(bytes(8 * 25)), profile))
    yield upload(b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\xf7\0\0" + bytes(900))
    yield upload(b"BM" + struct.pack("<IIIIiiHHI", 9999, 0, 54, 40, 50_000, 50_000, 1, 24, 0))
    yield upload(encoded("TIFF").replace(struct.pack("<H", 64), struct.pack("<H", 65_000)))
    yield upload(JPEG.replace(struct.pack(">HH", 48, 64), struct.pack(">HH", 65_000, 65_000)))
    webp = bytearray(encoded("WEBP", lossless=True))
    webp[21:25] = b"\xff\xff\xff\x0f"
    yield upload(bytes(webp))


def polyglots():
    zipped = io.BytesIO()
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr("a.html", "<script>alert(1)</script>")
    script = b"<script>alert(1)</script><?php system('id'); ?>"
    yield 200, upload(JPEG + zipped.getvalue())
    yield 200, upload(JPEG + script)
    yield 200, upload(encoded("PNG") + script)
    yield 200, upload(encoded("GIF", mode="P") + script)
    yield (
        200,
        upload(JPEG[:2] + b"\xff\xfe" + struct.pack(">H", len(script) + 2) + script + JPEG[2:]),
    )
    yield 422, upload(b"%PDF-1.7\n" + JPEG)
    yield 422, upload(b"GIF89a/*" + script)
    yield 422, upload(zipped.getvalue() + JPEG)
    yield 422, upload(b"<svg xmlns='http://www.w3.org/2000/svg'><image href='/etc/passwd'/></svg>")
    yield (
        422,
        upload(b"<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b SYSTEM 'file:///etc/passwd'>]>"),
    )


def truncated():
    for name, how in [("JPEG", {}), ("PNG", {}), ("WEBP", {}), ("BMP", {}), ("TIFF", {})]:
        data = encoded(name, **how)
        for share in (0.05, 0.3, 0.6, 0.9):
            yield upload(data[: int(share * len(data))])


def corrupted():
    draw = random.Random(8)
    for name in ("JPEG", "PNG", "WEBP", "GIF", "TIFF"):
        for _ in range(5):
            data = bytearray(encoded(name, mode="P" if name == "GIF" else "RGB"))
            for _ in range(12):
                data[draw.randrange(len(data))] = draw.randrange(256)
            yield upload(bytes(data))


def no_images():
    heic = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(500)
    for data in (
        *(b"", b"\0", bytes(10_000), b"hello", b"%PDF-1.4\n%%EOF", b"<html></html>", heic),
        *(b"MZ" + bytes(200), b"\x7fELF" + bytes(200), gzip.compress(JPEG), b"PK\x03\x04", b"\xff"),
        *(b"P6 9 9 255 ", b"8BPS\0\1" + bytes(90), b"\0\0\1\0\1\0" + bytes(90), b"%!PS-Adobe-3.0"),
        *(b"#!/bin/sh\nid", json.dumps({"a": 1}).encode(), os.urandom(5000), "é".encode() * 999),
    ):
        yield upload(data)


def content_types():
    body = part(b"image", JPEG, b"a.jpg") + b"--" + BOUNDARY + b"--\r\n"
    for kind in (
        *(b"text/plain", b"application/json", b"application/x-www-form-urlencoded", b"image"),
        *(b"multipart/mixed; boundary=" + BOUNDARY, b"", b"*/*", b"multipart/", b"\xff\xfe", b";;"),
    ):
        yield request("POST", "/v1/locate", body, kind=kind)
    yield request("POST", "/v1/locate", body)
    yield request("POST", "/v1/places", b"{}", kind=b"text/plain")


def large_headers():
    yield request("GET", "/health", headers=[b"X-Long: " + b"a" * 100_000])
    yield request("GET", "/health", headers=[b"X-%d: 1" % number for number in range(3000)])
    yield request("GET", "/" + "a" * 50_000)
    yield request("GET", "/health", headers=[b"Cookie: " + b"a=b; " * 20_000])
    yield b"GET " + b"/" * 2_000_000
    yield b"A" * 2_000_000


def file_names():
    for name in (
        *(b"../../../../etc/passwd", b"..\\..\\windows\\win.ini", b"/etc/passwd", b"C:\\boot.ini"),
        *(b"a\0.jpg", b"%00", b"%2e%2e%2f", b".", b"..", b"", b"con", b"aux.jpg", b"|id", b"$(id)"),
        *(b"`id`.jpg", b"-rf", b"a;b.jpg", b"<script>.jpg", "\u202egpj.exe".encode(), b"\xff\xfe"),
        *(b"\x1b[2J.jpg", "a\u0300".encode() * 500, b"file:///etc/passwd", b"{{7*7}}", b"a" * 3000),
    ):
        yield upload(JPEG, name)


def lying_lengths():
    whole = upload(JPEG)
    length = re.search(rb"Content-Length: (\d+)", whole)[1]

    def saying(value):
        return whole.replace(b"Content-Length: " + length, b"Content-Length: " + value)

    yield {400}, saying(str(int(length) // 2).encode())
    yield {408}, saying(str(int(length) + 10).encode())
    yield {413}, saying(b"99999999999")
    yield {413, 400, 431}, saying(b"9" * 3000)
    for value in (b"-1", b"1e3", b"0x10", b"+5", b"", b"5, 6", b"a", b"1 1"):
        yield {400}, saying(value)
    yield {400}, saying(length + b"\r\nContent-Length: 3")
    yield {400}, saying(b"0")


def chunked(body, size=65_536, *, end=b"0\r\n\r\n", kind=b"image/jpeg"):
    head = request(
        "POST", "/v1/locate", kind=kind, headers=[b"Transfer-Encoding: chunked"], length=False
    )
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), end]


def chunked_bodies():
    yield {200}, chunked(JPEG, 100)
    yield {413}, chunked(bytes(6_000_000))
    yield {413}, chunked(bytes(40_000_000))
    yield {408}, chunked(JPEG, end=b"")
    yield {408}, chunked(JPEG, 1, end=b"")[:400]
    for broken in (b"zz\r\n", b"-5\r\n", b"ffffffffffffffffffffff\r\n", b"5;" + b"x" * 99_999):
        yield {400, 431}, [*chunked(b"", end=b""), broken]
    for coding in (b"gzip", b"chunked, gzip", b"xchunked", b"chunked\r\nTransfer-Encoding: x"):
        head = b"POST /v1/locate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + coding
        yield {400, 501}, [head + b"\r\n\r\n0\r\n\r\n"]
    both = [b"Transfer-Encoding: chunked", b"Content-Length: 5"]
    yield (
        {400},
        [request("POST", "/v1/locate", kind=FORM, headers=both, length=False), b"0\r\n\r\n"],
    )


def part_headers():
    start = b"--" + BOUNDARY + b"\r\n"
    yield form(start + b"X: y\r\n" * 200_000, end=b"")
    yield form(start + b"X: " + b"y" * 3_000_000, end=b"")
    yield form(start + b"y" * 3_000_000, end=b"")
    yield form(start + b": y\r\n\r\n")
    yield form(start + b"no colon\r\n\r\nx\r\n")
    yield form(start + b"\r\nno disposition\r\n")
    yield form(start + b"Content-Disposition: attachment; name=image\r\n\r\nx\r\n")
    yield form(start + b"Content-Disposition: form-data; filename=a\r\n\r\nx\r\n")
    yield form(start + b'Content-Disposition: form-data; name="image\r\n\r\nx\r\n')


def many_parts():
    yield {413}, form(part(b"image", JPEG, b"a") * 5)
    yield {413}, form(part(b"image", b"", b"a") * 20_000)
    yield {400}, form(part(b"top_k", b"5") * 20_000)
    yield {400}, form(*(part(b"field%d" % number, b"") for number in range(20_000)))
    yield {400}, form(part(b"image[]", JPEG, b"a"))
    yield {400}, form((b"--" + BOUNDARY + b"\r\n") * 30_000)


def boundaries():
    body = part(b"image", JPEG, b"a") + b"--" + BOUNDARY + b"--\r\n"
    for kind in (
        *(b"multipart/form-data", b"multipart/form-data; boundary=", FORM + b"x"),
        *(b"multipart/form-data; boundary=" + b"b" * 3000, b'multipart/form-data; boundary="'),
        *(b"multipart/form-data; boundary=\xff", b"multipart/form-data; boundary*=utf-8''a"),
    ):
        yield request("POST", "/v1/locate", body, kind=kind)
    for wrong in (body[:-8], body[len(BOUNDARY) :], b"", b"\0" * 5000, b"\r\n" * 50_000):
        yield request("POST", "/v1/locate", wrong, kind=FORM)


def options():
    for name, value in (
        *(("top_k", each) for each in (b"0", b"-1", b"1e9", b"9" * 30, b"", b"5\0", "٣".encode())),
        *(("apart_km", each) for each in (b"nan", b"inf", b"-1", b"1e400", b"0x10", b"", b"\xff")),
        *(("together", each) for each in (b"maybe", b"TRUE", b"1", b"t" * 100_000)),
        ("heat", b"true,true"),
    ):
        yield upload(JPEG, **{name: value})


def questions():
    for body in (
        *(b"", b"null", b"[]", b"{", b'{"texts": null}', b'{"texts": [null]}', b'{"texts": {}}'),
        *(b"[" * 500_000, b'{"texts": ' * 100_000, b'{"texts": [' + b'"a",' * 100_000 + b'"a"]}'),
        *(
            b'{"texts": ["' + b"a" * 1_000_000 + b'"]}',
            b'{"texts": ["\\ud800"]}',
            b'{"texts": NaN}',
        ),
        *(b'{"texts": [' + b"0," * 700_000 + b"0]}", b'{"texts": [' + b"{}," * 700_000 + b"0]}"),
        *(b'{"texts": ["a"], "top_k": 1e999}', b'{"texts": ["a"], "top_k": ' + b"9" * 5000 + b"}"),
        *(
            '{"texts": ["a"]}'.encode("utf-16"),
            b'{"texts": ["\xff\xfe"]}',
            b"\xef\xbb\xbf{}",
            b"\0",
        ),
    ):
        yield request("POST", "/v1/places", body, kind=b"application/json")


def methods():
    for method in ("GET", "PUT", "DELETE", "PATCH", "TRACE", "PROPFIND", "HEAD", "A" * 500):
        yield request(method, "/v1/locate")
    yield request("POST", "/health")


def paths():
    for path in (
        *("/static/../settings.py", "/static/%2e%2e/settings.py", "/static/..%2fsettings.py"),
        *("/static/....//settings.py", "/static/%00", "/static//etc/passwd", "/static/%5c..%5ca"),
        *("//evil.example/", "/v1/../../etc/passwd", "/%ff%fe", "/v1/locate/", "/.git/config"),
        *("/static/" + "a/" * 900, "/static/" + "a" * 3000, "/docs", "/v1/%6cocate%00"),
    ):
        yield request("GET", path)


def no_http():
    yield from (
        *(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + bytes(500), b"GET /\r\n\r\n", b"\0" * 5000),
        *(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"SSH-2.0-x\r\n\r\n"),
        *(b"GET  /  HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", os.urandom(3000) + b"\r\n\r\n"),
        *(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"GET / HTTP/1.1\r\nHo st: a\r\n\r\n"),
        *(b"GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n", b"GET \xff HTTP/1.1\r\nHost: x\r\n\r\n"),
    )


def odd_images():
    notes = Image.Exif()
    notes[0x0112] = 99
    loop = b"Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x08\0\0\0\x08\0\0\0"
    looped = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(loop) + 2) + loop + JPEG[2:]
    frames = [Image.new("P", (32, 32), number) for number in range(200)]
    animated = io.BytesIO()
    frames[0].save(animated, "GIF", save_all=True, append_images=frames[1:])
    for data in (
        *(encoded("PNG", (1, 1)), encoded("PNG", (1, 20_000)), encoded("PNG", (20_000, 1))),
        *(encoded("JPEG", mode="CMYK"), encoded("PNG", mode="RGBA"), encoded("PNG", mode="1")),
        *(encoded("JPEG", exif=notes), looped, animated.getvalue(), encoded("JPEG", (2800, 2800))),
        *(encoded("JPEG", (2000, 2000), progressive=True), encoded("TIFF", mode="LAB")),
    ):
        yield upload(data)


def slow():
    """Pieces, the pause after each, and what must come back."""
    whole = upload(encoded("JPEG", (300, 300)))
    drops = [whole[:600], *(whole[at : at + 1] for at in range(600, 660))]
    yield {408}, drops, 0.05
    yield {408}, [whole[: len(whole) // 2]], 0.0
    yield {408}, [b"POST /v1/locate HTTP/1.1\r\nHost: x\r\n"], 0.0
    yield {408}, [b"GET / HTTP/1.1\r\n", *(b"X-%d: y\r\n" % number for number in range(60))], 0.05
    yield {408}, [b""], 0.0
    yield {408}, [b"P", b"O", b"S", b"T"], 0.1
    head = [b"Expect: 100-continue"]
    yield {408}, [request("POST", "/v1/locate", kind=b"image/png", headers=head)[:-2]], 0.0


def plain(kind, statuses, requests):
    return [(kind, statuses, [each], 0.0) for each in requests]


def hostile_inputs():
    """(kind, statuses that may come back, pieces to send, pause after each in seconds)."""
    return [
        *plain("bomb", {422, 200}, bombs()),
        *(("polyglot", {status}, [each], 0.0) for status, each in polyglots()),
        *plain("truncated image", {422}, truncated()),
        *plain("corrupted image", {200, 422}, corrupted()),
        *plain("no image", {422}, no_images()),
        *plain("content type", {415, 400}, content_types()),
        *plain("large headers", {431, 400}, large_headers()),
        *plain("file name", {200, 400}, file_names()),
        *(("lying length", statuses, [each], 0.0) for statuses, each in lying_lengths()),
        *(("chunked body", statuses, each, 0.0) for statuses, each in chunked_bodies()),
        *plain("part headers", {400}, part_headers()),
        *(("many parts", statuses, [each], 0.0) for statuses, each in many_parts()),
        *plain("boundary", {400}, boundaries()),
        *plain("option", {400}, options()),
        # This model has no text tower, and says so whatever is asked.
        *plain("question in words", {501}, questions()),
        *plain("method", {405, 400}, methods()),
        *plain("path", {404, 400}, paths()),
        *plain("no HTTP", {400, 431}, no_http()),
        *plain("odd image", {200}, odd_images()),
        *(("slow", statuses, pieces, pause) for statuses, pieces, pause in slow()),
    ]


def peak_mb(process):
    """The most memory that a process has held so far."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1e3


def document(answer):
    return json.loads(answer.split(b"\r\n\r\n", 1)[1])


@pytest.mark.slow
def test_hostile_inputs_neither_break_nor_fill_the_server(run):
    inputs = hostile_inputs()
    kinds = {kind for kind, *_ in inputs}
    assert len(inputs) >= 200
    assert len(kinds) >= 15
    with server(run, *LIMITS) as (port, process):
        good = form(*(part(b"image", encoded("JPEG", (2800, 2800)), b"a.jpg") for _ in range(2)))
        before = document(talk(port, good))
        assert len(before["answers"]) == 2
        # From here on, not what loading the model took.
        Path(f"/proc/{process.pid}/clear_refs").write_text("5")
        start_mb = peak_mb(process)
        with ThreadPoolExecutor(12) as pool:
            statuses = list(pool.map(lambda each: ask(port, *each[2], pause_s=each[3]), inputs))
        wrong = [
            (kind, status, pieces[0][:200])
            for (kind, allowed, pieces, _), status in zip(inputs, statuses, strict=True)
            if status not in allowed
        ]
        assert not wrong, "\n".join(map(str, wrong))
        # Bodies of 4 MB each, more of them at once than the memory for them.
        hoard = upload(bytes(3_900_000))
        with ThreadPoolExecutor(24) as pool:
            crowd = list(pool.map(lambda _: ask(port, hoard), range(48)))
        assert set(crowd) <= {422, 503}
        growth_mb = peak_mb(process) - start_mb
        logger.info("%d inputs of %d kinds", len(inputs), len(kinds))
        logger.info("peak %.0f MB, %.0f MB above its start", start_mb + growth_mb, growth_mb)
        assert growth_mb < GROWTH_MB
        assert document(talk(port, good)) == before
        assert b"geoloc_queue_images 0.0" in talk(port, request("GET", "/metrics"))
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        log = process.stderr.read()
    assert "Traceback" not in log
    assert "Error at" not in log

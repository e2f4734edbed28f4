import asyncio
import itertools
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.requests import Request

from geoloc.inference.service.failures import RequestError
from geoloc.inference.service.limits import Allowance
from geoloc.inference.service.settings import LimitsSection
from geoloc.inference.service.uploads import body_stream, clean_name, read_upload

LIMITS = LimitsSection(images=4, request_megabytes=8.0, upload_seconds=0.2)


def form(parts, boundary=b"XyZ"):
    """A multipart body, written by hand as RFC 7578 has it."""
    lines = []
    for name, filename, data in parts:
        file = b"" if filename is None else b'; filename="' + filename + b'"'
        lines += [b"--" + boundary, b'Content-Disposition: form-data; name="' + name + b'"' + file]
        lines += [b"", data]
    return b"\r\n".join([*lines, b"--" + boundary + b"--", b""])


def read(chunks, content_type="multipart/form-data; boundary=XyZ", *, limits=LIMITS, headers=()):
    """What `read_upload` makes of a body that comes in these chunks; and the memory afterwards."""
    left = list(chunks)

    async def receive():
        chunk = left.pop(0) if left else b""
        if chunk is None:
            await asyncio.sleep(5)
        return {"type": "http.request", "body": chunk, "more_body": bool(left)}

    async def run():
        scope = {
            "type": "http",
            "method": "POST",
            "headers": [(b"content-type", content_type.encode()), *headers],
        }
        request = Request(scope, receive)
        most = limits.request_megabytes
        async with body_stream(request, limits, memory, most_megabytes=most) as stream:
            return await read_upload(request, stream, limits)

    memory = Allowance(int(1e6 * limits.memory_megabytes))
    try:
        return asyncio.run(run())
    finally:
        assert memory.taken == 0


@settings(max_examples=60)
@given(st.data())
def test_what_is_read_does_not_depend_on_how_the_body_was_cut(data):
    images = data.draw(st.lists(st.binary(max_size=80), min_size=1, max_size=4))
    images = [image.replace(b"--XyZ", b"") for image in images]
    body = form([(b"image", b"a.png", each) for each in images] + [(b"top_k", None, b"3")])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=12)))
    edges = [0, *cuts, len(body)]
    upload = read([body[start:end] for start, end in itertools.pairwise(edges)])
    assert upload.images == images
    assert upload.fields == {"top_k": "3"}
    assert len(set(upload.names)) == len(images)


def test_names_are_cleaned_and_told_apart():
    parts = [
        (b"image", b"../../etc/pass\x1b[31mwd", b"1"),
        (b"image", b"C:\\photos\\a.jpg", b"2"),
        (b"image", b"/tmp/a.jpg", b"3"),
        (b"image", None, b"4"),
    ]
    assert read([form(parts)]).names == ["pass[31mwd", "a.jpg", "a.jpg (2)", "image 4"]


@given(st.text(max_size=300))
def test_a_clean_name_has_no_folder_and_nothing_that_steers(name):
    clean = clean_name(name)
    assert len(clean) <= 100
    assert clean.isprintable()
    assert not set(clean) & set("/\\")
    assert clean not in {".", ".."}


def test_a_raw_image_is_an_upload_too():
    upload = read([b"12", b"3"], "image/jpeg")
    assert (upload.images, upload.names) == ([b"123"], ["image 1"])


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ([(b"file", b"a", b"1")], 400),
        ([(b"image", b"a", b"1"), (b"top_k", None, b"1"), (b"top_k", None, b"2")], 400),
        ([(b"top_k", None, b"1")], 400),
        ([(b"image", b"a", b"1"), (b"top_k", None, b"\xff")], 400),
        ([(b"image", b"a", b"1"), (b"heat", None, b"t" * 33)], 400),
        ([(b"image", b"a", b"1")] * 5, 413),
    ],
)
def test_forms_that_are_refused(parts, status):
    with pytest.raises(RequestError) as refused:
        read([form(parts)])
    assert refused.value.status == status


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (form([(b"image", b"a", b"1")])[:-6], "multipart/form-data; boundary=XyZ", 400),
        (form([(b"image", b"a", b"1")] * 2)[:-20], "multipart/form-data; boundary=XyZ", 400),
        (b"", "multipart/form-data; boundary=XyZ", 400),
        (b"--XyZ\r\n" + b"A: b\r\n" * 50, "multipart/form-data; boundary=XyZ", 400),
        (b"--XyZ\r\nA: " + b"b" * 9000, "multipart/form-data; boundary=XyZ", 400),
        (form([(b"image", b"a", b"1")]), "multipart/form-data", 400),
        (b"x", "multipart/form-data; boundary=" + "b" * 300, 400),
        (b"", "image/png", 400),
        (b"x", "text/plain", 415),
        (b"x", "application/x-www-form-urlencoded", 415),
    ],
)
def test_bodies_that_are_refused(body, content_type, status):
    with pytest.raises(RequestError) as refused:
        read([body], content_type)
    assert refused.value.status == status


def test_too_many_bytes_are_refused_by_header_and_as_they_come():
    for chunks, headers in [([b""], [(b"content-length", b"8000001")]), ([b"x" * 10**6] * 9, [])]:
        with pytest.raises(RequestError) as refused:
            read(chunks, "image/png", headers=headers)
        assert refused.value.status == 413


def test_a_slow_upload_is_given_up():
    with pytest.raises(RequestError) as refused:
        read([b"x", None, b"y"], "image/png")
    assert refused.value.status == 408


def test_bodies_share_one_memory():
    limits = LimitsSection(request_megabytes=2.0, memory_megabytes=2.0)
    memory = Allowance(2_000_000)
    memory.take(1_500_000)

    async def run():
        async def receive():
            return {"type": "http.request", "body": b"x" * 600_000, "more_body": False}

        request = Request({"type": "http", "headers": [(b"content-type", b"image/png")]}, receive)
        async with body_stream(request, limits, memory, most_megabytes=2.0) as stream:
            await read_upload(request, stream, limits)

    with pytest.raises(RequestError) as refused:
        asyncio.run(run())
    assert refused.value.status == 503
    assert refused.value.headers["Retry-After"] == "1"
    assert memory.taken == 1_500_000


def test_a_body_that_is_only_declared_takes_nothing_from_others():
    memory = Allowance(10)

    async def run():
        silent = asyncio.Event()

        async def receive():
            await silent.wait()
            return {"type": "http.disconnect"}

        headers = [(b"content-type", b"image/png"), (b"content-length", b"10")]
        request = Request({"type": "http", "headers": headers}, receive)
        limits = LimitsSection()
        async with body_stream(request, limits, memory, most_megabytes=1.0):
            taken = memory.taken
            # While others hold memory, what cannot fit is refused before it is sent.
            memory.take(5)
            with pytest.raises(RequestError):
                async with body_stream(request, limits, memory, most_megabytes=1.0):
                    pass
        return taken

    assert asyncio.run(run()) == 0
    assert memory.taken == 5


def test_no_file_is_opened_for_an_upload_of_megabytes():
    opened = []

    def watch(event, arguments):
        if watching and event in {"open", "os.open", "tempfile.mkstemp"}:
            opened.append((event, arguments[0]))

    body = form([(b"image", b"big.png", bytes(5_000_000)), (b"heat", None, b"true")])
    watching = False
    sys.addaudithook(watch)
    watching = True
    upload = read([body[start : start + 65536] for start in range(0, len(body), 65536)])
    watching = False
    assert len(upload.images[0]) == 5_000_000
    assert opened == []

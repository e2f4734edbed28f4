from __future__ import annotations

import http.server
import io
import json
import tarfile
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from geoloc.data.ledger import LostSample
from geoloc.data.member_names import is_known
from geoloc.data.reading import MAX_PENDING_BYTES, RawSample, ShardReader, open_sample
from geoloc.data.shard_list import list_shards
from geoloc.data.tar_members import TarScanner
from geoloc.data.verify import verify_shards


def read(url: Path | str, expected: int | None = None) -> tuple[list[str], list[LostSample]]:
    items = list(ShardReader(str(url), expected=expected))
    given = [item.key for item in items if isinstance(item, RawSample)]
    return given, [item for item in items if isinstance(item, LostSample)]


def tar_of(members: list[tuple[str, bytes]], **options: Any) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", **options) as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), 1.5
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_the_scanner_agrees_with_tarfile(form: int) -> None:
    members = [(f"{'d' * n}/file{n}.json", bytes([n]) * (n * 37)) for n in range(1, 60)]
    if form != tarfile.USTAR_FORMAT:
        members += [("x" * 300 + ".jpg", b"long"), ("ü漢.jpg", b"unicode"), ("empty.json", b"")]
    scanner = TarScanner(io.BytesIO(tar_of(members, format=form)))
    found = [(member.name, member.data) for member in scanner.members(is_known)]
    assert found == members
    assert scanner.faults == []


def test_a_stream_that_gives_little_at_a_time() -> None:
    members = [(f"{n}.jpg", bytes([n]) * (n * 401)) for n in range(30)]
    data = io.BytesIO(tar_of(members))

    class Dripping(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return data.read(min(size or 0, 77))

    found = [(m.name, m.data) for m in TarScanner(Dripping()).members(is_known)]
    assert found == members


def test_headers_are_found_at_any_byte() -> None:
    members = [(f"{n}.jpg", bytes([n]) * 3000) for n in range(4)]
    whole = tar_of(members)
    for gap in (1, 511, 512, 513, 2**18 - 300, 2**18, 2**18 + 255, 600_001):
        at = 2 * (512 + 3072)
        scanner = TarScanner(io.BytesIO(whole[:at] + b"\x01" * gap + whole[at:]))
        assert [member.name for member in scanner.members(is_known)] == [n for n, _ in members]
        assert len(scanner.faults) == 1


def test_formats_of_images_and_foreign_members(
    tmp_path: Path, make_image: Callable[..., bytes]
) -> None:
    place = json.dumps({"latitude": 1, "longitude": 2}).encode()
    members = [
        ("a/x.PNG", make_image(1, form="PNG")),
        ("a/x.json", place),
        ("y.v2.npy", b"\x93NUMPY"),
        ("y.v2.json", place),
        ("y.v2.webp", make_image(2, form="WEBP")),
        ("y.v2.png", b"a mask of it"),
        ("z.jpeg", make_image(3)),
        ("z.cls", b"3"),
        ("z.JSON", place),
    ]
    (tmp_path / "t.tar").write_bytes(tar_of(members))
    given, lost = read(tmp_path / "t.tar")
    assert given == ["a/x", "y.v2", "z"]
    assert lost == []
    assert verify_shards(tmp_path / "t.tar").valid == 3


def test_duplicates_in_every_order(tmp_path: Path) -> None:
    one = [("k.jpg", b"1"), ("k.json", b"2")]
    cases: list[tuple[list[tuple[str, bytes]], int]] = [
        (one + one, 1),
        (one * 3, 2),
        ([one[0], one[0], one[1], one[1]], 1),
        ([one[0], one[0], one[1]], 1),
        ([*one, one[1]], 1),
        ([*one, ("k.png", b"3")], 0),
    ]
    for members, duplicates in cases:
        (tmp_path / "t.tar").write_bytes(tar_of(members))
        given, lost = read(tmp_path / "t.tar")
        assert given == ["k"]
        assert [item.kind for item in lost] == ["duplicate_key"] * duplicates


@pytest.mark.parametrize("expected", [None, 0, 1, 2, 3, 4, 9])
def test_balance_whatever_is_expected(tmp_path: Path, expected: int | None) -> None:
    members = [("a.jpg", b"1"), ("b.json", b"2"), ("c.jpg", b"1"), ("c.json", b"2")]
    (tmp_path / "t.tar").write_bytes(tar_of([*members, ("d.jpg", b"1"), ("d.json", b"1")]))
    given, lost = read(tmp_path / "t.tar", expected)
    counted = sum(item.count for item in lost if not item.surplus)
    surplus = sum(item.count for item in lost if item.surplus)
    if expected is None:
        assert (len(given), counted, surplus) == (2, 2, 0)
    else:
        assert len(given) + counted == expected
        assert len(given) == min(2, expected)
        assert surplus == max(0, 4 - expected)


def test_without_a_number_a_shard_that_is_not_there_counts_as_one(tmp_path: Path) -> None:
    given, lost = read(tmp_path / "none.tar")
    assert given == []
    assert [(item.kind, item.count) for item in lost] == [("unreadable_shard", 1)]
    assert "No such file" in lost[0].detail
    assert [item.count for item in read(tmp_path / "none.tar", 12)[1]] == [12]


def test_memory_for_members_that_wait_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert MAX_PENDING_BYTES >= 2**26
    monkeypatch.setattr("geoloc.data.reading.MAX_PENDING_BYTES", 1000)
    images = [(f"{n}.jpg", bytes(300)) for n in range(9)]
    jsons = [(f"{n}.json", b"{}") for n in range(9)]
    (tmp_path / "t.tar").write_bytes(tar_of(images + jsons))
    given, lost = read(tmp_path / "t.tar", 9)
    assert given == ["6", "7", "8"]
    assert [(item.key, item.kind) for item in lost] == [(str(n), "missing_json") for n in range(6)]


def test_pipes(make_shards: Callable[..., Path]) -> None:
    folder = make_shards(4, per_shard=4)
    given, lost = read(f"pipe:cat {folder}/00000.tar")
    assert len(given) == 4
    assert lost == []
    given, lost = read(f"pipe:cat {folder}/nothing.tar 2>/dev/null", 4)
    assert given == []
    assert sum(item.count for item in lost) == 4
    assert read("nosuch://scheme/x.tar", 4)[1][0].kind == "unreadable_shard"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web(make_shards: Callable[..., Path]) -> Iterator[str]:
    folder = make_shards(5, per_shard=2)
    handler = partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_shards_behind_http(web: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    shards = list_shards(f"{web}/{{00000..00003}}.tar")
    assert shards.sizes == (2, 2, 1, None)
    assert len(read(shards.urls[0], 2)[0]) == 2
    missing = read(shards.urls[3], None)[1]
    assert [item.kind for item in missing] == ["unreadable_shard"]
    report = verify_shards(f"{web}/{{00000..00002}}.tar")
    assert (report.valid, report.lost) == (5, 0)


def test_a_sample_opened_is_upright_rgb(make_image: Callable[..., bytes]) -> None:
    raw = RawSample(
        key="k", image_bytes=make_image(0), json_bytes=b'{"lat": 1, "lon": 2, "x": 3}', shard="s"
    )
    opened = open_sample(raw, lambda image, key: (key, image.size, image.pixels().shape))
    assert not isinstance(opened, LostSample)
    record, picture = opened
    assert record.latlon_deg == (1.0, 2.0)
    assert picture == ("k", (48, 48), (48, 48, 4))

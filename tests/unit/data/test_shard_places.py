from __future__ import annotations

import gzip
import io
import json
import random
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from geoloc.data.shard_list import list_shards
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.shard_places import shard_places
from geoloc.data.tar_members import TarScanner

MakeShards = Callable[..., Path]


def truth(count: int) -> np.ndarray:
    return np.array([(-60.0 + index * 0.5, -170.0 + index) for index in range(count)])


class CountingFile(io.FileIO):
    """A file that knows how many of its bytes were read."""

    count = 0

    def readinto(self, buffer) -> int:  # type: ignore[no-untyped-def, override]
        read = super().readinto(buffer) or 0
        self.count += read
        return read


def no_shard_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(opener: ShardOpener, url: str) -> None:
        raise AssertionError(f"{url} was opened")

    monkeypatch.setattr(ShardOpener, "open", refuse)


def test_shards_of_ours_are_not_opened(
    make_shards: MakeShards, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_shards(7, per_shard=3)
    no_shard_is_opened(monkeypatch)
    found = shard_places(list_shards(folder))
    assert found.dtype == np.float64
    assert np.array_equal(found, truth(7))
    few = list_shards(folder).pick([2, 1])
    assert np.array_equal(shard_places(few), truth(7)[[6, 3, 4, 5]])


@pytest.mark.parametrize("lacking", ["places.npy", "checksums.json", "sizes.json"])
def test_without_files_beside_the_shards_are_read(make_shards: MakeShards, lacking: str) -> None:
    folder = make_shards(7, per_shard=3)
    (folder / lacking).unlink()
    assert np.array_equal(shard_places(list_shards(folder)), truth(7))


def test_stale_places_are_not_taken(make_shards: MakeShards) -> None:
    folder, other = make_shards(7, per_shard=3), make_shards(9, per_shard=4, name="other")
    kept = (folder / "places.npy").read_bytes()
    wrong = io.BytesIO()
    np.save(wrong, np.zeros((7, 2)))
    (folder / "places.npy").write_bytes(wrong.getvalue())
    assert np.array_equal(shard_places(list_shards(folder)), truth(7))
    (folder / "places.npy").write_bytes(kept)
    (folder / "00001.tar").write_bytes((other / "00001.tar").read_bytes())
    sizes = json.loads((folder / "sizes.json").read_text())
    (folder / "sizes.json").write_text(json.dumps({**sizes, "00001.tar": 4}))
    found = shard_places(list_shards(folder))
    assert np.array_equal(found, truth(9)[[0, 1, 2, 4, 5, 6, 7, 6]])


def test_samples_without_place_or_image_are_left_out(tmp_path: Path) -> None:
    members = {
        "a.jpg": b"x", "a.json": b'{"lat": 1, "lon": 2}',
        "b.json": b'{"lat": 3, "lon": 4}',
        "c.json": b'{"lat": "5", "lon": "6"}', "c.PNG": b"x",
        "d.jpg": b"x", "d.json": b'{"lat": 95, "lon": 2}',
        "e.jpg": b"x", "e.json": b"{",
    }  # fmt: skip
    with tarfile.open(tmp_path / "x.tar", "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    (tmp_path / "y.tar.gz").write_bytes(gzip.compress((tmp_path / "x.tar").read_bytes()))
    (tmp_path / "z.tar").write_bytes(b"no tar")
    assert shard_places(list_shards(tmp_path)).tolist() == [[1, 2], [5, 6], [1, 2], [5, 6]]


def test_images_are_leapt_over_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    with tarfile.open(path, "w") as tar:
        for key in range(3):
            for ending, data in (("jpg", bytes(2**20)), ("json", b"{}")):
                info = tarfile.TarInfo(f"{key}.{ending}")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    file = CountingFile(str(path))
    with io.BufferedReader(file) as stream:
        scanner = TarScanner(stream)
        names = [member.name for member in scanner.members(lambda name: name.endswith("json"))]
    assert names == ["0.json", "1.json", "2.json"]
    assert scanner.faults == []
    assert file.count < 2**18


@pytest.mark.parametrize("seed", range(40))
def test_leaping_finds_what_reading_finds_in_damaged_shards(
    make_shards: MakeShards, tmp_path: Path, seed: int
) -> None:
    data = bytearray((make_shards(5, per_shard=5) / "00000.tar").read_bytes())
    rng = random.Random(seed)
    for _ in range(3):
        # Mostly headers, since damage anywhere else is passed over by both.
        at = rng.randrange(len(data) // 512) * 512 + rng.choice((100, 124, 130, 156, 257, 300))
        data[at] = rng.randrange(256)
    del data[rng.randrange(len(data) // 2, len(data)) :]
    path = tmp_path / "damaged.tar"
    path.write_bytes(data)
    found = []
    for stream in (path.open("rb"), io.BytesIO(data)):
        with stream:
            scanner = TarScanner(stream)
            members = list(scanner.members(lambda name: name.endswith("json")))
        found.append((members, scanner.saw_data, scanner.faults))
    assert found[0] == found[1]

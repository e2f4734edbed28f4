from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from geoloc.data.member_names import image_ending, is_known, member_stem, split_member_name
from geoloc.data.record import Record
from geoloc.data.shard_list import ShardList, list_shards
from geoloc.data.shards import ShardWriter
from geoloc.data.sidecars import read_checksums
from geoloc.errors import CoordinateError, DataError

BESIDE = ("sizes.json", "checksums.json", "places.npy")
MakeRecords = Callable[..., list[Record]]


def write(folder: Path, records: list[Record], **options: int) -> dict[str, int]:
    with ShardWriter(folder, **options) as writer:
        for record in records:
            writer.write(record)
    return json.loads((folder / "sizes.json").read_text())


def test_layout(tmp_path: Path, make_records: MakeRecords) -> None:
    sizes = write(tmp_path / "s", make_records(7), samples_per_shard=3)
    assert sizes == {"00000.tar": 3, "00001.tar": 3, "00002.tar": 1}
    indexes = {f"{name[:5]}.index.parquet" for name in sizes}
    assert {p.name for p in (tmp_path / "s").iterdir()} == {*sizes, *indexes, *BESIDE}
    with tarfile.open(tmp_path / "s" / "00000.tar") as tar:
        members = tar.getmembers()
        assert [m.name for m in members] == [
            f"k{i:04d}.{ending}" for i in range(3) for ending in ("jpg", "json")
        ]
        assert all((m.mtime, m.uid, m.gid, m.uname) == (0, 0, 0, "") for m in members)
        file = tar.extractfile("k0001.json")
        assert file is not None
        description = json.load(file)
    assert description["latitude"] == -59.5
    assert description["longitude"] == -169.0
    assert description["country"] == "NA"
    assert description["unique_city"] is None


def test_same_records_give_the_same_bytes(tmp_path: Path, make_records: MakeRecords) -> None:
    records = make_records(5)
    write(tmp_path / "a", records)
    write(tmp_path / "b", records[::-1])
    assert (tmp_path / "a/00000.tar").read_bytes() == (tmp_path / "b/00000.tar").read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"key": "k0000"}, "k0000: this key was written before"),
        ({"key": ""}, "cannot be a key"),
        ({"key": "../x"}, "cannot be a key"),
        ({"key": "/x"}, "cannot be a key"),
        ({"key": "x/"}, "cannot be a key"),
        ({"key": "a//b"}, "cannot be a key"),
        ({"key": "a\nb"}, "cannot be a key"),
        ({"key": "a\0"}, "cannot be a key"),
        ({"key": "\udc80"}, "cannot be a key"),
        ({"key": "x" * 1001}, "longer than"),
        ({"image_bytes": b""}, "k0001: its image is empty"),
        ({"image_bytes": b"GIF89a"}, "neither JPEG, PNG nor WebP"),
        ({"label": {"x": float("nan")}}, "k0001: its labels"),
    ],
)
def test_refused(
    tmp_path: Path, make_records: MakeRecords, change: dict[str, object], message: str
) -> None:
    first, second = make_records(2)
    with ShardWriter(tmp_path / "s") as writer:
        writer.write(first)
        with pytest.raises(DataError, match=message):
            writer.write(replace(second, **change))  # type: ignore[arg-type]
        assert writer.count == 1


@pytest.mark.parametrize("place", [(91.0, 0.0), (0.0, 180.5), (float("nan"), 0.0)])
def test_bad_places_are_refused(
    tmp_path: Path, make_records: MakeRecords, place: tuple[float, float]
) -> None:
    (record,) = make_records(1)
    with ShardWriter(tmp_path / "s") as writer:
        writer.write(record)
        with pytest.raises(CoordinateError, match=r"bad: latitude|bad: longitude"):
            writer.write(replace(record, key="bad", latlon_deg=place))


def test_nothing_is_no_data_set(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no record"), ShardWriter(tmp_path / "s"):
        pass
    assert not list((tmp_path / "s").iterdir())


def test_an_exception_leaves_nothing(tmp_path: Path, make_records: MakeRecords) -> None:
    def interrupted() -> None:
        with ShardWriter(tmp_path / "s", samples_per_shard=2) as writer:
            for record in make_records(5):
                writer.write(record)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list((tmp_path / "s").iterdir())


def test_a_killed_writer_leaves_what_readers_refuse(
    tmp_path: Path, make_records: MakeRecords
) -> None:
    writer = ShardWriter(tmp_path / "s", samples_per_shard=2)
    for record in make_records(5):
        writer.write(record)
    assert (tmp_path / "s/00001.tar").exists()
    with pytest.raises(DataError, match="interrupted"):
        list_shards(tmp_path / "s")
    writer.close()
    assert len(list_shards(tmp_path / "s")) == 3
    with pytest.raises(DataError, match="closed"):
        writer.write(make_records(9)[8])


def test_overwriting_must_be_asked_for(tmp_path: Path, make_records: MakeRecords) -> None:
    write(tmp_path / "s", make_records(5), samples_per_shard=2)
    with pytest.raises(DataError, match="not empty"):
        ShardWriter(tmp_path / "s")
    (tmp_path / "s/notes.txt").write_text("kept")
    assert write(tmp_path / "s", make_records(1), overwrite=True) == {"00000.tar": 1}
    names = {path.name for path in (tmp_path / "s").iterdir()}
    assert names == {"00000.tar", "00000.index.parquet", *BESIDE, "notes.txt"}
    (noted, places) = read_checksums(str(tmp_path / "s"))
    assert (noted, places) == ("00000.tar", "places.npy")


@pytest.mark.parametrize(
    "key", ["a.b.c", ".hidden", "100%", "%2E", "ä/ö.ü", "a.b/c", "漢字", "x y"]
)
def test_any_key_survives(key: str) -> None:
    name = f"{member_stem(key)}.jpg"
    assert split_member_name(name) == (key, "jpg")
    assert "." not in name.removesuffix(".jpg").rpartition("/")[2]


@given(st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), min_size=1, max_size=30))
def test_keys_and_names_are_one_to_one(key: str) -> None:
    try:
        name = f"{member_stem(key)}.json"
    except DataError:
        assert key.startswith("/") or key.endswith("/") or {"", ".", ".."} & set(key.split("/"))
        return
    assert split_member_name(name) == (key, "json")


def test_foreign_names() -> None:
    assert split_member_name("./photo.v1.JPG") == ("photo.v1", "jpg")
    assert is_known("a.webp")
    assert is_known("x/a.json")
    assert not is_known("a.pkl")
    assert not is_known("README")
    assert not is_known(".jpg")
    key, _ = split_member_name(b"\xff\xfe.jpg".decode("utf-8", "surrogateescape"))
    assert key.encode("utf-8")


def test_endings(make_image: Callable[..., bytes]) -> None:
    assert image_ending(make_image(0)) == "jpg"
    assert image_ending(make_image(0, form="PNG")) == "png"
    assert image_ending(make_image(0, form="WEBP")) == "webp"
    assert image_ending(make_image(0, form="BMP")) is None


def test_sources(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    folder = make_shards(5, per_shard=2)
    whole = list_shards(folder)
    assert [Path(url).name for url in whole.urls] == ["00000.tar", "00001.tar", "00002.tar"]
    assert whole.sizes == (2, 2, 1)
    assert whole.sample_count == 5
    assert list_shards(str(folder)) == whole
    assert list_shards(f"{folder}/{{00000..00002}}.tar") == whole
    assert list_shards([str(folder / "00001.tar")]).sizes == (2,)
    assert list_shards(whole) is whole
    assert whole.pick([2, 0]).sizes == (1, 2)
    assert list_shards("pipe:cat x.tar") == ShardList(urls=("pipe:cat x.tar",), sizes=(None,))
    (folder / "00001.tar").unlink()
    assert list_shards(folder) == whole
    assert list_shards(f"{folder}/{{00000..00002}}.tar") == whole
    assert whole.fingerprint() == list_shards(folder.rename(tmp_path / "moved")).fingerprint()
    assert whole.fingerprint() != whole.pick([0, 1]).fingerprint()


def test_sources_that_are_none(make_shards: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        list_shards(tmp_path / "nowhere")
    with pytest.raises(DataError, match="no such folder"):
        list_shards(str(tmp_path / "{0..3}.tar"))
    (tmp_path / "outer" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="folders in it: train"):
        list_shards(tmp_path / "outer")
    folder = make_shards(4, per_shard=2)
    for text in (
        "{",
        "[]",
        '{"00000.tar": "2"}',
        '{"00000.tar": -1}',
        '{"00000.tar": true}',
        "[" * 100_000,
        r'{"a\u0000.tar": 2}',
        r'{"a\ud800.tar": 2}',
        '{"": 2}',
    ):
        (folder / "sizes.json").write_text(text)
        with pytest.raises(DataError, match=r"sizes\.json"):
            list_shards(folder)


def test_a_shard_that_sizes_does_not_name(make_shards: Callable[..., Path]) -> None:
    folder = make_shards(4, per_shard=2)
    (folder / "sizes.json").write_text('{"00000.tar": 2}')
    with pytest.raises(DataError, match=r"does not name 00001\.tar"):
        list_shards(folder)
    assert list_shards(folder, strict=False).sizes == (2, 0)


def test_what_is_noted_of_each_file(tmp_path: Path, make_records: MakeRecords) -> None:
    write(tmp_path / "s", make_records(3), samples_per_shard=2)
    noted = json.loads((tmp_path / "s/checksums.json").read_text())
    assert list(noted) == ["00000.tar", "00001.tar", "places.npy"]
    for name, entry in noted.items():
        data = (tmp_path / "s" / name).read_bytes()
        assert (entry["bytes"], entry["sha256"]) == (len(data), sha256(data).hexdigest())
    assert [entry["samples"] for entry in noted.values()] == [2, 1, 3]


@pytest.mark.parametrize("noted", [True, False])
def test_fingerprints_tell_contents_apart(
    tmp_path: Path, make_records: MakeRecords, noted: bool
) -> None:
    records = make_records(4)
    # As many bytes of as many samples under the same names: only what they say differs.
    other = [replace(record, label={**record.label, "country": "XX"}) for record in records]
    for name, content in (("a", records), ("b", other), ("c", records)):
        write(tmp_path / name, content, samples_per_shard=2)
        if not noted:
            (tmp_path / name / "checksums.json").unlink()
    length = {name: (tmp_path / name / "00000.tar").stat().st_size for name in "ab"}
    assert length["a"] == length["b"]
    first, second, third = (list_shards(tmp_path / name).fingerprint() for name in "abc")
    assert first == third
    assert first != second


def test_what_is_noted_of_another_shard_is_not_taken(
    tmp_path: Path, make_records: MakeRecords
) -> None:
    folder = tmp_path / "s"
    write(folder, make_records(2))
    before = list_shards(folder).fingerprint()
    with (folder / "00000.tar").open("ab") as stream:
        stream.write(bytes(10_240))
    assert list_shards(folder).fingerprint() != before
    for text in ("{", "[]", '{"00000.tar": "abc"}', '{"00000.tar": {"bytes": "1"}}'):
        (folder / "checksums.json").write_text(text)
        assert read_checksums(str(folder)) == {}


def test_fingerprints_of_addresses() -> None:
    def of(*urls: str, size: int | None = None) -> str:
        return ShardList(urls=urls, sizes=(size,) * len(urls)).fingerprint()

    assert of("memory://one/0.tar?signed=1") == of("memory://one/0.tar?signed=2")
    assert of("memory://one/0.tar") != of("memory://two/0.tar")
    assert of("memory://one/0.tar", size=1) != of("memory://one/0.tar", size=2)
    assert of("pipe:cat a.tar") != of("pipe:cat b.tar")

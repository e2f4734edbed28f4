"""ShardIndex: it points at the bytes that the scanner finds, and no stale one is believed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from pyarrow import parquet

from geoloc.cli import main
from geoloc.data import LostSample, RawSample, ShardList, ShardReader
from geoloc.data.shard_index import index_path, index_shards, open_indexed, write_index
from geoloc.errors import DataError


def rows_of(shard: Path, expected: int | None = None) -> list[RawSample | LostSample]:
    indexed = open_indexed(str(shard), expected=expected)
    assert indexed is not None
    return [indexed.read(row) for row in range(len(indexed))]


@pytest.fixture
def shard(make_shards: Callable[..., Path]) -> Path:
    return make_shards(6, per_shard=6) / "00000.tar"


def test_rows_are_the_samples_of_the_scanner(shard: Path) -> None:
    scanned = list(ShardReader(str(shard), expected=6))
    found = rows_of(shard, 6)
    for ours, theirs in zip(found, scanned, strict=True):
        assert isinstance(ours, RawSample)
        assert isinstance(theirs, RawSample)
        for name in ("key", "image_bytes", "json_bytes", "shard", "image_at", "json_at"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert not ours.altered


def test_a_shard_of_other_people_can_be_indexed(shard: Path) -> None:
    before = rows_of(shard)
    index_path(shard).unlink()
    assert open_indexed(str(shard), expected=6) is None
    assert write_index(shard, expected=6) == 6
    assert rows_of(shard) == before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda shard: shard.write_bytes(shard.read_bytes() + bytes(512)),
        lambda shard: shard.write_bytes(shard.read_bytes()[512:] + bytes(512)),
        lambda shard: index_path(shard).write_bytes(index_path(shard).read_bytes()[:-9]),
        lambda shard: index_path(shard).write_bytes(b"PAR1"),
        lambda shard: shutil.copyfile(index_path(shard), index_path(shard).with_name("x")),
    ],
    ids=["longer", "moved", "cut", "empty", "none of these"],
)
def test_a_stale_or_damaged_index_is_left_aside(shard: Path, spoil: Callable[[Path], object]):
    spoil(shard)
    harmless = index_path(shard).with_name("x").exists()
    assert (open_indexed(str(shard), expected=6) is not None) == harmless
    assert open_indexed(str(shard), expected=7) is None


def test_a_flipped_bit_anywhere_in_an_index_gives_no_wrong_sample(shard: Path) -> None:
    path, whole = index_path(shard), rows_of(shard)
    data = path.read_bytes()
    for at in range(0, len(data), 61):
        path.write_bytes(data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :])
        indexed = open_indexed(str(shard), expected=6)
        if indexed is None:
            continue
        for row in range(len(indexed)):
            found = indexed.read(row)
            if isinstance(found, RawSample) and not found.altered:
                assert found == whole[row]


def test_damaged_shards_are_not_indexed(shard: Path, tmp_path: Path) -> None:
    data, rows = bytearray(shard.read_bytes()), rows_of(shard)
    data[rows[2].image_at + 300] ^= 1
    shard.write_bytes(data)
    with pytest.raises(DataError, match=r"k0002 is damaged: not indexed"):
        write_index(shard)
    shard.write_bytes(data[: rows[1].json_at + 5])
    with pytest.raises(DataError, match=r"is damaged .*: not indexed"):
        write_index(shard, expected=6)
    with pytest.raises(DataError, match=r"only plain \.tar"):
        write_index(tmp_path / "a.tar.gz")


def test_altered_bytes_are_marked_and_missing_ones_torn(shard: Path) -> None:
    rows = rows_of(shard)
    data = bytearray(shard.read_bytes())
    indexed = open_indexed(str(shard), expected=6)
    assert indexed is not None
    first, second, third = rows[1:4]
    data[first.image_at + 9] ^= 1  # type: ignore[union-attr]
    data[second.json_at + 2] ^= 1  # type: ignore[union-attr]
    with shard.open("r+b") as stream:
        stream.write(data)
        stream.truncate(third.image_at + 5)  # type: ignore[union-attr]
    assert indexed.read(0) == rows[0]
    assert indexed.read(1).altered  # type: ignore[union-attr]
    assert [indexed.read(row).kind for row in (2, 3)] == ["checksum", "torn"]  # type: ignore[union-attr]


def test_the_index_is_a_table_that_others_can_read(shard: Path) -> None:
    table = parquet.read_table(index_path(shard))
    assert table.column("key").to_pylist() == [f"k{number:04d}" for number in range(6)]
    at, length = (table.column(name)[3].as_py() for name in ("image_at", "image_bytes"))
    assert shard.read_bytes()[at : at + length] == rows_of(shard)[3].image_bytes  # type: ignore[union-attr]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_whole_shards_of_a_folder_are_indexed_and_the_others_named(
    make_shards: Callable[..., Path], capsys: pytest.CaptureFixture[str], workers: str
) -> None:
    folder = make_shards(8, per_shard=2)
    for path in folder.glob("*.index.parquet"):
        path.unlink()
    assert main(["shards", "index", str(folder), "--workers", workers]) == 0
    assert "4 shards indexed, 8 samples" in capsys.readouterr().out
    damaged = folder / "00002.tar"
    damaged.write_bytes(damaged.read_bytes()[:2000])
    assert main(["shards", "index", str(folder), "--workers", workers]) == 1
    told = capsys.readouterr().out
    assert "3 shards indexed, 6 samples" in told
    assert "not indexed" in told
    assert "00002.tar is damaged" in told
    remote = ShardList(urls=("http://a/0.tar",), sizes=(None,))
    assert index_shards(remote).refused == ("http://a/0.tar is not on this machine",)

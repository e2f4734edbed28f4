from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from geoloc import data
from geoloc.cli import main
from geoloc.data.record import Record
from geoloc.data.shard_statistics import shard_statistics
from geoloc.data.shards import ShardWriter
from geoloc.data.verify import verify_shards
from geoloc.errors import DataError


def test_whole_shards(make_shards: Callable[..., Path]) -> None:
    steps: list[tuple[int, int]] = []
    report = verify_shards(
        make_shards(7, per_shard=3), progress=lambda done, total: steps.append((done, total))
    )
    assert not report.damaged
    text = json.loads(json.dumps(report.to_json()))
    assert (text["valid"], text["lost"], text["by_kind"]) == (7, 0, {})
    assert text["shards"] == []
    assert report.to_text() == "3 shards: 7 samples valid, 0 lost"
    assert steps == [(1, 3), (2, 3), (3, 3)]


def test_damage_in_words_and_in_figures(
    make_shards: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    folder = make_shards(7, per_shard=3)
    shard = folder / "00001.tar"
    whole = shard.read_bytes()
    shard.write_bytes(whole[: whole.index(b"k0004.jpg") + 700])
    (folder / "00002.tar").unlink()
    with caplog.at_level(logging.WARNING, logger="geoloc.data"):
        report = verify_shards(folder)
    assert report.damaged
    text = report.to_json()
    assert (text["valid"], text["lost"]) == (4, 3)
    assert text["by_kind"] == {"torn": 1, "unreadable_shard": 1, "vanished": 1}
    assert sum(text["by_kind"].values()) == text["lost"]
    first, second = text["shards"]
    assert (first["shard"], first["expected"], first["valid"]) == ("00001.tar", 3, 1)
    assert "breaks off" in first["faults"][0]
    assert "No such file" in second["faults"][0]
    assert "torn: k0004 in 00001.tar" in report.to_text()
    assert caplog.text.count("lost, torn: k0004 in 00001.tar") == 1


def test_processes_find_the_same(make_shards: Callable[..., Path]) -> None:
    folder = make_shards(8, per_shard=2)
    (folder / "00003.tar").write_bytes(b"x" * 3000)
    assert verify_shards(folder, processes=2).to_json() == verify_shards(folder).to_json()


def test_a_key_in_two_shards(tmp_path: Path, make_records: Callable[..., list[Record]]) -> None:
    for name, first in (("a", 0), ("b", 2)):
        with ShardWriter(tmp_path / name, prefix=name) as writer:
            for record in make_records(3, first=first):
                writer.write(record)
    report = verify_shards([str(tmp_path / "a"), str(tmp_path / "b")])
    assert (report.valid, report.lost, report.repeated_keys) == (6, 0, 1)
    assert report.damaged
    assert "another shard too: 1" in report.to_text()


def test_an_unlisted_shard_is_surplus(make_shards: Callable[..., Path]) -> None:
    folder = make_shards(4, per_shard=2)
    (folder / "sizes.json").write_text('{"00000.tar": 2}')
    report = verify_shards(folder)
    assert (report.valid, report.lost, report.ledger.surplus) == (2, 0, 2)
    assert report.damaged
    assert "beyond the number in sizes.json (not used): 2" in report.to_text()


def test_no_shards(tmp_path: Path) -> None:
    for check in (verify_shards, shard_statistics):
        with pytest.raises(DataError, match=r"no \.tar shard"):
            check(tmp_path)


def test_statistics(
    make_shards: Callable[..., Path], make_records: Callable[..., list[Record]]
) -> None:
    folder = make_shards(7, per_shard=3)
    statistics = shard_statistics(folder)
    records = make_records(7)
    assert (statistics.samples, statistics.lost, statistics.shards) == (7, 0, 3)
    assert statistics.image_bytes == sum(len(record.image_bytes) for record in records)
    assert statistics.bounds_deg == (-60.0, -170.0, -57.0, -164.0)
    assert statistics.countries == {"FR": 4, "NA": 3}
    assert statistics.image_size["50%"] == (48, 48)
    assert statistics.repeated_places == 0
    assert json.loads(json.dumps(statistics.to_json()))["countries"] == {"FR": 4, "NA": 3}
    assert "FR 4, NA 3" in statistics.to_text()


def test_statistics_of_damage_and_repeated_places(
    tmp_path: Path, make_records: Callable[..., list[Record]]
) -> None:
    with ShardWriter(tmp_path / "s") as writer:
        for record in make_records(4):
            writer.write(
                Record(
                    key=record.key, image_bytes=record.image_bytes, latlon_deg=(1.0, 2.0), label={}
                )
            )
    shard = tmp_path / "s/00000.tar"
    shard.write_bytes(shard.read_bytes().replace(b"\xff\xd8\xff", b"\0\0\0", 1))
    statistics = shard_statistics(tmp_path / "s")
    assert (statistics.samples, statistics.lost, statistics.repeated_places) == (3, 1, 2)
    assert statistics.countries == {"": 3}
    assert "(none) 3" in statistics.to_text()
    shard.unlink()
    empty = shard_statistics(tmp_path / "s")
    assert (empty.samples, empty.lost, empty.bounds_deg) == (0, 4, None)
    assert "no place" in empty.to_text()


@pytest.mark.parametrize("what", ["pipe", "device", "folder"])
def test_a_shard_that_is_no_ordinary_file_is_lost_and_never_waited_for(
    make_shards: Callable[..., Path], what: str
) -> None:
    folder = make_shards(4, per_shard=2)
    shard = folder / "00001.tar"
    shard.unlink()
    if what == "pipe":
        os.mkfifo(shard)
    elif what == "device":
        shard.symlink_to("/dev/zero")
    else:
        shard.mkdir()
    report = verify_shards(folder)
    assert (report.valid, report.by_kind) == (2, {"unreadable_shard": 2})


def test_bytes_that_are_not_those_noted(make_shards: Callable[..., Path]) -> None:
    folder = make_shards(4, per_shard=2)
    shard = folder / "00001.tar"
    content = shard.read_bytes()
    assert content.count(b'"latitude": -58.5') == 1
    # A place that is as good as any, and another one: nothing else can tell.
    shard.write_bytes(content.replace(b'"latitude": -58.5', b'"latitude": -18.5'))
    report = verify_shards(folder)
    assert (report.valid, report.lost) == (4, 0)
    assert [check.altered for check in report.shards] == [False, True]
    assert report.damaged
    assert "its SHA-256 is not the one in checksums.json" in report.to_text()
    (folder / "checksums.json").unlink()
    assert not verify_shards(folder).damaged


def test_statistics_by_processes_are_the_same(make_shards: Callable[..., Path]) -> None:
    folder = make_shards(8, per_shard=2)
    (folder / "00003.tar").write_bytes(b"x" * 3000)
    steps: list[tuple[int, int]] = []
    many = shard_statistics(
        folder, processes=2, progress=lambda done, total: steps.append((done, total))
    )
    assert many == shard_statistics(folder)
    assert (many.samples, many.lost) == (6, 2)
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_the_command_line_passes_addresses_and_workers_on(
    make_shards: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked: list[tuple[str, int]] = []

    def verify(source: str, *, processes: int, progress: object) -> object:
        asked.append((source, processes))
        return verify_shards(make_shards(2, per_shard=2))

    monkeypatch.setattr(data, "verify_shards", verify)
    assert main(["shards", "verify", "http://host/{0..3}.tar", "--workers", "3"]) == 0
    assert asked == [("http://host/{0..3}.tar", 3)]
    folder = str(make_shards(4, per_shard=2, name="more"))
    capsys.readouterr()
    assert main(["shards", "stats", folder, "--workers", "2", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["samples"] == 4
    with pytest.raises(SystemExit):
        main(["shards", "stats", folder, "--workers", "0"])
    assert "at least 1" in capsys.readouterr().err

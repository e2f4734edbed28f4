"""Shards from any table: its own column names, its texts untouched, every bad row counted."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.data.csv_table import CsvColumns, write_csv_shards
from geoloc.data.decoding import decode_image
from geoloc.errors import DataError


def encoded(format_name: str = "JPEG", seed: int = 0) -> bytes:
    noise = np.random.default_rng(seed).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format_name)
    return buffer.getvalue()


def write_table(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, rows[0].keys())
        table.writeheader()
        table.writerows(rows)
    return path


def read_shards(folder: Path) -> dict[str, tuple[str, bytes, dict]]:
    samples: dict[str, tuple[str, bytes, dict]] = {}
    for name in json.loads((folder / "sizes.json").read_text()):
        with tarfile.open(folder / name) as tar:
            members = {one.name: tar.extractfile(one).read() for one in tar}
        for member, data in members.items():
            stem, ending = member.rsplit(".", 1)
            if ending != "json":
                samples[stem] = (ending, data, json.loads(members[f"{stem}.json"]))
    return samples


def test_a_table_with_names_of_its_own(tmp_path):
    (tmp_path / "pictures").mkdir()
    files = {"a.jpg": "JPEG", "b.png": "PNG", "c.tif": "TIFF", "d.gif": "GIF"}
    for number, (name, format_name) in enumerate(files.items()):
        (tmp_path / "pictures" / name).write_bytes(encoded(format_name, number))
    rows = [
        {"file": name, "y": f"{number + 0.5}", "x": f"-{number}", "land": "NA", "note": note}
        for number, (name, note) in enumerate(zip(files, ("", "ü, ö", '"', "07"), strict=True))
    ]
    table = write_table(tmp_path / "table.csv", rows)
    done: list[int] = []
    report = write_csv_shards(
        table,
        tmp_path / "out",
        columns=CsvColumns(path="file", latitude="y", longitude="x"),
        image_folder=tmp_path / "pictures",
        samples_per_shard=3,
        progress=done.append,
    )
    assert report.written == 4
    assert report.skipped == {}
    assert done == [1, 2, 3, 4]
    samples = read_shards(tmp_path / "out")
    assert sorted(samples) == [f"{number:08d}" for number in range(4)]
    for number, name in enumerate(files):
        ending, data, said = samples[f"{number:08d}"]
        original = (tmp_path / "pictures" / name).read_bytes()
        assert ending == {"a.jpg": "jpg", "b.png": "png"}.get(name, "jpg")
        if number < 2:
            assert data == original
        ours, theirs = (np.asarray(decode_image(one)).astype(int) for one in (data, original))
        assert np.abs(ours - theirs).mean() < 6.0
        assert (said["latitude"], said["longitude"]) == (number + 0.5, -float(number))
        assert said["land"] == "NA"
        assert said["note"] == (rows[number]["note"] or None)


def test_every_bad_row_is_counted(tmp_path):
    (tmp_path / "good.jpg").write_bytes(encoded())
    (tmp_path / "half.jpg").write_bytes(encoded()[:300])
    (tmp_path / "text.jpg").write_text("not a picture")
    good = {"name": "a", "path": "good.jpg", "latitude": "1", "longitude": "2"}
    changes: list[dict[str, str]] = [
        {},
        {"name": "b.with.dots"},
        {"name": "a"},
        {"name": ""},
        {"name": "../c"},
        {"name": "d", "path": ""},
        {"name": "e", "path": "nowhere.jpg"},
        {"name": "f", "path": "."},
        {"name": "g", "path": "half.jpg"},
        {"name": "h", "path": "text.jpg"},
        {"name": "i", "latitude": ""},
        {"name": "j", "latitude": "north"},
        {"name": "k", "latitude": "nan"},
        {"name": "l", "longitude": "180.5"},
        {"name": "m", "longitude": "-180"},
    ]
    table = write_table(tmp_path / "table.csv", [{**good, **change} for change in changes])
    report = write_csv_shards(table, tmp_path / "out", columns=CsvColumns(id="name"))
    assert report.written == 3
    assert report.skipped == {
        "bad_id": 2,
        "duplicate_id": 1,
        "no_path": 1,
        "missing": 1,
        "not_a_file": 1,
        "truncated": 1,
        "not_an_image": 1,
        "missing_coordinate": 1,
        "coordinate_not_a_number": 1,
        "coordinate_not_finite": 1,
        "coordinate_out_of_range": 1,
    }
    assert report.total == len(changes)
    assert len(read_shards(tmp_path / "out")) == 3


def test_what_cannot_begin(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        write_csv_shards(tmp_path / "nowhere.csv", tmp_path / "out")
    table = write_table(tmp_path / "t.csv", [{"path": "x.jpg", "lat": "1", "longitude": "2"}])
    with pytest.raises(DataError, match="no column latitude"):
        write_csv_shards(table, tmp_path / "out")
    with pytest.raises(DataError, match=r"no sample could be written \(1 missing\)"):
        write_csv_shards(table, tmp_path / "out", columns=CsvColumns(latitude="lat"))
    table.write_text("path,latitude,longitude\n", encoding="utf-8")
    with pytest.raises(DataError, match="none was found"):
        write_csv_shards(table, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious").touch()
    with pytest.raises(DataError, match="not an empty folder"):
        write_csv_shards(table, tmp_path / "out")

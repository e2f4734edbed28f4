"""Lists in the layouts that were published, with photographs on disk; every row accounted for."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.cli import main
from geoloc.cli.shards import BENCHMARK_NAMES
from geoloc.data.benchmark_lists import BENCHMARKS, read_benchmark_list, write_benchmark_shards
from geoloc.errors import DataError
from geoloc.evaluation import protocol_named
from geoloc.geodesy import destination_deg

HEADER = "IMG_ID,AUTHOR,LAT,LON,S3_Label,S16_Label,S365_Label,Prob_indoor,Prob_natural,Prob_urban"
SCENES = "2,12,353,0.27,0.05,0.68"


def photograph(path: Path, seed: int = 0) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((64, 48), Image.Resampling.BICUBIC).save(buffer, "JPEG")
    path.write_bytes(buffer.getvalue())
    return buffer.getvalue()


def samples(folder: Path) -> dict[str, tuple[bytes, dict]]:
    found: dict[str, tuple[bytes, dict]] = {}
    for name in json.loads((folder / "sizes.json").read_text()):
        with tarfile.open(folder / name) as tar:
            members = {one.name: tar.extractfile(one).read() for one in tar}
        for member, data in members.items():
            if not member.endswith(".json"):
                stem = member.rsplit(".", 1)[0]
                found[stem] = (data, json.loads(members[f"{stem}.json"]))
    return found


def test_im2gps3k(tmp_path, capsys):
    names = [f"10002{n}_e60e9cdfb4_11{n}_7884137{n}@N00.jpg" for n in range(4)]
    images = tmp_path / "im2gps3ktest"
    bytes_of = [photograph(images / name, n) for n, name in enumerate(names[:2])]
    (images / names[2]).write_bytes(bytes_of[0][:200])
    photograph(images / "199384251_7860f20c04_66_63163416@N00.jpg")
    lines = [
        f"{name},7884137{n}@N00,32.325436,-64.7644{n},{SCENES}" for n, name in enumerate(names)
    ]
    table = tmp_path / "im2gps3k_places365.csv"
    table.write_text("\n".join([HEADER, *lines, f"{names[0]},a@N00,1,2,{SCENES}", "x,y"]) + "\n")
    out = tmp_path / "shards"
    command = ["shards", "make", "im2gps3k", str(table), "--images", str(images), "--out", str(out)]
    assert main(command) == 0
    told = capsys.readouterr().out
    assert "the list has 6 rows, the published one 2,997" in told
    assert "2 of 6 samples written" in told
    for kind in ("missing", "truncated", "duplicate_id", "malformed_row"):
        assert f"1  left out: {kind} " in told
    assert "1  images that the list does not name" in told
    found = samples(out)
    key = names[1].removesuffix(".jpg")
    assert set(found) == {names[0].removesuffix(".jpg"), key}
    data, label = found[key]
    assert data == bytes_of[1]
    assert (label["latitude"], label["longitude"]) == (32.325436, -64.76441)
    assert (label["creator_id"], label["S365_Label"]) == ("78841371@N00", "353")


def test_the_first_list_of_im2gps3k_is_refused(tmp_path):
    table = tmp_path / "list.csv"
    rows = [f"a{n}.jpg,x,{lat},{lon},{SCENES}" for n, (lat, lon) in enumerate([(30, 122), (-8, 9)])]
    table.write_text("\n".join([HEADER.replace("LAT,LON", "LON,LAT"), *rows]))
    with pytest.raises(
        DataError, match=r"1 latitudes beyond 90 degrees.*LAT and LON are exchanged"
    ):
        read_benchmark_list(table)
    table.write_text("\n".join([HEADER, *rows, f"b.jpg,x,95,181,{SCENES}"]))
    assert len(read_benchmark_list(table)) == 3


def test_im2gps_names_with_and_without_their_place(tmp_path):
    images = tmp_path / "images"
    first = photograph(images / "Rome_00024_231521295_92bd_11_8504005@N07.jpg", 1)
    second = photograph(images / "Ankara_00003_601190107_9f05b2251e_1292_8504005@N07.jpg", 2)
    table = tmp_path / "im2gps_places365.csv"
    table.write_text(
        f"{HEADER}\n231521295_92bd_11_8504005@N07.jpg,8504005@N07,41.89,12.49,{SCENES}\n"
        "Ankara_00003_601190107_9f05b2251e_1292_8504005@N07.jpg,9f05b2251e_1292_8504005@N07,"
        f"39.9,32.8,{SCENES}\n"
    )
    report = write_benchmark_shards(table, images, tmp_path / "out")
    assert (report.written, report.skipped, report.unused_images) == (2, {}, 0)
    found = samples(tmp_path / "out")
    assert found["231521295_92bd_11_8504005@N07"][0] == first
    data, label = found["Ankara_00003_601190107_9f05b2251e_1292_8504005@N07"]
    assert data == second
    assert label["creator_id"] == "8504005@N07"


@pytest.mark.parametrize("flat", [True, False])
def test_yfcc26k(tmp_path, flat):
    images, names = tmp_path / "yfcc25600", ["45/77/3228511372.jpg", "2e/b5/4325164013.jpg"]
    for n, name in enumerate(names):
        photograph(images / (Path(name).name if flat else name), n)
    table = tmp_path / "yfcc25600_places365.csv"
    rows = [f"{name},4300884{n}@N00,46.7{n},23.6,{SCENES}" for n, name in enumerate(names)]
    table.write_text("\n".join([HEADER, *rows]))
    report = write_benchmark_shards(table, images, tmp_path / "out")
    assert (report.written, report.skipped) == (2, {})
    assert set(samples(tmp_path / "out")) == {"3228511372", "4325164013"}


def test_two_files_of_one_name_are_not_guessed_between(tmp_path):
    for folder in ("a", "b"):
        photograph(tmp_path / "images" / folder / "7.jpg")
    photograph(tmp_path / "images" / "8.jpg")
    table = tmp_path / "list.csv"
    table.write_text("path,lat,lon\n7.jpg,1,2\n8.jpg,1,2\n")
    report = write_benchmark_shards(table, tmp_path / "images", tmp_path / "out")
    assert (report.written, report.skipped, report.unused_images) == (1, {"missing": 1}, 2)


def yfcc_line(number: str, longitude: str, latitude: str, *, title: str = "a") -> str:
    cells = ["17", number, "hash", "12@N03", "nick", "2010", "127", "camera", title, "", "tags", ""]
    cells += [longitude, latitude, "16", "url", "url", "CC", "url", "1", "1", "s", "s", "jpg", "0"]
    return "\t".join(cells)


def test_yfcc4k(tmp_path):
    images = tmp_path / "yfcc4k"
    photograph(images / "25935894.jpg")
    lines = [
        yfcc_line("25935894", "-77.05", "38.94", title='one " quote, \u2028 and \x0b'),
        yfcc_line("25935895", "1", "2"),
        yfcc_line("25935896", "", ""),
        "17\t25935897\ttorn",
    ]
    (tmp_path / "yfcc4k.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    report = write_benchmark_shards(tmp_path / "yfcc4k.txt", images, tmp_path / "out")
    assert report.written == 1
    assert report.skipped == {"malformed_row": 1, "missing": 1, "missing_coordinate": 1}
    _, label = samples(tmp_path / "out")["25935894"]
    assert (label["latitude"], label["longitude"]) == (38.94, -77.05)
    assert label["creator_id"] == "12@N03"


def test_what_is_no_list(tmp_path):
    photograph(tmp_path / "images" / "a.jpg")
    with pytest.raises(DataError, match="no such file"):
        read_benchmark_list(tmp_path / "nowhere.csv")
    table = tmp_path / "list.csv"
    table.write_text("file,y,x\na.jpg,1,2\n")
    with pytest.raises(DataError, match="no list of a known benchmark"):
        read_benchmark_list(table)
    table.write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="cannot be read as a list"):
        read_benchmark_list(table)
    table.write_text("path,lat,lon\na.jpg,1,2\n")
    with pytest.raises(DataError, match="no such folder"):
        write_benchmark_shards(table, tmp_path / "nothing", tmp_path / "out")
    assert tuple(BENCHMARKS) == BENCHMARK_NAMES


def test_the_protocol_of_the_lists_counts_the_radius_itself():
    protocol = protocol_named("im2gps")
    assert (protocol.comparison, protocol.thresholds_km) == ("d <= r", (1, 25, 200, 750, 2500))
    a = np.array([[0.0, 0.0]])
    b = destination_deg(a, 0.0, 200.0)
    # The haversine of Vo et al. (gps_distance.m), R = 6371 km.
    lat = np.radians(b[0, 0])
    theirs = 6371 * 2 * np.arctan2(np.sin(lat / 2), np.sqrt(1 - np.sin(lat / 2) ** 2))
    assert protocol.distance_km(a, b)[0] == pytest.approx(theirs, abs=1e-9)

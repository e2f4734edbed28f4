"""`geoloc query` from end to end on a tiny run: forms, files, lists, kills, contradictions."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from geoloc.cli import main
from geoloc.inference.schema import schema_text

Photo = Callable[..., Image.Image]


@pytest.fixture
def album(tmp_path: Path, photo: Photo) -> Path:
    """Seven images in folders below a folder, one of them broken."""
    folder = tmp_path / "album"
    for number in range(7):
        place = folder / ("north" if number < 3 else "south") / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        photo(number).save(place)
    (folder / "south" / "6.png").write_bytes(b"nothing")
    return folder


@pytest.fixture
def ask(run: Path) -> Callable[..., int]:
    def call(*words: object) -> int:
        return main(["query", "--run", str(run), *map(str, words)])

    return call


def lines_of(path: Path) -> list[dict[str, dict[str, object]]]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def test_the_ending_of_the_file_says_the_form(album: Path, ask, tmp_path: Path, capsys) -> None:
    starts = {
        "json": "{",
        "jsonl": '{"schema_version": 2, "query"',
        "geojson": '{\n  "type": "FeatureCollection"',
        "csv": "source,rank",
        "kml": "<?xml",
        "txt": f"{album}/north/0.png\n",
    }
    for ending, start in starts.items():
        out = tmp_path / f"answers.{ending}"
        assert ask(album, "--out", out) == 2
        assert out.read_text().startswith(start)
        told = capsys.readouterr()
        assert told.out == ""
        assert "south/6.png: " in told.err
        assert "7 images in " in told.err
    assert ask(album, "--format", "csv", "--out", tmp_path / "table.txt") == 2
    assert (tmp_path / "table.txt").read_text().startswith("source,rank")


def test_lists_on_standard_input(album: Path, ask, monkeypatch, capsys) -> None:
    for words, end in ((["-"], b"\n"), (["--stdin"], b"\0")):
        names = end.join(os.fsencode(each) for each in (album / "south/4.png", album / "north"))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(names + end)))
        assert ask(*words, "--format", "jsonl") == 0
        lines = capsys.readouterr().out.splitlines()
        files = [Path(json.loads(line)["file"]["path"]).name for line in lines[1:]]
        assert files == ["4.png", "0.png", "1.png", "2.png"]


def test_a_killed_query_goes_on_with_no_image_lost_or_asked_twice(
    album: Path, run: Path, ask, tmp_path: Path, photo: Photo, capsys
) -> None:
    for number in range(10, 60):
        photo(number).save(album / f"{number}.png")
    out = tmp_path / "answers.jsonl"
    words = ["query", str(album), "--run", str(run), "--out", str(out), "--resume"]
    process = subprocess.Popen(
        [sys.executable, "-m", "geoloc", *words, "--batch-size", "1"], stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if out.exists() and out.read_bytes().count(b"\n") > 3:
            break
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # As after a power cut: half of the last line.
    out.write_bytes(out.read_bytes()[:-40])
    before = len(lines_of_whole(out))
    assert before > 0
    assert ask(album, "--out", out, "--resume") == 2
    assert f"{before} answered before" in capsys.readouterr().err
    names = sorted(Path(str(line["file"]["path"])).name for line in lines_of(out))
    assert names == sorted(path.name for path in album.rglob("*.png"))
    assert ask(album, "--out", out, "--resume") == 0
    assert "0 images in" in capsys.readouterr().err
    # A file that has changed is asked again, another query is not mixed in.
    photo(99).save(album / "10.png")
    assert ask(album, "--out", out, "--resume") == 0
    assert len(lines_of(out)) == len(names) + 1
    assert ask(album, "--out", out, "--resume", "--top-k", "2") == 2
    assert "top_k was 5 and is 2" in capsys.readouterr().err
    assert ask(album, "--out", out) == 2
    assert "--resume" in capsys.readouterr().err


def lines_of_whole(path: Path) -> list[str]:
    return [line for line in path.read_text().split("\n")[1:-1] if line]


def test_originals_are_never_written_to(album: Path, ask, tmp_path: Path, capsys) -> None:
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in album.rglob("*.png")}
    target = album / "north" / "1.png"
    (tmp_path / "link.json").symlink_to(target)
    assert ask(album, "--format", "json", "--out", target) == 2
    assert ask(album, "--map", target) == 2
    assert ask(album, "--out", tmp_path / "link.json") == 2
    assert capsys.readouterr().err.count("is one of the images") == 3
    assert ask(album, "--out", tmp_path / "a.json", "--exif", "skip") == 2
    after = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in album.rglob("*.png")}
    assert after == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "nothing to ask about"),
        (["a.jpg", "--resume"], "name it by --out"),
        (["a.jpg", "--resume", "--out", "a.csv"], "--out FILE.jsonl"),
        (["a.jpg", "--resume", "--out", "a.jsonl", "--together", "all"], "image by image"),
        (["a.jpg", "--resume", "--out", "a.jsonl", "--map", "a.html"], "leave --resume out"),
        (["a.jpg", "--trip", "--text", "a fjord"], "leave --text out"),
        (["a.jpg", "--trip", "--exif", "skip"], "leave --exif skip out"),
        (["a.jpg", "--together", "all", "--exif", "report"], "leave --exif report out"),
        (["a.jpg", "--map", "a.pdf"], ".html or .png"),
        (["a.jpg", "--map", "a.html", "--map-cards", "-1"], "--map-cards must be at least 0"),
        ([""], "empty name"),
        (["a.jpg", "--out", "a.pdf"], "add --format"),
        (["a.jpg", "--out", "a.csv", "--heat"], "--heat is for json and jsonl, not for csv"),
        (["a.jpg", "--heat"], "not for text"),
        (["a.jpg", "--truth", "t.csv", "--format", "json"], "--truth is for text and --map"),
        (["a.jpg", "--out", "x.html", "--format", "csv", "--map", "x.html"], "the same file"),
        (["a.jpg", "--out", "."], "it is a folder"),
        (["a.jpg", "--out", f"{__file__}/a.csv"], "is no folder"),
        (["a.jpg", "--map", f"{__file__}/a.png"], "is no folder"),
    ],
)
def test_contradictions_are_told_before_anything_is_loaded(words, message, capsys) -> None:
    assert main(["query", *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_together_has_an_answer_a_folder_and_a_trip_needs_times(album: Path, ask, capsys) -> None:
    assert ask(album, "--together", "folders", "--format", "json") == 2
    answers = json.loads(capsys.readouterr().out)["answers"]
    assert [answer["source"] for answer in answers] == [f"{album}/north", f"{album}/south"]
    assert ask(album / "north", "--together", "all", "--format", "json") == 0
    (answer,) = json.loads(capsys.readouterr().out)["answers"]
    assert answer["source"].endswith("0.png and 2 more")
    assert ask(album / "north", "--trip") == 2
    assert capsys.readouterr().err.count("do not say when it was taken") == 3


def test_the_schema_is_printed_and_shown_in_the_docs(capsys) -> None:
    assert main(["query", "--schema"]) == 0
    assert capsys.readouterr().out == schema_text()
    docs = Path(__file__).parents[3] / "docs"
    if docs.is_dir():
        assert (docs / "answers.schema.json").read_text() == schema_text()

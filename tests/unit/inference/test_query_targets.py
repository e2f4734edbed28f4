"""What `geoloc query` writes over and what not: links, pipes, folders, earlier answers."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from geoloc.cli import main


@pytest.fixture
def image(tmp_path: Path, photo: Callable[..., Image.Image]) -> Path:
    path = tmp_path / "1.png"
    photo(1).save(path)
    return path


@pytest.fixture
def ask(run: Path) -> Callable[..., int]:
    def call(*words: object) -> int:
        return main(["query", "--run", str(run), *map(str, words)])

    return call


def read_all(pipe: Path) -> tuple[threading.Thread, list[bytes]]:
    """A reader at the other end, so that opening the pipe does not wait for one."""
    found: list[bytes] = []
    thread = threading.Thread(target=lambda: found.append(pipe.read_bytes()), daemon=True)
    thread.start()
    return thread, found


def test_a_pipe_is_written_into_and_stays(image: Path, ask, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    thread, found = read_all(pipe)
    assert ask(image, "--format", "json", "--out", pipe) == 0
    assert pipe.is_fifo()
    thread.join(timeout=60)
    assert json.loads(found[0])["answers"][0]["source"] == str(image)


def test_lines_and_maps_are_not_for_pipes(image: Path, ask, tmp_path: Path, capsys) -> None:
    lines, drawn = tmp_path / "pipe.jsonl", tmp_path / "pipe.html"
    for pipe in (lines, drawn):
        os.mkfifo(pipe)
    for words in (["--out", lines], ["--out", lines, "--resume"], ["--map", drawn]):
        assert ask(image, *words) == 2
    told = capsys.readouterr().err
    assert told.count("JSON lines grow in a regular file") == 2
    assert told.count("it is a device or a pipe") == 1
    assert lines.is_fifo()
    assert drawn.is_fifo()


def test_a_link_stays_and_its_file_is_written(image: Path, ask, tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    folder.mkdir()
    for option, name in (("--out", "a.csv"), ("--out", "b.jsonl"), ("--map", "c.html")):
        link = tmp_path / name
        link.symlink_to(folder / name)
        assert ask(image, option, link) == 0
        assert link.is_symlink()
        assert (folder / name).stat().st_size > 0


def test_targets_are_looked_at_before_the_model_is_loaded(
    image: Path, tmp_path: Path, capsys
) -> None:
    earlier, folder = tmp_path / "a.jsonl", tmp_path / "b.csv"
    earlier.write_text("kept\n")
    folder.mkdir()
    (tmp_path / "c.html").symlink_to(tmp_path / "c.png")
    for words, message in (
        (["--out", str(earlier)], "it is there already"),
        (["--out", str(folder)], "it is a folder"),
        (["--map", str(tmp_path / "c.html")], "another ending"),
        (["--out", "a.html", "--format", "csv", "--map", "./a.html"], "the same file"),
    ):
        assert main(["query", str(image), "--run", str(tmp_path / "none"), *words]) == 2
        assert message in capsys.readouterr().err
    assert earlier.read_text() == "kept\n"


def test_endings_of_maps_ignore_case(image: Path, ask, tmp_path: Path) -> None:
    assert ask(image, "--map", tmp_path / "A.HTML") == 0
    assert (tmp_path / "A.HTML").read_text().startswith("<!")
    assert ask(image, "--map", tmp_path / "A.PNG") == 0
    assert (tmp_path / "A.PNG").read_bytes().startswith(b"\x89PNG")


def test_folders_that_are_refused_stand_in_the_output(
    image: Path, ask, tmp_path: Path, capsys
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    assert ask(empty, image, "--format", "json") == 2
    (refusal,) = json.loads(capsys.readouterr().out)["refusals"]
    assert (refusal["source"], refusal["kind"]) == (str(empty), "no_images")
    out = tmp_path / "a.jsonl"
    for _ in range(2):
        # Gone on with, it has one line and is told again.
        assert ask(empty, image, "--out", out, "--resume") == 2
        assert capsys.readouterr().err.count("no image in this folder") == 1
        lines = [json.loads(line) for line in out.read_text().splitlines()[1:]]
        assert [line["file"]["path"] for line in lines] == [str(empty), str(image)]

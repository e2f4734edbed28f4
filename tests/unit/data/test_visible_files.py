"""Visible files: all depths, nothing hidden, links, folders closed to us."""

from __future__ import annotations

import os
from pathlib import Path

from geoloc.data.visible_files import visible_files


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_files_of_all_depths_in_order_of_path_but_hidden_ones(tmp_path: Path) -> None:
    make(tmp_path, "b/2.jpg", "a.jpg", "b/c/d/3.png", ".trash/4.jpg", "b/.5.jpg", "b/.x/y/6.jpg")
    (tmp_path / "empty").mkdir()
    (tmp_path / "link.jpg").symlink_to(tmp_path / "a.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "b" / "back").symlink_to(tmp_path, target_is_directory=True)
    found = [path.relative_to(tmp_path).as_posix() for path in visible_files(tmp_path)]
    assert found == ["a.jpg", "b/2.jpg", "b/c/d/3.png", "link.jpg"]


def test_a_hidden_folder_that_is_named_itself_is_searched(tmp_path: Path) -> None:
    make(tmp_path, ".shown/a.jpg")
    assert [path.name for path in visible_files(tmp_path / ".shown")] == ["a.jpg"]


def test_closed_folders_are_told(tmp_path: Path, monkeypatch) -> None:
    make(tmp_path, "open/a.jpg", "shut/b.jpg")
    scan = os.scandir

    def refusing(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    # Whoever runs the tests may be allowed everything.
    monkeypatch.setattr(os, "scandir", refusing)
    told: list[Path] = []
    assert [path.name for path in visible_files(tmp_path, closed=told.append)] == ["a.jpg"]
    assert told == [tmp_path / "shut"]
    assert [path.name for path in visible_files(tmp_path)] == ["a.jpg"]

from __future__ import annotations

import pytest

from geoloc.models.atomic_files import write_atomically


def test_writes_makes_folders_and_leaves_nothing_beside(tmp_path):
    target = tmp_path / "deep" / "file.txt"
    write_atomically(target, lambda file: file.write_text("one"))
    write_atomically(target, lambda file: file.write_text("two"))
    assert target.read_text() == "two"
    assert [file.name for file in target.parent.iterdir()] == ["file.txt"]


def test_a_failed_write_leaves_the_old_content(tmp_path):
    target = tmp_path / "file.txt"
    target.write_text("old")

    def fail(file):
        file.write_text("half of it")
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_atomically(target, fail)
    assert target.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path):
    ordinary = tmp_path / "ordinary"
    ordinary.write_text("")
    write_atomically(tmp_path / "atomic", lambda file: file.write_text(""))
    assert (tmp_path / "atomic").stat().st_mode == ordinary.stat().st_mode

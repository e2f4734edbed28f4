"""True places by names and paths of files, as spreadsheets write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from geoloc.cli.query_truths import read_truths, refuse_ambiguous, truth_of
from geoloc.errors import DataError


def table(path: Path, *rows: str, encoding: str = "utf-8") -> Path:
    path.write_text("\r\n".join(["file,latitude,longitude", *rows]), encoding=encoding)
    return path


def test_a_spreadsheets_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    file = table(tmp_path / "t.csv", "1.jpg,10,20", encoding="utf-8-sig")
    assert read_truths(file) == {"1.jpg": (10.0, 20.0)}


def test_the_longest_path_counts(tmp_path: Path) -> None:
    known = read_truths(table(tmp_path / "t.csv", "./a/1.jpg,1,1", "b/1.jpg,2,2", "1.jpg,3,3"))
    found = [truth_of(name, known) for name in ("/x/a/1.jpg", "b/1.jpg", "c/1.jpg", "b/2.jpg")]
    assert found == [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), None]
    refuse_ambiguous(known, [Path("a/1.jpg"), Path("b/1.jpg"), Path("c/1.jpg")])


def test_one_name_of_two_images_is_refused(tmp_path: Path) -> None:
    known = read_truths(table(tmp_path / "t.csv", "1.jpg,1,1"))
    refuse_ambiguous(known, [Path("a/1.jpg"), Path("a/2.jpg")])
    with pytest.raises(DataError, match=r"1\.jpg may be a/1\.jpg or b/1\.jpg"):
        refuse_ambiguous(known, [Path("a/1.jpg"), Path("b/1.jpg")])
    with pytest.raises(DataError, match="two places"):
        read_truths(table(tmp_path / "t.csv", "1.jpg,1,1", "1.jpg,2,2"))

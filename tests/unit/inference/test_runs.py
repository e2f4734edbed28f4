from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from geoloc.errors import CheckpointError, DataError
from geoloc.inference.runs import gallery_folder, newest_run, read_run


def make_run(root: Path, name: str, started: str | None, *, finished: object = True) -> Path:
    folder = root / name
    (folder / "model").mkdir(parents=True)
    about: dict[str, Any] = {"finished": finished}
    if started is not None:
        about["started"] = started
    (folder / "run.json").write_text(json.dumps(about))
    return folder


def test_newest_is_the_one_started_last_whatever_its_name_or_file_time(tmp_path: Path) -> None:
    late = make_run(tmp_path, "a", "2026-03-01T00:00:00+00:00")
    early = make_run(tmp_path, "z", "2026-02-01T00:00:00+00:00")
    os.utime(late / "run.json", (1, 1))
    os.utime(early / "run.json", (10**9, 10**9))
    assert newest_run(tmp_path) == late


def test_start_times_are_compared_as_times_not_as_text(tmp_path: Path) -> None:
    # 23:00 at +05:00 is 18:00 UTC, before 20:00 UTC, though its text sorts after it.
    make_run(tmp_path, "a", "2026-03-01T23:00:00+05:00")
    later = make_run(tmp_path, "b", "2026-03-01T20:00:00")
    make_run(tmp_path, "c", None)
    assert newest_run(tmp_path) == later


@pytest.mark.parametrize("finished", [False, None, "true", 1])
def test_unfinished_runs_are_passed_over(tmp_path: Path, finished: object) -> None:
    done = make_run(tmp_path, "done", "2026-01-01T00:00:00")
    make_run(tmp_path, "later", "2026-12-01T00:00:00", finished=finished)
    assert newest_run(tmp_path) == done


def test_torn_and_foreign_folders_are_passed_over(tmp_path: Path) -> None:
    done = make_run(tmp_path, "done", "2026-01-01T00:00:00")
    for name, text in (("torn", '{"finished": tr'), ("list", "[true]"), ("binary", "\udcff")):
        folder = make_run(tmp_path, name, "2026-12-01T00:00:00")
        (folder / "run.json").write_text(text, errors="surrogateescape")
    no_model = make_run(tmp_path, "no_model", "2026-12-01T00:00:00")
    (no_model / "model").rmdir()
    (tmp_path / "file").write_text("")
    assert newest_run(tmp_path) == done


def test_none_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no finished run under") as caught:
        newest_run(tmp_path / "nowhere")
    assert "\n" not in str(caught.value)


def test_read_run_says_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run folder"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is not a run"):
        read_run(tmp_path / "empty")
    stopped = make_run(tmp_path, "stopped", None, finished=False)
    with pytest.raises(CheckpointError, match="has not finished"):
        read_run(stopped)


def test_gallery_by_name_default_or_the_only_one(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", None)
    with pytest.raises(DataError, match=r"no gallery to search; build one with: geoloc gallery"):
        gallery_folder(run, {})
    only = run / "galleries" / "even-land"
    only.mkdir(parents=True)
    assert gallery_folder(run, {}) == only
    other = run / "galleries" / "training-places"
    other.mkdir()
    with pytest.raises(DataError, match="even-land, training-places"):
        gallery_folder(run, {})
    assert gallery_folder(run, {"default_gallery": "training-places"}) == other
    assert gallery_folder(run, {"default_gallery": "training-places"}, "even-land") == only


def test_gallery_elsewhere_and_unknown(tmp_path: Path) -> None:
    run = make_run(tmp_path, "run", None)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert gallery_folder(run, {}, elsewhere) == elsewhere
    with pytest.raises(DataError, match="no gallery 'nope'"):
        gallery_folder(run, {}, "nope")
    with pytest.raises(DataError, match="no gallery 'gone'"):
        gallery_folder(run, {"default_gallery": "gone"})

"""What goes wrong outside of geoloc is one line and exit code 2, never a traceback."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from geoloc.cli import main
from geoloc.cli.query import _files, _truths  # pyright: ignore[reportPrivateUsage]
from geoloc.errors import DataError
from geoloc.inference import Answer, Basis


def test_a_name_too_long_is_passed_on_to_be_refused(tmp_path: Path) -> None:
    endless = tmp_path / ("a" * 5000)
    assert list(_files([endless, tmp_path])) == [endless, tmp_path]


def test_an_error_of_the_system_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file\nwith two lines"
    file.touch()
    assert main(["shards", "verify", str(file / ("a" * 300))]) == 2
    error = capsys.readouterr().err
    assert error.startswith("geoloc: ")
    assert error.count("\n") == 1


def test_an_index_that_is_none_is_refused_before_anything_is_read(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["query", "none.jpg", "--index", "faiss-ivf:cells=3"])
    assert stopped.value.code == 2
    assert "faiss-ivf takes nlist, nprobe, bits, rescore" in capsys.readouterr().err


def test_a_row_of_truth_that_breaks_off(tmp_path: Path) -> None:
    table = tmp_path / "truth.csv"
    table.write_text("file,latitude,longitude\na.jpg\n", encoding="utf-8")
    basis = Basis(
        model="m",
        gallery="g",
        gallery_places=1,
        decoding="argmax",
        calibrated=False,
        protocol="p",
        version="1",
    )
    answer = Answer(
        source="a.jpg",
        places=(),
        apart_km=25.0,
        radii=(),
        countries=(),
        regions=(),
        doubts=(),
        basis=basis,
    )
    with pytest.raises(DataError, match="a CSV with file, latitude and longitude"):
        _truths(table, [answer])


def test_names_that_are_no_unicode_can_be_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", out)
    assert main(["config", "no-such\udcff.yaml"]) == 2
    print('"\udcff"', file=out, flush=True)
    assert out.buffer.getvalue() == b'"\\udcff"\n'  # type: ignore[attr-defined]


def test_a_negative_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["shards", "make", "earth-tiles", "--out", str(tmp_path / "out"), "--seed", "-1"]
    assert main(command) == 2
    assert "seed must be at least 0" in capsys.readouterr().err

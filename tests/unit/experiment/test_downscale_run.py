"""The smoke configuration through the command line, from its file to its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from geoloc.cli import main

CONFIG = Path(__file__).parents[3] / "configs" / "smoke" / "downscaling.yaml"
METHODS = [
    *("bicubic", "plain U-Net", "diffusion, one draw"),
    *("diffusion, mean of draws", "diffusion, steps apart"),
]


def test_the_smoke_configuration_runs_and_tells_all_it_judged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["downscale", str(CONFIG), "--out", str(tmp_path)]) == 0
    table = (tmp_path / "table.txt").read_text()
    assert capsys.readouterr().out.startswith(table.rstrip("\n"))
    rows = table.splitlines()
    assert [row.split("  ")[0] for row in rows[1:6]] == METHODS
    result = json.loads((tmp_path / "result.json").read_text())
    assert list(result["methods"]) == METHODS
    assert result["provenance"]["seed"] == 0
    assert result["shapes"]["test"] == [1, 8, 24, 24]
    bicubic = result["methods"]["bicubic"]
    assert f"{bicubic['r2']:.4f}" in rows[1]
    assert 0.5 < bicubic["r2"] < 0.9
    assert len(bicubic["rmse_by_step"]) == len(result["truth"]["acf"]) == 8
    # bicubic fields are smoother than the truth at every lag
    rough, smooth = result["truth"]["semivariance"], bicubic["structure"]["semivariance"]
    assert all(one < other for one, other in zip(smooth, rough, strict=True))
    assert (tmp_path / "downscaling.png").stat().st_size > 20_000


def test_impossible_settings_end_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["downscale", str(CONFIG), "networks.tiles=8", "--out", str(tmp_path)]) == 2
    assert "did you mean networks.tile?" in capsys.readouterr().err
    assert main(["downscale", str(CONFIG), "networks.tile=32", "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[-1] == "geoloc: a tile of 32 cells does not fit a field of 24 by 24"
    # told before anything is learnt
    assert said[:-1] == ["fields"]
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert main(["downscale", str(CONFIG), "--out", str(taken)]) == 2
    assert capsys.readouterr().err == f"geoloc: {taken}: File exists\n"


def test_a_gpu_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert main(["downscale", str(CONFIG), "device=cuda", "--out", str(tmp_path)]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert told == "geoloc: device cuda: torch sees no GPU here; use cpu or auto"

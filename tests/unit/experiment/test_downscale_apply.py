"""A downscaler that was kept, applied to coarse fields in files."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from geoloc.cli import main
from geoloc.data.packaged_fields import read_field
from geoloc.downscaling import coarsen, load_downscaler
from geoloc.experiment import downscale_apply
from geoloc.experiment.downscaling_fields import DownscalingFields

CONFIG = Path(__file__).parents[3] / "configs" / "smoke" / "downscaling.yaml"
NETWORKS = [
    *("networks.factor=2", "networks.tile=8", "networks.stride=4", "networks.steps=3"),
    *("networks.encoder_steps=3", "judge.pairs=500"),
]


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen steps of 12 by 20 cells from south to north, across the antimeridian."""
    generator = np.random.default_rng(0)
    rows, columns = np.arange(12.0), np.arange(20.0)
    wave = np.sin(rows[:, None] / 3.0) + np.cos(columns / 4.0) + rows[:, None]
    values = wave + 0.3 * generator.normal(size=(16, 12, 20))
    # a step without any variation in space, such as a dry day
    values[14] = 2.0
    path = tmp_path_factory.mktemp("fields") / "fine.npz"
    np.savez(
        path,
        values=values.astype(np.float32),
        latitude_deg=10.0 + rows,
        longitude_deg=170.0 + columns,
        time_day=np.arange(16.0),
        name="wave",
        unit="mm",
    )
    return path


@pytest.fixture(scope="module")
def run(source: Path) -> Path:
    """A run on the field, of anomalies."""
    out = source.parent / "run"
    words = [
        *(f"source={source}", "real.fine_steps=8", "real.test_steps=5", "real.anomalies=true"),
        *NETWORKS,
    ]
    assert main(["downscale", str(CONFIG), *words, "--out", str(out)]) == 0
    return out


def coarse_of(source: Path, path: Path, **changed: Any) -> Path:
    """The last five steps of the field, coarse."""
    field = read_field(str(source))
    values = coarsen(torch.from_numpy(field.values[11:]), 2).numpy()
    arrays = {
        "values": values,
        "latitude_deg": field.latitude_deg.reshape(-1, 2).mean(axis=1),
        "longitude_deg": field.longitude_deg.reshape(-1, 2).mean(axis=1),
        "time_day": field.time_day[11:],
        "unit": "mm",
    }
    np.savez(path, **(arrays | changed))
    return path


def applied(model: Path, coarse: Path, out: Path, *words: str) -> dict[str, np.ndarray]:
    told = ["--model", str(model), "--coarse", str(coarse), "--out", str(out), *words]
    assert main(["downscale", *told]) == 0
    with np.load(out) as stored:
        return dict(stored)


def test_the_fields_of_a_run_are_written_with_their_places(run: Path, source: Path) -> None:
    with np.load(run / "fields.npz") as stored:
        fields = dict(stored)
    field = read_field(str(source))
    assert np.array_equal(fields["latitude_deg"], field.latitude_deg[None])
    assert np.array_equal(fields["longitude_deg"], field.longitude_deg[None])
    assert np.array_equal(fields["time_day"], field.time_day[None, 11:])
    assert np.allclose(fields["truth"][0] + fields["mean"], field.values[11:], atol=1e-5)
    assert np.allclose(fields["mean"], field.values[3:11].mean(axis=0), atol=1e-5)
    assert fields["draws"].shape == (2, 1, 5, 12, 20)
    for name in ("bicubic", "plain_unet", "draws_apart"):
        assert fields[name].shape == fields["truth"].shape == (1, 5, 12, 20)
    rmse = float(np.sqrt(np.mean((fields["plain_unet"] - fields["truth"]) ** 2)))
    result = json.loads((run / "result.json").read_text())
    assert result["methods"]["plain U-Net"]["rmse"] == pytest.approx(rmse, rel=1e-5)


def test_a_kept_downscaler_draws_what_it_drew_in_the_run(
    run: Path, source: Path, tmp_path: Path
) -> None:
    coarse = coarse_of(source, tmp_path / "coarse.npz")
    with np.load(run / "fields.npz") as stored:
        fields = dict(stored)
    found = applied(run / "diffusion", coarse, tmp_path / "a.npz", "--members", "2")
    assert np.allclose(found["members"], fields["draws"][:, 0] + fields["mean"], atol=1e-4)
    assert np.array_equal(found["values"], found["members"][0])
    again = applied(run / "diffusion", coarse, tmp_path / "b.npz", "--members", "2")
    assert np.array_equal(again["members"], found["members"])
    other = applied(run / "diffusion", coarse, tmp_path / "c.npz", "--seed", "1")
    assert not np.allclose(other["values"], found["values"])
    plain = applied(run / "regression", coarse, tmp_path / "d.npz")
    assert np.allclose(plain["values"], fields["plain_unet"][0] + fields["mean"], atol=1e-4)
    # the file is a field, whose cells are those of the fine one
    field, fine = read_field(str(tmp_path / "a.npz")), read_field(str(source))
    assert np.allclose(field.latitude_deg, fine.latitude_deg)
    assert np.allclose(field.longitude_deg, fine.longitude_deg)
    assert (field.unit, len(field.time_day)) == ("mm", 5)


@pytest.mark.parametrize("name", ["diffusion", "regression"])
def test_rows_may_run_the_other_way(run: Path, source: Path, tmp_path: Path, name: str) -> None:
    south = applied(run / name, coarse_of(source, tmp_path / "s.npz"), tmp_path / "a.npz")
    with np.load(tmp_path / "s.npz") as stored:
        upside_down = {
            "values": stored["values"][:, ::-1],
            "latitude_deg": stored["latitude_deg"][::-1],
        }
    north = coarse_of(source, tmp_path / "n.npz", **upside_down)
    found = applied(run / name, north, tmp_path / "b.npz")
    assert np.array_equal(found["values"][:, ::-1], south["values"])
    assert np.allclose(found["latitude_deg"][::-1], south["latitude_deg"])


def test_a_dry_day_in_the_test_ends_in_a_result(source: Path, tmp_path: Path) -> None:
    words = [f"source={source}", "real.fine_steps=8", "real.test_steps=5", *NETWORKS]
    assert main(["downscale", str(CONFIG), *words, "--out", str(tmp_path)]) == 0
    result = json.loads((tmp_path / "result.json").read_text())
    spread = result["methods"]["bicubic"]["spread_by_step"]
    assert [number for number, each in enumerate(spread) if each is None] == [3]
    assert "nan" not in (tmp_path / "table.txt").read_text().splitlines()[8]


@pytest.mark.parametrize(
    ("changed", "words", "told"),
    [
        ({"values": np.full((5, 6, 10), np.nan, np.float32)}, [], "300 values are missing"),
        ({"unit": "K"}, [], "is in K, and the downscaler has learnt from mm"),
        ({"longitude_deg": 30.0 + 2.0 * np.arange(10)}, [], "on the grid it learnt from"),
        ({}, ["--members", "0"], "one at least is drawn"),
    ],
)
def test_what_cannot_be_downscaled_is_told_in_one_line(
    run: Path,
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    changed: dict[str, Any],
    words: list[str],
    told: str,
) -> None:
    coarse = coarse_of(source, tmp_path / "coarse.npz", **changed)
    model = ["--model", str(run / "diffusion"), "--coarse", str(coarse)]
    assert main(["downscale", *model, "--out", str(tmp_path / "out.npz"), *words]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "out.npz").exists()


def test_a_mean_that_is_torn_is_told_in_one_line(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(run / "diffusion", tmp_path / "model"))
    (model / "mean.npz").write_bytes((run / "diffusion" / "mean.npz").read_bytes()[:-30])
    words = ["--model", str(model), "--coarse", str(coarse_of(source, tmp_path / "coarse.npz"))]
    assert main(["downscale", *words, "--out", str(tmp_path / "out.npz")]) == 2
    assert "mean.npz cannot be read" in capsys.readouterr().err.splitlines()[-1]


def test_a_note_of_the_field_that_lacks_a_key_is_told_in_one_line(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = Path(shutil.copytree(run / "diffusion", tmp_path / "model"))
    about = json.loads((model / "field.json").read_text())
    del about["south_first"]
    (model / "field.json").write_text(json.dumps(about))
    words = ["--model", str(model), "--coarse", str(coarse_of(source, tmp_path / "coarse.npz"))]
    assert main(["downscale", *words, "--out", str(tmp_path / "out.npz")]) == 2
    assert "south_first missing" in capsys.readouterr().err.splitlines()[-1]


def test_an_older_field_is_not_told_of_a_downscaler_that_came_half_way(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = Path(shutil.copytree(run / "regression", tmp_path / "model"))
    kept = load_downscaler(model)
    values = torch.zeros(1, 1, 2, 2)
    told = {"coarse": values, "fine": values, "test": values}
    fields = DownscalingFields(name="other", unit="K", source="", **told)

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(downscale_apply, "write_json", full)
    with pytest.raises(OSError, match="no space"):
        downscale_apply.keep_downscaler(kept, fields, model, {})
    assert not (model / "field.json").exists()


def test_a_name_that_is_no_npz_is_refused_before_anything_is_drawn(
    run: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    coarse = coarse_of(source, tmp_path / "coarse.npz")
    model = ["--model", str(run / "diffusion"), "--coarse", str(coarse)]
    assert main(["downscale", *model, "--out", str(tmp_path / "out.nc")]) == 2
    assert "out.nc: fields are written as .npz" in capsys.readouterr().err.splitlines()[-1]
    assert "steps of" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name a configuration, or --model and --coarse"),
        (["--model", "nowhere"], "name a configuration, or --model and --coarse"),
        (["--model", "nowhere", "--coarse", "c.npz"], "there is no downscaler"),
        ([str(CONFIG), "--coarse", "c.npz"], "go without a configuration"),
        ([str(CONFIG), "--seed", "1"], "write judge.members=, seed= and device="),
    ],
)
def test_commands_that_say_too_little_or_too_much(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], told: str
) -> None:
    assert main(["downscale", *words, "--out", str(tmp_path / "out.npz")]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]

from __future__ import annotations

import dataclasses
import importlib.util
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from geoloc.cli import main
from geoloc.errors import ConfigError
from geoloc.experiment import spacetime_data
from geoloc.experiment.loading import load_section
from geoloc.experiment.spacetime_data import space_time_data
from geoloc.experiment.spacetime_methods import FULL, KRIGING, LIMIT, PLAIN, SEVERAL, lag_bins
from geoloc.experiment.spacetime_run import run_space_time
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.geodesy import great_circle_km

SMOKE = Path(__file__).parents[3] / "configs" / "smoke" / "spacetime.yaml"
needs_fields = pytest.mark.skipif(
    importlib.util.find_spec("iris_sample_data") is None, reason="the fields extra is missing"
)


def config(*words, path=SMOKE):
    return load_section(path, words, SpaceTimeConfig)


@pytest.fixture
def grid(tmp_path):
    """A field in a file: a wave from west to east over four rows."""
    longitude = np.arange(0.0, 40.0, 2.0)
    time = np.arange(12.0)
    wave = np.sin(longitude[None, None] / 8.0 + time[:, None, None] / 3.0)
    path = tmp_path / "wave.npz"
    np.savez(
        path,
        values=np.repeat(280.0 + wave, 4, axis=1).astype(np.float32),
        latitude_deg=np.array([10.0, 12.0, 14.0, 16.0]),
        longitude_deg=longitude,
        time_day=30.0 * time,
        name="wave",
        unit="K",
    )
    return path


def test_the_smoke_run_through_the_command(tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["spacetime", str(SMOKE), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "240 stations, 80 places held out, 60 steps" in printed
    result = json.loads((out / "result.json").read_text())
    rows = {row["name"]: row for row in result["methods"]}
    assert result["components"] == 4
    assert rows[FULL]["mae"] < rows[SEVERAL]["mae"] < rows[PLAIN]["mae"]
    assert rows[LIMIT]["mae"] < rows[FULL]["mae"]
    assert rows[FULL]["signal_rmse"] < rows[FULL]["rmse"]
    assert 0.8 < rows[FULL]["coverage"] < 0.99
    assert rows[KRIGING]["mae"] < 0.2
    assert result["provenance"]["seed"] == 0
    assert (out / "spacetime.png").read_bytes().startswith(b"\x89PNG")


@needs_fields
def test_the_smoke_run_of_the_temperature(tmp_path, capsys):
    words = [str(SMOKE.with_name("spacetime_temperature.yaml")), "network.epochs=8"]
    assert main(["spacetime", *words, "--out", str(tmp_path)]) == 0
    assert "120 stations, 100 places held out, 240 steps" in capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    rows = {row["name"]: row for row in result["methods"]}
    assert rows[FULL]["mae"] < rows[SEVERAL]["mae"]
    assert rows[FULL]["signal_rmse"] is None
    assert result["unit"] == "K"


def test_stations_and_places_held_out_are_cells_of_the_field(grid):
    data = space_time_data(config(f"field={grid}", "stations=30", "held_out=20"))
    assert (len(data.stations), len(data.held_out)) == (30, 20)
    assert (data.name, data.unit, len(data.time_day)) == ("wave", "K", 12)
    places = torch.cat([data.stations.sites.places, data.held_out.sites.places]).numpy()
    assert len({tuple(place) for place in places.tolist()}) == 50
    for place, series in zip(places[30:], data.held_out.values.numpy(), strict=True):
        expected = 280.0 + np.sin(place[1] / 8.0 + np.arange(12.0) / 3.0)
        np.testing.assert_allclose(series, expected, atol=1e-4)


def test_held_out_places_are_all_that_are_left_at_most(grid):
    data = space_time_data(config(f"field={grid}", "stations=50", "held_out=1000"))
    assert len(data.held_out) == 30
    with pytest.raises(ConfigError, match="80 stations of 80"):
        space_time_data(config(f"field={grid}", "stations=80"))


@pytest.fixture
def table(tmp_path):
    """60 stations over 25 days; some values missing, one day without any, one station too."""
    chance = np.random.default_rng(0)
    places = chance.uniform([40.0, -5.0], [50.0, 8.0], size=(60, 2)).round(3)
    rows = []
    for number, (latitude, longitude) in enumerate(places):
        for day in range(25):
            value = 10.0 + (latitude - 45.0) * np.sin(day / 4.0) + longitude * np.cos(day / 6.0)
            missing = day == 9 or number == 3 or chance.random() < 0.1
            date = np.datetime64("2020-02-20") + day
            rows.append((latitude, longitude, date, "" if missing else f"{value:.6f}"))
    frame = pd.DataFrame(rows, columns=["lat", "lon", "date", "pm25"])
    path = tmp_path / "pm25.csv"
    frame.to_csv(path, index=False)
    return path


OF_TABLE = (
    "column=pm25",
    "time=date",
    "unit=ug/m3",
    "stations=40",
    "held_out=15",
    "network.epochs=4",
    "residuals.max_lag_km=null",
)


def test_stations_of_a_table_may_have_gaps(table):
    data = space_time_data(config(f"field={table}", *OF_TABLE))
    assert (len(data.stations), len(data.held_out)) == (40, 15)
    # the day that nothing was measured on is none
    assert data.stations.values.shape[1] == len(data.time_day) == 24
    assert data.dated
    assert (data.name, data.unit) == ("pm25", "ug/m3")
    assert 0.05 < data.missing < 0.15
    assert 0.05 < 1.0 - float(data.measured.double().mean()) < 0.15
    days = data.time_day - data.time_day[0]
    assert days.tolist() == [day for day in range(25) if day != 9]
    for stations in (data.stations, data.held_out):
        latitude, longitude = stations.sites.places.numpy().T[:, :, None]
        truth = 10.0 + (latitude - 45.0) * np.sin(days / 4.0) + longitude * np.cos(days / 6.0)
        wrong = np.abs(stations.values.numpy() - truth)
        assert float(wrong.max()) < 2.0
        assert 0.85 < (wrong < 1e-5).mean() < 0.97
    assert bool((wrong[data.measured.numpy()] < 1e-5).all())


def test_what_was_not_measured_at_places_held_out_is_never_judged(table, tmp_path, monkeypatch):
    out = [tmp_path / "one", tmp_path / "other"]
    words = ("field=" + str(table), "network.trunk=dense", *OF_TABLE)
    rows = [run_space_time(config(*words), out=out[0], say=print).rows]
    whole = spacetime_data._lines
    monkeypatch.setattr(
        spacetime_data, "_lines", lambda truth: torch.where(torch.isnan(truth), 1e6, whole(truth))
    )
    rows.append(run_space_time(config(*words), out=out[1], say=print).rows)
    for one, other in zip(*rows, strict=True):
        if one.name != LIMIT:
            assert dataclasses.replace(one, seconds=0.0) == dataclasses.replace(other, seconds=0.0)


def test_cells_without_a_value_are_passed_over(grid, tmp_path):
    with np.load(grid) as stored:
        arrays = dict(stored)
    arrays["values"][:, 0, :] = np.nan
    np.savez(tmp_path / "coast.npz", **arrays)
    data = space_time_data(config(f"field={tmp_path / 'coast.npz'}", "stations=50"))
    assert (len(data.stations), len(data.held_out)) == (50, 10)
    assert float(data.held_out.sites.places[:, 0].min()) == 12.0
    assert data.filled_by == 0


def test_places_of_ones_own_are_predicted_by_the_model_that_was_kept(table, tmp_path, capsys):
    run, asked = tmp_path / "run", tmp_path / "asked.csv"
    config_file = tmp_path / "mine.yaml"
    config_file.write_text("name: mine\nnetwork: {hidden: [20]}\n")
    words = [f"field={table}", *OF_TABLE]
    assert main(["spacetime", str(config_file), *words, "--out", str(run)]) == 0
    held_out = pd.read_parquet(run / "predictions.parquet")
    assert len(held_out) == 15 * 24
    assert held_out["truth"].isna().sum() > 10
    places = held_out.groupby("place", sort=False)[["latitude", "longitude"]].first()
    places.assign(id=[f"town {n}" for n in range(15)]).to_csv(asked, index=False)
    for name in ("found.parquet", "found.csv"):
        model = ["--model", str(run / "model"), "--places", str(asked)]
        assert main(["spacetime", *model, "--out", str(tmp_path / name)]) == 0
        assert "15 places, 24 steps" in capsys.readouterr().out
        read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
        found = read(tmp_path / name)
        assert found["place"].unique().tolist() == [f"town {n}" for n in range(15)]
        assert found["time"].unique()[[0, 8, 9]].tolist() == [
            *("2020-02-20", "2020-02-28", "2020-03-01")
        ]
        for column in ("value", "variance", "network"):
            assert np.array_equal(found[column], held_out[column])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "name a configuration, or --model and --places"),
        (["--model", "run/model"], "name a configuration, or --model and --places"),
        ([str(SMOKE), "--places", "asked.csv"], "go without a configuration"),
        (["--model", "run/model", "--places", "asked.csv"], "there is no space-time model"),
        ([str(SMOKE), "field=nowhere.csv"], "nowhere.csv: there is no such table"),
        ([str(SMOKE), "residuals.max_lag_km=0.01"], "0.01 km: raise residuals.max_lag_km"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(tmp_path, capsys, monkeypatch, words, told):
    monkeypatch.chdir(tmp_path)
    assert main(["spacetime", *words, "--out", "out.csv"]) == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_model_of_a_plane_knows_no_latitudes(tmp_path, capsys):
    words = [str(SMOKE), "network.epochs=2", "stations=40", "held_out=10", "simulated.steps=12"]
    assert main(["spacetime", *words, "--out", str(tmp_path)]) == 0
    found = pd.read_parquet(tmp_path / "predictions.parquet")
    assert list(found.columns[:4]) == ["place", "x_km", "y_km", "time"]
    (tmp_path / "asked.csv").write_text("latitude,longitude\n1,2\n")
    model = ["--model", str(tmp_path / "model"), "--places", str(tmp_path / "asked.csv")]
    assert main(["spacetime", *model, "--out", str(tmp_path / "found.csv")]) == 2
    assert "a field on a plane" in capsys.readouterr().err


def test_lags_reach_half_way_across_the_stations_by_default(grid):
    tree = config(f"field={grid}", "stations=60", "residuals.max_lag_km=null")
    data = space_time_data(tree)
    places = data.stations.sites.places.numpy()
    longest = max(float(great_circle_km(places, place[None]).max()) for place in places)
    assert lag_bins(tree, data.stations).edges[-1] == pytest.approx(longest / 2.0)


def test_hidden_values_are_filled(grid):
    whole = space_time_data(config(f"field={grid}", "stations=60", "held_out=20"))
    data = space_time_data(
        config(f"field={grid}", "stations=60", "held_out=20", "missing_share=0.2")
    )
    changed = (data.stations.values - whole.stations.values).abs() > 0
    assert 0.1 < float(changed.double().mean()) <= 0.25
    assert data.filled_by >= 2
    assert data.rmse_of_gaps < 0.1
    assert torch.equal(data.held_out.values, whole.held_out.values)


@needs_fields
def test_altitude_is_high_in_the_mountains_and_nothing_at_sea():
    words = ("altitude=true", "field=package:north-america-temperature", "stations=400")
    sites = space_time_data(config(*words)).stations.sites

    def near(latitude, longitude):
        target = np.array([[latitude, longitude]])
        return int(great_circle_km(sites.places.numpy(), target).argmin())

    assert float(sites.covariates[near(39.0, -106.0), 0]) > 1500.0
    assert abs(float(sites.covariates[near(30.0, -60.0), 0])) < 50.0


def test_settings_that_contradict_one_another_are_refused():
    with pytest.raises(ConfigError, match="altitude is known on the Earth"):
        config("altitude=true")
    with pytest.raises(ConfigError, match="keep: count"):
        config("bases.keep=count")
    with pytest.raises(ConfigError, match="keep: count"):
        config("bases.components=3")
    with pytest.raises(ConfigError, match="did you mean network"):
        config("network.trunks=dense")


def test_a_place_that_cannot_be_read_ends_with_one_line(tmp_path, capsys):
    words = ["spacetime", str(SMOKE), "network.trunk=location_encoder", "--out", str(tmp_path)]
    assert main(words) == 2
    assert "geoloc: trunk location_encoder does not read places on a plane" in (
        capsys.readouterr().err
    )


def test_a_file_in_the_place_of_the_folder_is_told_at_once(tmp_path, capsys):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    assert main(["spacetime", str(SMOKE), "--out", str(taken)]) == 2
    assert capsys.readouterr().err == f"geoloc: {taken}: File exists\n"


def test_stations_that_all_measure_the_same_are_told_so(grid, tmp_path, capsys):
    with np.load(grid) as stored:
        arrays = dict(stored)
    arrays["values"][:] = 3.0
    np.savez(tmp_path / "same.npz", **arrays)
    words = [str(SMOKE), f"field={tmp_path / 'same.npz'}", "stations=40", "held_out=20"]
    words += ["residuals.max_lag_km=null", "network.trunk=dense"]
    assert main(["spacetime", *words, "--out", str(tmp_path / "out")]) == 2
    assert "no value varies from sample to sample" in capsys.readouterr().err.splitlines()[-1]

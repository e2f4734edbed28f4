from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from geoloc.cli import main
from geoloc.errors import ConfigError
from geoloc.experiment.loading import load_section
from geoloc.experiment.spacetime_data import space_time_data
from geoloc.experiment.spacetime_methods import FULL, KRIGING, LIMIT, PLAIN, SEVERAL
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

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from geoloc.cli import main
from geoloc.experiment.cluster_data import read_observed
from geoloc.experiment.cluster_schema import ClusterConfig
from geoloc.experiment.loading import load_section
from geoloc.geostatistics import VariogramFit
from geoloc.regions import regime_world

ROOT = Path(__file__).parents[3]
SMOKE = ROOT / "configs" / "smoke" / "mcgta.yaml"


@pytest.fixture
def table(tmp_path):
    places = np.random.default_rng(0).uniform([40, 170], [50, 180], (150, 2))
    features, label = regime_world(
        places, generator=np.random.default_rng(1), regimes=2, patches=2, features=2
    )
    frame = pd.DataFrame(np.hstack([places, 5 + 3 * features]), columns=["lat", "lon", "a", "b"])
    frame["kind"] = np.where(np.arange(150) % 3 == 0, None, np.array(["x", "y"])[label])
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def words(path, *more):
    return [
        *("cluster", str(SMOKE), f"table.path={path}", "table.features=[a,b]"),
        *("table.places=[lat,lon]", "clustering.metric=great_circle", "clustering.unit=km"),
        *more,
    ]


def test_the_smoke_configuration_runs_and_finds_regimes(tmp_path, capsys):
    assert main(["cluster", str(SMOKE), "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["adjusted_rand"] > 0.5
    assert f"{100 * result['adjusted_rand']:.2f} %" in printed
    assert result["labels_judging"] == 320
    assert result["settings_tried"] == 4
    assert VariogramFit.from_json(result["fit"]).partial_sill > 0
    label = pd.read_csv(tmp_path / "labels.csv")["cluster"].to_numpy()
    assert label.max() + 1 == result["clusters"]
    assert (label < 0).mean() == pytest.approx(result["noise_share"])
    with Image.open(tmp_path / "clusters.png") as picture:
        assert picture.size == (1400, 720)


def test_a_table_of_ones_own_on_the_sphere(table, tmp_path):
    out = tmp_path / "out"
    tuning = "tuning.known=40"
    assert main(words(table, "table.label=kind", tuning, "--out", str(out))) == 0
    result = json.loads((out / "result.json").read_text())
    assert result["observations"] == 150
    assert result["labels_judging"] == 60
    assert result["semivariogram"]["metric"] == "great_circle"


def test_what_is_read_of_a_table(table):
    config = load_section(SMOKE, [*words(table)[2:], "tuning=null"], ClusterConfig)
    seen = read_observed(config)
    assert seen.known is None
    assert seen.features.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert seen.places[0].tolist() == pd.read_csv(table)[["lat", "lon"]].to_numpy()[0].tolist()
    raw = load_section(
        SMOKE, [*words(table)[2:], "tuning=null", "table.standardise=false"], ClusterConfig
    )
    assert read_observed(raw).features.mean() == pytest.approx(5.0, abs=1e-6)
    line = [*words(table)[2:4], "tuning=null", "table.label=kind"]
    seen = read_observed(load_section(SMOKE, line, ClusterConfig))
    assert seen.places[:3].tolist() == [[0.0], [1.0], [2.0]]
    assert (seen.known < 0).sum() == 50


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["tuning=null", "table.features=[a,c]"], "has no column c; it has lat, lon, a, b, kind"),
        (["tuning=null", "table.features=[a,kind]"], "holds text"),
        (["table.label=kind", "tuning.known=120"], "100 labels are known"),
        ([], "tuning needs table.label"),
        (["tuning=null", "clustering.unit=day"], "clustering.unit is km or m"),
        (["tuning=null", "table.places=[lat]"], "columns of latitude and longitude"),
        (["tuning=null", "table.path=none.csv"], "there is no table none.csv"),
    ],
)
def test_what_cannot_be_clustered_is_told_in_one_line(table, tmp_path, capsys, more, told):
    assert main(words(table, *more, "--out", str(tmp_path / "out"))) == 2
    error = capsys.readouterr().err
    assert told in error
    assert error.splitlines()[-1].startswith("geoloc: ")


def test_missing_and_constant_values_are_named(table, tmp_path, capsys):
    frame = pd.read_csv(table)
    frame.loc[4, "b"] = np.nan
    frame.to_csv(table, index=False)
    assert main(words(table, "tuning=null", "--out", str(tmp_path / "out"))) == 2
    assert "row 5 has no finite b" in capsys.readouterr().err
    # the standard deviation of equal tenths need not be 0
    frame["a"], frame["b"] = 0.1, 0.3
    frame.to_csv(table, index=False)
    assert main(words(table, "tuning=null", "--out", str(tmp_path / "out"))) == 2
    assert "column a is constant" in capsys.readouterr().err


def test_a_table_without_rows_and_one_of_times_are_refused(table, tmp_path, capsys):
    frame = pd.read_csv(table)
    frame.iloc[:0].to_csv(table, index=False)
    assert main(words(table, "tuning=null", "--out", str(tmp_path / "out"))) == 2
    assert "has no rows" in capsys.readouterr().err
    frame["a"] = pd.date_range("2020-01-01", periods=len(frame))
    frame.to_parquet(tmp_path / "times.parquet")
    given = words(tmp_path / "times.parquet", "tuning=null", "--out", str(tmp_path / "out"))
    assert main(given) == 2
    assert "column a holds times" in capsys.readouterr().err

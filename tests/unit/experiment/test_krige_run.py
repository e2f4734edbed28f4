from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from geoloc.cli import main
from geoloc.data.packaged_fields import read_field
from geoloc.errors import ConfigError, DataError
from geoloc.experiment import krige_picture, krige_run
from geoloc.experiment.krige_curve import fit_curve
from geoloc.experiment.krige_data import PlacedValues, read_krige_data
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.experiment.krige_targets import find_targets
from geoloc.experiment.krige_validation import krige_folds, krige_method, krige_scores
from geoloc.experiment.loading import section_of
from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km
from geoloc.geostatistics import (
    KrigedSteps,
    gaussian_field,
    given_variogram,
    leave_one_out_by_step,
    ordinary_kriging,
)
from geoloc.viz import KrigedPicture

SMOKE = Path(__file__).parents[3] / "configs" / "smoke" / "kriging.yaml"
GIVEN = ("variogram.given={model: exponential, partial_sill: 2.0, scale: 90.0, nugget: 0.3}",)
MODEL = given_variogram("exponential", nugget=0.3, partial_sill=2.0, scale=90.0)


def config(source: Path, *words: str, column: str = "pm25") -> KrigeConfig:
    return section_of({"source": str(source), "column": column}, words, KrigeConfig)


def stations(count: int = 40, seed: int = 0) -> pd.DataFrame:
    generator = np.random.default_rng(seed)
    places = np.round(np.array([28.0, 77.0]) + generator.uniform(-2, 2, (count, 2)), 5)
    chance = torch.Generator().manual_seed(seed)
    field = gaussian_field(places, MODEL.covariance, generator=chance)[0, :, 0].numpy()
    return pd.DataFrame(
        {"id": range(count), "lat": places[:, 0], "lon": places[:, 1], "pm25": 50.0 + field}
    )


@pytest.fixture
def pictures(monkeypatch: pytest.MonkeyPatch) -> list[KrigedPicture]:
    """The pictures of runs as they would be drawn: drawing takes longer than all the rest."""
    shown: list[KrigedPicture] = []
    monkeypatch.setattr(krige_picture, "draw_kriged", lambda picture, _: shown.append(picture))
    monkeypatch.setattr(krige_run, "draw_variogram", lambda *_, **__: None)
    return shown


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


def result_of(out: Path) -> dict[str, Any]:
    return json.loads((out / "result.json").read_text())


@pytest.mark.usefixtures("pictures")
def test_estimates_at_places_of_a_table_are_those_of_pykrige(tmp_path: Path) -> None:
    from pykrige.ok import OrdinaryKriging

    frame, asked = stations(), stations(9, seed=1).drop(columns="pm25")
    asked.loc[0, ["lat", "lon"]] = frame.loc[3, ["lat", "lon"]]
    source, targets = written(frame, tmp_path / "s.csv"), written(asked, tmp_path / "t.csv")
    out = tmp_path / "out"
    words = ("column=pm25", f"targets={targets}", "variogram.lag_metric=great_circle", *GIVEN)
    assert main(["krige", str(source), *words, "--out", str(out)]) == 0
    found = pd.read_csv(out / "kriged.csv")
    length = 90.0 / EARTH_RADIUS_KM * 180.0 / np.pi
    theirs = OrdinaryKriging(
        frame["lon"],
        frame["lat"],
        frame["pm25"],
        variogram_model="exponential",
        variogram_parameters={"psill": 2.0, "range": 3.0 * length, "nugget": 0.3},
        coordinates_type="geographic",
        exact_values=True,
    )
    value, variance = theirs.execute("points", asked["lon"], asked["lat"])
    assert found["estimate"].to_numpy() == pytest.approx(np.asarray(value), abs=1e-6)
    assert found["standard_error"].to_numpy() ** 2 == pytest.approx(np.asarray(variance), abs=1e-6)
    # exact at a station, and every row of the table in its order with its own columns
    assert found["estimate"][0] == pytest.approx(frame["pm25"][3])
    assert found["standard_error"][0] == pytest.approx(0.0, abs=1e-6)
    assert found["id"].tolist() == list(range(9))
    assert found["data"].tolist() == [40] * 9


def test_the_grid_is_a_field_that_geoloc_reads_again(tmp_path: Path) -> None:
    frame = stations()
    source, out = written(frame, tmp_path / "s.csv"), tmp_path / "out"
    words = ["column=pm25", "grid.step=0.25", "grid.south=26", "grid.north=30", *GIVEN]
    assert main(["krige", str(source), *words, "--out", str(out)]) == 0
    field = read_field(str(out / "kriged.npz"))
    assert field.latitude_deg.tolist() == pytest.approx(np.arange(26.125, 30.0, 0.25).tolist())
    kriged = ordinary_kriging(
        frame[["lat", "lon"]].to_numpy(), frame["pm25"].to_numpy(), field.latlon_deg(), MODEL
    )
    assert field.series()[0] == pytest.approx(kriged.value.numpy(), rel=1e-5)
    stored = np.load(out / "kriged.npz")
    errors = kriged.variance.sqrt().numpy()
    assert stored["standard_error"].ravel() == pytest.approx(errors, abs=1e-9)
    assert stored["data"].tolist() == [40]
    result = result_of(out)
    assert result["provenance"]["config"]["grid"]["step"] == 0.25
    assert result["provenance"]["versions"]["geoloc"]
    assert set(result["scores"]) == {"leave_one_out", "blocks"}
    assert all((out / name).is_file() for name in result["files"])


@pytest.mark.usefixtures("pictures")
def test_scores_of_leaving_one_out_are_those_of_a_loop(tmp_path: Path) -> None:
    frame = stations()
    source, out = written(frame, tmp_path / "s.csv"), tmp_path / "out"
    words = ["column=pm25", "grid.step=2.0", "validation.folds=0", *GIVEN]
    assert main(["krige", str(source), *words, "--out", str(out)]) == 0
    places, value = frame[["lat", "lon"]].to_numpy(), frame["pm25"].to_numpy()
    error, variance = np.empty(40), np.empty(40)
    for row in range(40):
        others = np.arange(40) != row
        alone = ordinary_kriging(places[others], value[others], places[row : row + 1], MODEL)
        error[row], variance[row] = float(alone.value[0]) - value[row], float(alone.variance[0])
    told = result_of(out)["scores"]["leave_one_out"]
    assert told["rmse"] == pytest.approx(float(np.sqrt((error**2).mean())))
    assert told["mean_error"] == pytest.approx(float(error.mean()))
    assert told["pearson"] == pytest.approx(np.corrcoef(value + error, value)[0, 1])
    assert told["standardised_variance"] == pytest.approx(float((error**2 / variance).mean()))
    inside = np.abs(error) <= 1.6448536269514722 * np.sqrt(variance)
    assert told["coverage"] == pytest.approx(float(inside.mean()))
    rows = pd.read_csv(out / "validation.csv").sort_values("measured")
    assert rows["leave_one_out_estimate"].to_numpy() == pytest.approx(
        (value + error)[np.argsort(value)]
    )


def test_a_fold_is_kriged_and_fitted_without_its_blocks(tmp_path: Path) -> None:
    source = written(stations(60), tmp_path / "s.csv")
    asked = config(source, "validation.folds=3", "variogram.models=[exponential]")
    data = read_krige_data(asked)
    found, fold = krige_folds(asked, data.stations, block=60.0)
    for number in range(3):
        out = fold == number
        known = PlacedValues(places=data.stations.places[~out], value=data.stations.value[~out])
        fit = fit_curve(known, asked).fit
        alone = ordinary_kriging(known.places, known.value[:, 0], data.stations.places[out], fit)
        assert found.value[out, 0] == pytest.approx(alone.value.numpy())
        assert found.variance[out, 0] == pytest.approx(alone.variance.numpy())
    # blocks are whole: what is left out has nothing of its own block among the stations
    from geoloc.evaluation import spatial_blocks

    block = spatial_blocks(data.stations.places, block_km=60.0)
    assert all(len(set(fold[block == each])) == 1 for each in np.unique(block))
    assert np.ptp(np.bincount(fold)) < 12
    with pytest.raises(DataError, match="one block of"):
        krige_folds(asked, data.stations, block=25_000.0)


def test_a_trend_with_a_little_noise_is_kriged_without_going_wild(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    places = np.array([28.0, 77.0]) + generator.uniform(-2, 2, (80, 2))
    trend = (places - np.array([28.0, 77.0])) @ np.array([10.0, 3.0])
    known = PlacedValues(places=places, value=(trend + 0.1 * generator.normal(size=80))[:, None])
    asked = config(tmp_path / "s.csv")
    method = krige_method(asked, fit_curve(known, asked))
    left_out = leave_one_out_by_step(known.places, known.value, method)
    found = krige_scores(left_out, known.value)
    assert found.rmse < 0.2
    assert found.coverage > 0.9


def test_told_intervals_hold_for_fields_of_the_model_that_is_told() -> None:
    generator = np.random.default_rng(4)
    error = generator.normal(size=(4000, 1)) * 3.0
    truth = generator.normal(size=(4000, 1))
    kriged = KrigedSteps(value=truth + error, variance=np.full((4000, 1), 5.0), data=np.array([9]))
    found = krige_scores(kriged, truth, noise=4.0)
    assert found.standardised_variance == pytest.approx(1.0, abs=0.05)
    assert found.coverage == pytest.approx(0.9, abs=0.015)
    narrow = krige_scores(kriged, truth)
    assert narrow.standardised_variance == pytest.approx(1.8, abs=0.1)
    assert narrow.coverage < 0.8


def test_each_time_is_kriged_from_what_was_measured_then(
    tmp_path: Path, pictures: list[KrigedPicture]
) -> None:
    first, second = stations(12), stations(12, seed=0)
    second["pm25"] += 100.0
    second.loc[:3, "pm25"] = np.nan
    frame = pd.concat([first.assign(day="2024-02-28"), second.assign(day="2024-02-29")])
    source = written(frame, tmp_path / "s.csv")
    asked = pd.DataFrame(
        {"lat": [28.1, 28.1, 28.1], "lon": [77.1] * 3, "pm25": [50.0, 150.0, np.nan]}
    )
    asked["day"] = ["2024-02-29", "2024-02-28", "2024-03-09"]
    targets, out = written(asked, tmp_path / "t.csv"), tmp_path / "out"
    words = ["column=pm25", "time=day", *GIVEN, f"targets={targets}"]
    assert main(["krige", str(source), *words, "--out", str(out)]) == 0
    own = pd.read_csv(out / "kriged.csv")
    assert own["data"].tolist() == [8, 12, 0]
    assert own["estimate"][0] == pytest.approx(own["estimate"][1] + 100.0, abs=5.0)
    assert np.isnan(own["estimate"][2])
    # without times of its own a table is asked for at every one
    written(asked.drop(columns="day"), targets)
    assert main(["krige", str(source), *words, "write=parquet", "--out", str(out)]) == 0
    every = pd.read_parquet(out / "kriged.parquet")
    assert every["day"].tolist() == ["2024-02-28"] * 3 + ["2024-02-29"] * 3
    assert every["estimate"][3] == pytest.approx(own["estimate"][0])
    assert "targets" not in result_of(out)["scores"]
    assert result_of(out)["time"] == ["2024-02-28", "2024-02-29"]
    # the picture is of the time that most stations have
    first_day = every["estimate"][:3].tolist()
    assert pictures[1].estimate.tolist() == pytest.approx(first_day)
    assert "2024-02-28: kriging from 12 stations (of 2 times" in pictures[1].title


@pytest.mark.usefixtures("pictures")
def test_a_table_with_values_checks_where_no_station_stands(tmp_path: Path) -> None:
    everything = stations(40)
    source = written(everything[:30], tmp_path / "s.csv")
    targets, out = written(everything, tmp_path / "t.csv"), tmp_path / "out"
    words = ["column=pm25", *GIVEN, f"targets={targets}", "validation.folds=0"]
    assert main(["krige", str(source), *words, "--out", str(out)]) == 0
    told = result_of(out)["scores"]["targets"]
    places, value = everything[["lat", "lon"]].to_numpy(), everything["pm25"].to_numpy()
    kriged = ordinary_kriging(places[:30], value[:30], places[30:], MODEL).value.numpy()
    assert told["count"] == 10
    assert told["rmse"] == pytest.approx(float(np.sqrt(np.mean((kriged - value[30:]) ** 2))))


@pytest.mark.usefixtures("pictures")
def test_places_of_the_plane(tmp_path: Path, meuse: Any) -> None:
    places, log_zinc = (np.asarray(each) for each in meuse)
    frame = pd.DataFrame({"x": places[:, 0], "y": places[:, 1], "zinc": log_zinc})
    source, out = written(frame, tmp_path / "soil.csv"), tmp_path / "out"
    given = "{model: spherical, partial_sill: 0.59060780221, scale: 897.020909797, "
    given += "nugget: 0.0506624268192}"
    words = ["column=zinc", "metric=euclidean", "lag_unit=m", f"variogram.given={given}"]
    targets = written(pd.DataFrame({"x": [181180.0], "y": [333740.0]}), tmp_path / "t.csv")
    assert main(["krige", str(source), *words, f"targets={targets}", "--out", str(out)]) == 0
    # R's gstat: tests/known_truth/test_gstat_kriging.py
    assert pd.read_csv(out / "kriged.csv")["estimate"][0] == pytest.approx(6.49962408412581)
    assert main(["krige", str(source), *words, "write=csv", "--out", str(out)]) == 0
    grid = pd.read_csv(out / "kriged.csv")
    assert grid[["x", "y"]].drop_duplicates().shape[0] == len(grid)
    assert places[:, 0].min() - 500 < grid["x"].min() < places[:, 0].min()
    assert places[:, 1].max() < grid["y"].max() < places[:, 1].max() + 500


def test_a_number_called_z_is_no_height(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame(generator.uniform(0, 100, (20, 3)), columns=["x", "y", "z"])
    source = written(frame, tmp_path / "s.csv")
    flat = config(source, "metric=euclidean", column="z")
    assert read_krige_data(flat).stations.places.tolist() == sorted(
        frame[["x", "y"]].values.tolist()
    )
    source = written(frame.assign(zinc=1.0 + frame["z"]), tmp_path / "s.csv")
    high = config(source, "metric=euclidean", f"targets={source}", column="zinc")
    data = read_krige_data(high)
    assert data.stations.places.shape == (20, 3)
    assert find_targets(high, data).places.shape == (20, 3)
    # to krige without heights from stations with them would be to krige at sea level
    written(frame[["x", "y"]], tmp_path / "t.csv")
    beside = config(source, "metric=euclidean", f"targets={tmp_path / 't.csv'}", column="zinc")
    with pytest.raises(DataError, match="z stands in one of stations and targets"):
        find_targets(beside, data)


def test_a_box_goes_over_the_antimeridian_and_not_around_the_world(
    tmp_path: Path, pictures: list[KrigedPicture]
) -> None:
    frame = stations(20)
    frame["lon"] = (frame["lon"] + 103.0 + 180.0) % 360.0 - 180.0
    source = written(frame, tmp_path / "fiji.csv")
    asked = config(source)
    targets = find_targets(asked, read_krige_data(asked))
    assert targets.axes is not None
    assert np.ptp(targets.axes[1]) < 4.5
    assert targets.places[:, 1].min() < -179.5
    assert targets.places[:, 1].max() > 179.5
    assert float(great_circle_km(targets.places[0], targets.places[-1])) < 800.0
    out = tmp_path / "out"
    assert main(["krige", str(source), "column=pm25", *GIVEN, "--out", str(out)]) == 0
    assert read_field(str(out / "kriged.npz")).longitude_deg[-1] > 180.0
    assert pictures[0].axes is not None
    assert pictures[0].axes[1][-1] > 180.0
    crossing = config(source, "grid={south: 20, north: 22, west: 179, east: -179, step: 1}")
    found = find_targets(crossing, read_krige_data(asked))
    assert found.places.tolist()[:2] == [[20.5, 179.5], [20.5, -179.5]]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("targets=none.csv",), "no such table"),
        (("grid={south: 80, north: 95}",), "beyond a pole"),
        (("grid={south: 5, north: 4}",), "nothing lies between"),
        (("grid.step=1e-7",), "make it longer"),
        (("grid.step=0.0005",), "make grid.step longer"),
        (("grid.stp=1",), "did you mean grid.step"),
        (("time=day",), "no column 'day'"),
        (("metric=euclidean",), "x and y"),
        (("lag_unit=m",), "lag_unit is of x and y"),
        (("validation.folds=1",), "two at least"),
        (("kriging.neighbours=0",), "neighbours"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], told: str
) -> None:
    source = written(stations(12), tmp_path / "s.csv")
    out = str(tmp_path / "out")
    assert main(["krige", str(source), "column=pm25", *words, "--out", out]) == 2
    complaint = capsys.readouterr().err
    assert told in complaint.splitlines()[-1]
    assert "Traceback" not in complaint


@pytest.mark.usefixtures("pictures")
def test_few_stations(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    for count, code in ((1, 2), (2, 2), (3, 0), (5, 0)):
        source = written(stations(count), tmp_path / "s.csv")
        assert main(["krige", str(source), "column=pm25", "--out", out]) == code
        printed = capsys.readouterr()
        words = "three at least are needed" if code else "too few"
        assert words in (printed.err if code else printed.out)
    flat = stations(8).assign(pm25=5.0)
    source = written(flat, tmp_path / "s.csv")
    assert main(["krige", str(source), "column=pm25", "--out", out]) == 2
    assert "all values are equal" in capsys.readouterr().err
    # one station, with a model that is known: its value everywhere, less sure far away
    source = written(stations(1), tmp_path / "s.csv")
    box = "grid={south: 20, north: 30, west: 70, east: 80, step: 5}"
    words = ["column=pm25", *GIVEN, "kriging.fewest=1", box, "write=csv"]
    assert main(["krige", str(source), *words, "--out", out]) == 0
    found = pd.read_csv(tmp_path / "out" / "kriged.csv")
    assert found["estimate"].tolist() == pytest.approx([stations(1)["pm25"][0]] * 4)


def test_a_table_that_has_the_columns_already_is_refused(tmp_path: Path) -> None:
    source = written(stations(12), tmp_path / "s.csv")
    targets = written(stations(3, seed=1).assign(estimate=1.0), tmp_path / "t.csv")
    with pytest.raises(ConfigError, match="'estimate' is what kriging writes"):
        krige_run.run_krige(config(source, f"targets={targets}"), out=tmp_path / "out", say=print)
    # a field's times are told in a column of that name
    field = tmp_path / "field.npz"
    np.savez(
        field,
        values=np.random.default_rng(0).normal(size=(2, 90, 180)),
        latitude_deg=np.arange(-89.0, 90.0, 2.0),
        longitude_deg=np.arange(-179.0, 180.0, 2.0),
        time_day=np.arange(2.0),
    )
    written(stations(3, seed=1).drop(columns="pm25").assign(time=1.0), targets)
    few = {"source": str(field), "targets": str(targets), "sampled": {"places": 90, "stations": 9}}
    with pytest.raises(ConfigError, match="'time' is what kriging writes"):
        krige_run.run_krige(section_of(few, (), KrigeConfig), out=tmp_path / "out", say=print)


def test_too_few_places_to_compare_with_are_refused_before_anything_is_fitted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("pvlib")
    words = ["sampled.places=60", "sampled.stations=10"]
    assert main(["krige", str(SMOKE), *words, "--out", str(tmp_path / "all")]) == 0
    held_out = result_of(tmp_path / "all")["scores"]["held_out"]["count"]
    # all but two of the places that the field covers
    words = ["sampled.places=60", f"sampled.stations={10 + held_out - 2}"]
    assert main(["krige", str(SMOKE), *words, "--out", str(tmp_path / "few")]) == 2
    assert "3 at least must be left" in capsys.readouterr().err.splitlines()[-1]


def test_the_smoke_settings_know_the_truth_at_other_places(tmp_path: Path) -> None:
    pytest.importorskip("pvlib")
    out = tmp_path / "out"
    assert main(["krige", str(SMOKE), "--out", str(out)]) == 0
    result = result_of(out)
    held_out = result["scores"]["held_out"]
    assert held_out["count"] > 150
    assert held_out["rmse"] < result["standard_deviation"]
    assert (out / "kriged.png").stat().st_size > 50_000

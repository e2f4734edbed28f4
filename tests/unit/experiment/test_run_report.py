"""The page of a run, and of several runs: what evaluations left behind, told whole or refused."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from geoloc.cli import main
from geoloc.errors import ConfigError, DataError
from geoloc.evaluation import (
    EvaluationReport,
    ReportRow,
    reports_json,
    score_predictions,
    write_predictions,
)
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.run_report import write_run_report
from geoloc.experiment.runs_report import write_runs_report
from geoloc.places import Areas

GALLERIES = ("training-places", "even-land")


def quiet(_line):
    pass


def predictions(count=150, *, seed=0, off_deg=2.0):
    """Answers near true places on land."""
    generator = np.random.default_rng(seed)
    true = Areas.load().even_land_points(4 * count)[::4][:count]
    guess = true + generator.normal(0.0, off_deg, true.shape)
    return pd.DataFrame(
        {
            "key": [str(number) for number in range(len(true))],
            "true_lat_deg": true[:, 0],
            "true_lon_deg": true[:, 1],
            "pred_lat_deg": np.clip(guess[:, 0], -90.0, 90.0),
            "pred_lon_deg": (guess[:, 1] + 180.0) % 360.0 - 180.0,
        }
    )


def evaluated(folder, frames, *, galleries=GALLERIES):
    """A folder of evaluations as `geoloc evaluate` leaves it, without its pictures."""
    for split, frame in frames.items():
        for gallery in galleries:
            write_predictions(frame, folder / split / gallery / "predictions.parquet")
        scores = score_predictions(frame, "osv5m-clean", resamples=0)
        rows = [ReportRow(name=name, kind="gallery", scores=scores) for name in galleries]
        report = EvaluationReport(split=split, rows=rows, model_fingerprint="m")
        (folder / split / "report.json").write_text(reports_json([report]))
        (folder / split / "report.md").write_text(report.to_markdown())
    return folder


def test_a_runs_page_tells_of_every_split_and_keeps_the_numbers_beside_it(make_run):
    run = make_run()
    at_sea = predictions(12).assign(true_lat_deg=-50.0, true_lon_deg=np.linspace(-140, -100, 12))
    evaluated(run.evaluation, {"easy": predictions(), "ocean": at_sea})
    page = write_run_report(run, say=quiet).read_text()
    assert page.index("easy: 150 images") < page.index("ocean: 12 images")
    for file in ("confusion.png", "confusion.json", "errors.json", "errors.md", "strata.png"):
        assert (run.evaluation / "easy" / file).is_file(), file
    # At sea there is no country to be taken for another, and too few images for a field of errors.
    assert not (run.evaluation / "ocean" / "confusion.png").exists()
    assert "No true place lies in a country." in page
    told = json.loads((run.evaluation / "easy" / "errors.json").read_text())
    assert told["count"] == 150
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)


def test_a_run_that_was_not_evaluated_or_whose_report_is_damaged_is_refused(make_run):
    run = make_run()
    with pytest.raises(DataError, match="run `geoloc evaluate` first"):
        write_run_report(run, say=quiet)
    evaluated(run.evaluation, {"easy": predictions(20)})
    (run.evaluation / "easy" / "report.json").write_text('{"rows": 1}')
    with pytest.raises(DataError, match="is no report of an evaluation"):
        write_run_report(run, say=quiet)


def test_runs_are_compared_on_what_they_share_and_the_better_one_is_seen(tmp_path):
    frame = predictions(400, off_deg=6.0)
    better = frame.assign(
        pred_lat_deg=frame.true_lat_deg + 0.3 * (frame.pred_lat_deg - frame.true_lat_deg),
        pred_lon_deg=frame.true_lon_deg,
    )
    worse = evaluated(tmp_path / "a", {"easy": frame, "hard": frame})
    good = evaluated(tmp_path / "b", {"easy": better.sample(frac=1.0, random_state=0)})
    page = write_runs_report({"a": worse, "b": good}, tmp_path / "out", say=quiet).read_text()
    assert "easy: 400 images" in page
    assert "hard" not in page
    (told,) = json.loads((tmp_path / "out" / "easy.json").read_text())["comparisons"]
    within = {each["metric"]: each for each in told["differences"]}["Accuracy_200_km_radius"]
    assert within["difference"] > 0.2
    assert within["interval"][0] > 0
    assert within["gained"] > within["lost"]


def test_what_cannot_be_compared_is_refused(tmp_path):
    frame = predictions(60)
    one = evaluated(tmp_path / "a", {"easy": frame})
    with pytest.raises(ConfigError, match="two runs or more"):
        write_runs_report({"a": one}, tmp_path / "out", say=quiet)
    other = evaluated(tmp_path / "b", {"block": frame})
    with pytest.raises(DataError, match="share no evaluated split: a has easy; b has block"):
        write_runs_report({"a": one, "b": other}, tmp_path / "out", say=quiet)
    fewer = evaluated(tmp_path / "c", {"easy": frame[:-1]})
    with pytest.raises(DataError, match="such as '59'"):
        write_runs_report({"a": one, "c": fewer}, tmp_path / "out", say=quiet)
    alone = evaluated(tmp_path / "d", {"easy": frame}, galleries=("mine",))
    with pytest.raises(DataError, match="share no gallery"):
        write_runs_report({"a": one, "d": alone}, tmp_path / "out", say=quiet)
    with pytest.raises(ConfigError, match="not all runs answered easy from mine"):
        write_runs_report({"a": one, "d": alone}, tmp_path / "out", say=quiet, gallery="mine")


def test_the_command_writes_where_it_is_told(make_run, tmp_path, capsys):
    run = make_run()
    evaluated(run.evaluation, {"easy": predictions(60)})
    assert main(["report", str(run.path)]) == 0
    assert Path(capsys.readouterr().out.strip()) == run.evaluation / "report.html"
    twin = RunDirectory(path=tmp_path / "twin")
    shutil.copytree(run.path, twin.path)
    out = tmp_path / "compared"
    assert main(["report", str(run.path), str(twin.path), "--out", str(out)]) == 0
    assert (out / "report.html").is_file()
    capsys.readouterr()
    assert main(["report", str(run.path), str(run.path)]) == 2
    assert "named twice" in capsys.readouterr().err
    assert main(["report", str(run.path), "--gallery", "x"]) == 2

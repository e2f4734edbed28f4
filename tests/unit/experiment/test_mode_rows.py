from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from geoloc.cli import main
from geoloc.experiment.embed_run import embed_shards
from geoloc.experiment.training_places import training_places
from geoloc.regions import geocells_of
from geoloc.retrieval import Embedded

TRAINING = 8


@pytest.fixture
def run(make_run, tmp_path):
    made = make_run()
    embed_shards(
        made.path, str(tmp_path / "train"), out=tmp_path / "refs", workers=0, say=lambda _: None
    )
    return made


def evaluate(run, tmp_path, *words):
    places = ["--gallery", "training-places", "--workers", "0"]
    return main(
        ["evaluate", str(run.path), *places, "--references", str(tmp_path / "refs"), *words]
    )


def test_modes_are_rows_of_their_own(run, tmp_path):
    assert evaluate(run, tmp_path, "--combine", "0.25", "--vote-km", "500") == 0
    reports = json.loads((run.evaluation / "easy/report.json").read_text())
    names = ["training-places", "images", "combined"]
    names += [f"{name}-vote" for name in names]
    for report in reports:
        assert [row["name"] for row in report["rows"] if row["kind"] == "gallery"] == names
        assert report["provenance"]["evaluation"]["mode"] == {
            "references": str(tmp_path / "refs"),
            "calibration": None,
            "weight": 0.25,
            "csls": False,
            "vote_km": 500.0,
        }
    frame = pd.read_parquet(run.evaluation / "easy/images/predictions.parquet")
    references = Embedded.load(tmp_path / "refs")
    place = dict(zip(references.key, references.latlon_deg.tolist(), strict=True))
    told = frame[["pred_lat_deg", "pred_lon_deg"]].to_numpy().tolist()
    assert [place[key] for key in frame["reference_key"]] == told
    plain = pd.read_parquet(run.evaluation / "easy/training-places/predictions.parquet")
    assert "reference_key" not in plain


def test_csls_has_a_row_beside_each(run, tmp_path, capsys):
    # Eight training images are too few to average ten.
    assert evaluate(run, tmp_path, "--csls") == 2
    assert "calibration images" in capsys.readouterr().err
    references = Embedded.load(tmp_path / "refs")
    twice = Embedded(
        key=tuple(f"{key}-{copy}" for copy in "ab" for key in references.key),
        latlon_deg=references.latlon_deg[[*range(8)] * 2],
        embedding=references.embedding.repeat(2, 1),
        label=references.label * 2,
    )
    made_by = Embedded.fingerprint_of(tmp_path / "refs")
    twice.save(tmp_path / "calibration", model_fingerprint=made_by)
    words = ["--csls", "--calibration", str(tmp_path / "calibration"), "--format", "json"]
    assert evaluate(run, tmp_path, *words) == 0
    report = json.loads(capsys.readouterr().out)[0]
    told = [row["name"] for row in report["rows"] if row["kind"] == "gallery"]
    names = ["training-places", "images", "combined"]
    assert told == names + [f"{name}-csls" for name in names]


def test_cells_are_a_row_beside_each_gallery(run, tmp_path, capsys):
    cells = geocells_of(training_places(run, run.config()), np.arange(TRAINING) // 3)
    cells.save(tmp_path / "cells.parquet")
    words = [
        "evaluate",
        str(run.path),
        "--workers",
        "0",
        "--cells",
        str(tmp_path / "cells.parquet"),
    ]
    words += ["--gallery", "training-places"]
    assert main([*words, "--format", "json", "--cell-score", "max"]) == 0
    report = json.loads(capsys.readouterr().out)[0]
    told = {row["name"]: row["scores"] for row in report["rows"] if row["kind"] == "gallery"}
    assert set(told) == {"training-places", "training-places-cells"}
    # the cell with the best place of all holds the exact answer
    plain, first = (
        pd.read_parquet(run.evaluation / "easy" / each / "predictions.parquet") for each in told
    )
    columns = ["pred_lat_deg", "pred_lon_deg", "score"]
    pd.testing.assert_frame_equal(plain[columns], first[columns])
    assert report["provenance"]["evaluation"]["mode"]["cell_score"] == "max"


def test_references_that_are_test_images_are_refused(run, tmp_path, capsys):
    shards = f"same={tmp_path}/train"
    assert evaluate(run, tmp_path, "--data", shards) == 2
    assert "8 of the reference images are images of the split same" in capsys.readouterr().err


def test_arguments_that_mean_nothing_alone_are_refused(run, tmp_path, capsys):
    for words, told in (
        (["--combine", "0.5"], "--references"),
        (["--calibration", "x"], "--csls"),
        (["--csls"], "--calibration"),
        (["--cell-probe", "2"], "--cells"),
        (["--cell-score", "max"], "--cells FILE"),
        (["--cell-score", "head", "--references", "x"], "no --references"),
        (["--cell-score", "head", "--cells", "x.parquet"], "give no --cells"),
        (["--cell-score", "head"], "was trained without a head of cells"),
        (["--cells", "x.parquet", "--references", "x"], "no --references"),
        (["--cells", "x.parquet"], "no geocells at x.parquet"),
    ):
        assert main(["evaluate", str(run.path), *words]) == 2
        assert told in capsys.readouterr().err
    words = ["query", "x.jpg", "--run", str(run.path), "--mode"]
    assert main([*words, "image"]) == 2
    assert "--references" in capsys.readouterr().err
    for several in ("--trip", "--together=all"):
        assert main(["query", "x.jpg", "--run", str(run.path), several, "--cells", "x"]) == 2
        assert f"{several[:6]}" in (told := capsys.readouterr().err)
        assert "leave cells out" in told
    assert main(["query", "--run", str(run.path)]) == 2
    assert "nothing to ask" in capsys.readouterr().err
    assert main(["query", "--text", "a fjord", "--map", "a.png"]) == 2
    assert "leave --text out" in capsys.readouterr().err

"""A model card holds what the run holds, and says what was not measured."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import yaml

from geoloc.cli import main
from geoloc.errors import DataError
from geoloc.evaluation import write_predictions
from geoloc.experiment.card_facts import read_card_facts
from geoloc.experiment.card_run import write_card
from geoloc.experiment.card_scores import NOT_MEASURED
from geoloc.experiment.card_text import card_markdown
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.training_coverage import training_coverage
from geoloc.experiment.training_places import training_places
from geoloc.geodesy import great_circle_km
from geoloc.places import Areas

HEADINGS = (
    "Model details",
    "Uses",
    "Bias, risks and limitations",
    "How to ask it",
    "Training data",
    "Training procedure",
    "Evaluation",
    "Calibration",
    "Environmental impact",
    "Fingerprints",
    "Citation and contact",
)


def quiet(_line):
    pass


def front(text):
    _, told, body = text.split("---\n", 2)
    return yaml.safe_load(told), body


def section(body, heading):
    return body.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def table_row(text, name):
    (line,) = [line for line in text.splitlines() if line.startswith(f"| {name} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def run(make_run):
    return make_run()


@pytest.fixture
def evaluated(run):
    """The run with predictions for 60 images in Africa and Europe, known to the kilometre."""
    generator = np.random.default_rng(4)
    africa = np.stack([generator.uniform(-20, 8, 40), generator.uniform(15, 30, 40)], axis=1)
    europe = np.stack([generator.uniform(46, 52, 20), generator.uniform(8, 24, 20)], axis=1)
    true = np.concatenate([africa, europe])
    away = np.concatenate([np.linspace(0.05, 0.15, 40), np.full(20, 30.0)])
    pred = true + np.stack([np.zeros(60), away], axis=1)
    frame = pd.DataFrame(
        {
            "key": [f"k{i}" for i in range(60)],
            "true_lat_deg": true[:, 0],
            "true_lon_deg": true[:, 1],
            "pred_lat_deg": pred[:, 0],
            "pred_lon_deg": pred[:, 1],
        }
    )
    scores = {
        "count": 60,
        "metrics": {"Accuracy_25_km_radius": 0.5},
        "summary": {"median_km": 12.0, "mean_km": 20.0, "geoscore": 4000.0},
    }
    report = {
        "split": "easy",
        "protocol": "osv5m-official",
        "count": 60,
        "rows": [{"name": "training-places", "kind": "gallery", "scores": scores}],
    }
    folder = run.evaluation / "easy"
    write_predictions(frame, folder / "training-places" / "predictions.parquet")
    (folder / "report.json").write_text(json.dumps([report]))
    return run, frame


def test_a_bare_run_says_what_was_not_measured(run):
    text = write_card(run, say=quiet).read_text()
    told, body = front(text)
    assert "model-index" not in told
    assert told["library_name"] == "geoloc"
    assert [line[3:] for line in body.splitlines() if line.startswith("## ")] == list(HEADINGS)
    assert NOT_MEASURED in section(body, "Evaluation")
    assert NOT_MEASURED in section(body, "Calibration")
    assert "energy and carbon: **not measured**" in section(body, "Environmental impact")
    assert "whether probabilities mean what they say" in section(body, HEADINGS[2])
    assert table_row(section(body, "Training data"), "training")[1] == "8"
    assert "licence: not recorded" in section(body, "Training data")
    fingerprint = json.loads((run.model / "model.json").read_text())["fingerprint"]
    assert fingerprint in section(body, "Fingerprints")
    assert (run.path / "MODEL_CARD_places.png").read_bytes().startswith(b"\x89PNG")
    assert "![Training places](MODEL_CARD_places.png)" in body


def test_what_was_measured_is_told_by_continent_and_read_by_hubs(evaluated):
    run, frame = evaluated
    told, body = front(write_card(run, say=quiet).read_text())
    true = frame[["true_lat_deg", "true_lon_deg"]].to_numpy()
    away_km = great_circle_km(true, frame[["pred_lat_deg", "pred_lon_deg"]].to_numpy())
    metrics = told["model-index"][0]["results"][0]["metrics"]
    value = {each["type"]: each["value"] for each in metrics}
    assert value["median error in km"] == pytest.approx(np.median(away_km), abs=1e-3)
    assert value["accuracy within 25 km"] == pytest.approx((away_km < 25).mean(), abs=1e-3)
    evaluation = section(body, "Evaluation")
    africa, europe = table_row(evaluation, "Africa (few)"), table_row(evaluation, "Europe (few)")
    assert (africa[1], europe[1]) == ("40", "20")
    assert africa[3].startswith("100.0")
    assert europe[3].startswith("0.0")
    assert table_row(evaluation, "training-places")[2:4] == ["12.0", "50.0"]


def test_how_far_tests_lie_from_training_is_a_naive_minimum(evaluated):
    run, frame = evaluated
    (measured,) = read_card_facts(run).measured
    places = training_places(run, run.config())
    true = frame[["true_lat_deg", "true_lon_deg"]].to_numpy()
    nearest = [min(float(great_circle_km(t, p)) for p in places) for t in true]
    assert measured.from_training_km == pytest.approx(np.quantile(nearest, (0.25, 0.5, 0.75)))


def test_a_calibrated_run_shows_its_calibration(run):
    facts = replace(
        read_card_facts(run), calibrations=(("Calibration of x", "### Probability\n\nfine"),)
    )
    body = card_markdown(facts, figure=None)
    assert "#### Probability" in section(body, "Calibration")
    assert NOT_MEASURED not in section(body, "Calibration")
    assert "whether probabilities mean" not in body


def test_what_an_unfinished_run_is_called(make_run):
    assert "has not finished" in write_card(make_run(finished=False), say=quiet).read_text()


def test_the_credit_of_cut_tiles_is_told(run, tmp_path):
    words = {"provenance": {"credit": "somebody, public domain", "names": None}}
    (tmp_path / "earth_tiles.json").write_text(json.dumps(words))
    assert "somebody, public domain" in write_card(run, say=quiet).read_text()


def test_coverage_counts_places_against_the_land():
    france, brazil, sea = [47.0, 2.5], [-10.0, -55.0], [0.0, -30.0]
    found = training_coverage(np.array([france, france, france, brazil, sea]), drawn_from=50)
    count = {area.name: area.count for area in found.continents}
    assert count["Europe"] == 3
    assert count["South America"] == 1
    assert count["no continent or at sea"] == 1
    assert sum(count.values()) == 5
    assert [area.name for area in found.most] == ["France", "Brazil"]
    land = Areas.load().locate(Areas.load().even_land_points(20_000)).country
    brazil_land = float((land == "Brazil").mean())
    assert found.most[1].land_share == pytest.approx(brazil_land)
    assert found.most[1].ratio == pytest.approx(0.2 / brazil_land)
    assert (found.countries, found.regions, found.drawn_from) == (2, 2, 50)
    assert [area.name for area in found.least[:2]] == ["Russia", "Antarctica"]
    assert all(area.count == 0 for area in found.least)
    sizes = [area.land_share for area in found.least]
    assert sizes == sorted(sizes, reverse=True)


def test_the_command_says_where_the_card_is(run, tmp_path, capsys):
    out = tmp_path / "card" / "CARD.md"
    assert main(["card", str(run.path), "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert (out.parent / "CARD_places.png").is_file()
    assert main(["card", str(run.path), "--out", "card.txt"]) == 2
    assert main(["card", str(tmp_path / "nothing")]) == 2


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(DataError, match="not a run"):
        write_card(RunDirectory(path=tmp_path), say=quiet)

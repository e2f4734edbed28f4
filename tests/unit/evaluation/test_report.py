from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.evaluation import (
    EvaluationReport,
    ReportRow,
    baseline_scores,
    score_predictions,
    scores_text,
)
from geoloc.places import Areas

SOME = slice(0, 120)


@pytest.fixture(scope="module")
def report(world):
    some = world.iloc[SOME]
    gallery = np.asarray(some[["true_lat_deg", "true_lon_deg"]])[::3]
    scores = score_predictions(
        some, "osv5m-official", gallery_latlon_deg=gallery, areas=Areas.load(), resamples=30
    )
    baselines = baseline_scores(some, gallery, gallery, protocol="osv5m-official")
    return EvaluationReport(
        split="test",
        rows=[
            *(ReportRow(name=name, kind="baseline", scores=one) for name, one in baselines.items()),
            ReportRow(
                name="training places", kind="gallery", scores=scores, places=40,
                duplicates_dropped=2,
            ),
        ],
        model_fingerprint="abcdef0123456789" * 4,
        lost={"truncated": 3, "vanished": 1},
        recall={"recall@1": 0.125, "places": 119.0},
    )  # fmt: skip


def test_json_holds_every_figure_strictly(report):
    told = json.loads(report.to_json(), parse_constant=pytest.fail)
    assert (told["split"], told["protocol"], told["count"]) == ("test", "osv5m-official", 120)
    assert told["lost"] == {"total": 4, "by_kind": {"truncated": 3, "vanished": 1}}
    gallery = next(row for row in told["rows"] if row["kind"] == "gallery")
    assert (gallery["places"], gallery["duplicates_dropped"]) == (40, 2)
    assert set(gallery["scores"]["ceilings"]) == {"perfect_prediction", "gallery"}


def test_a_number_that_is_not_finite_is_refused_by_its_place(report):
    row = report.rows[-1]
    bad = replace(row, scores=replace(row.scores, metrics={"Haversine": float("nan")}))
    with pytest.raises(DataError, match=r"rows\[0\]\.scores\.metrics\.Haversine"):
        replace(report, rows=[bad]).to_json()


def test_markdown_tables_stand_straight_and_name_what_matters(report):
    text = report.to_markdown()
    for part in (
        "120 images",
        "osv5m-official",
        "6371.0 km",
        "d < r",
        "abcdef0123456789",
        "lost samples: 4 (truncated 3, vanished 1)",
        "training places: 40 places, 2 duplicates dropped",
        "recall@1 12.5 %",
        "best of training places",
        "the true place",
        "random gallery place",
        "By polygon",
    ):
        assert part in text, part
    tables = [block.split("\n") for block in text.strip().split("\n\n") if block.startswith("|")]
    assert len(tables) == 4
    for lines in tables:
        assert len({len(line) for line in lines}) == 1
        assert len({line.count("|") for line in lines}) == 1
    assert tables[0][2].startswith("| training places")  # galleries above baselines


def test_markdown_shows_the_scores_it_was_given(report):
    scores = report.rows[-1].scores
    line = next(row for row in report.to_markdown().splitlines() if row.startswith("| training p"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[1] == f"{scores.summary['median_km']:,.1f}" or cells[1] == (
        f"{scores.summary['median_km']:,.0f}"
    )
    assert cells[5] == f"{100 * scores.metrics['Accuracy_25_km_radius']:.1f}"


def test_rows_of_two_protocols_or_counts_are_not_one_table(report, world):
    other = score_predictions(world.iloc[SOME], "geoclip", resamples=0)
    fewer = score_predictions(world.iloc[:5], "osv5m-official", resamples=0)
    for scores in (other, fewer):
        with pytest.raises(ValueError, match="one protocol"):
            replace(report, rows=[*report.rows, ReportRow(name="x", kind="gallery", scores=scores)])
    with pytest.raises(ValueError, match="needs rows"):
        replace(report, rows=[])


@pytest.mark.parametrize("name", ["osv5m-official", "osv5m-clean", "geoclip"])
def test_scores_of_one_table_as_text(world, name):
    scores = score_predictions(world, name, resamples=20)
    text = scores_text(scores)
    assert f"protocol {name}: 500 images" in text
    for key in scores.metrics:
        assert key in text
    assert "median_km" in text

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from geoloc.errors import DataError
from geoloc.evaluation import (
    LEAST_MEAN,
    LEAST_MEDIAN,
    EvaluationReport,
    ReportRow,
    baseline_scores,
    reports_json,
    score_predictions,
    scores_text,
    terminal_table,
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


def test_a_list_of_reports_names_the_place_of_a_bad_number_too(report):
    told = json.loads(reports_json([report, report]), parse_constant=pytest.fail)
    assert told == [report.to_dict()] * 2
    bad = replace(report, provenance={"best": {"value": float("inf")}})
    with pytest.raises(DataError, match=r"reports\[1\]\.provenance\.best\.value"):
        reports_json([report, bad])


def test_thinned_places_are_told_with_how_many_there_were(report):
    row = replace(
        report.rows[-1], name="training-places", places=499_000, duplicates_dropped=1_000,
        drawn_from=4_900_000,
    )  # fmt: skip
    thinned = replace(report, rows=[*report.rows[:-1], row])
    told = "500,000 of 4,900,000 training places, chosen at random"
    assert f"{told}, 1,000 duplicates dropped" in thinned.to_markdown()
    assert f"training-places: {told}" in terminal_table(thinned)
    assert thinned.to_dict()["rows"][-1]["drawn_from"] == 4_900_000
    other = replace(row, name="sweden")
    assert other.told_places() == "500,000 of 4,900,000 places, chosen at random"


def test_the_terminal_shows_the_better_constant_guess_line_by_line(report):
    def scored(row, **values):
        scores = row.scores
        return replace(row, scores=replace(scores, summary={**scores.summary, **values}))

    # One is better on the median, the other on mean and points.
    changed = {
        LEAST_MEDIAN: {"median_km": 11.0, "mean_km": 44.0, "geoscore": 55.0},
        LEAST_MEAN: {"median_km": 22.0, "mean_km": 33.0, "geoscore": 66.0},
    }
    rows = [scored(row, **changed.get(row.name, {})) for row in report.rows]
    lines = terminal_table(replace(report, rows=rows)).splitlines()
    end = lines[2].index("best constant") + len("best constant")
    shown = {line[:20].split(",")[0].strip(): line[:end].split()[-1] for line in lines[3:6]}
    assert list(shown.values()) == ["11.0", "33.0", "66.0"]
    assert all(len(line) <= 100 for line in lines)


def test_a_report_on_a_model_in_training_says_so(report):
    assert report.finished
    early = replace(report, provenance={"finished": False})
    assert "still in training" in early.to_markdown()
    assert "NOT FINISHED" in terminal_table(early)

from __future__ import annotations

import json

import numpy as np
import pytest

from geoloc.cli import main
from geoloc.errors import ConfigError
from geoloc.evaluation import analyse_errors, score_predictions, write_predictions
from geoloc.evaluation.strict_json import strict_json
from geoloc.regions import geocells_of


@pytest.fixture(scope="module")
def analysis(world):
    frame = world.assign(climate=np.arange(500) % 7, road_index=np.arange(500) / 3.0)
    training = world[["true_lat_deg", "true_lon_deg"]].to_numpy()[::2]
    return analyse_errors(
        frame, "osv5m-clean", training_latlon_deg=training, training_drawn_from=1000, resamples=100
    )


def test_strata_add_up_to_what_score_says(analysis, world):
    scores = score_predictions(world, "osv5m-clean", resamples=0)
    overall = analysis.overall.metrics
    assert overall["geoscore"] == pytest.approx(scores.summary["geoscore"])
    assert overall["median_km"] == pytest.approx(scores.summary["median_km"])
    for radius in (1, 25, 200, 750, 2500):
        key = f"Accuracy_{radius}_km_radius"
        assert overall[key] == pytest.approx(scores.metrics[key])
    for table in analysis.strata:
        assert sum(row.count for row in table.rows) == 500
        total = sum(row.count * row.metrics["geoscore"] for row in table.rows)
        assert total / 500 == pytest.approx(overall["geoscore"])
    assert [table.by for table in analysis.strata] == [
        *("country", "continent", "region", "distance_to_training", "training_density"),
        *("climate", "road_index"),
    ]


def test_half_the_images_are_training_places(analysis):
    by = {table.by: table for table in analysis.strata}
    nearest = by["distance_to_training"].rows[0]
    assert nearest.name == "<1 km"
    assert nearest.count >= 250


def test_the_order_of_rows_says_nothing(world):
    frame = world.iloc[np.random.default_rng(0).permutation(500)].reset_index(drop=True)
    one, other = (
        analyse_errors(each, "geoclip", resamples=50).to_json() for each in (world, frame)
    )
    for key in ("overall", "strata"):
        assert json.dumps(one[key])[:200] == json.dumps(other[key])[:200]
    assert one["fairness"]["gini_images"]["value"] == pytest.approx(
        other["fairness"]["gini_images"]["value"]
    )


def test_json_is_strict_and_markdown_tells_the_same(analysis):
    told = json.loads(strict_json(analysis.to_json(), "analysis"))
    assert told["count"] == 500
    assert told["training"] == {"places": 250, "drawn_from": 1000}
    assert len(told["error_fields"]) == 2
    text = analysis.to_markdown(most_rows=3)
    assert "# Errors of 500 images, protocol osv5m-clean" in text
    assert "the largest 3 shown" in text
    assert "drawn at random from 1,000" in text
    assert f"Moran's I {told['error_fields'][0]['moran']['value']:.3f}" in text
    assert max(map(len, text.splitlines())) < 220


def test_a_small_or_perfect_table_has_no_field(world):
    few = analyse_errors(world.head(20), "osv5m-clean", by=["continent"], resamples=10)
    assert few.fields == ()
    assert "How far errors go together" not in few.to_markdown()
    perfect = world.assign(pred_lat_deg=world["true_lat_deg"], pred_lon_deg=world["true_lon_deg"])
    found = analyse_errors(perfect, "osv5m-clean", by=["country"], resamples=10)
    assert found.fields == ()
    assert found.fairness.gini_images.value == pytest.approx(0.0, abs=1e-9)
    assert {row.ratio.value for row in found.fairness.ratios if row.ratio} == {1.0}


def test_the_command(world, tmp_path, capsys):
    world = world.head(90)
    file, places = tmp_path / "p.parquet", tmp_path / "places.csv"
    write_predictions(world.rename(columns={"pred_lat_deg": "y"}).assign(pred_lat_deg=0.0), file)
    world.rename(columns={"true_lat_deg": "lat", "true_lon_deg": "lon"}).to_csv(places, index=False)
    np.save(tmp_path / "places.npy", world[["true_lat_deg", "true_lon_deg"]].to_numpy())
    found = []
    for training in (places, tmp_path / "places.npy"):
        arguments = ["--training", str(training), "--by", "distance_to_training,continent"]
        arguments += ["--column", "pred_lat_deg=y", "--resamples", "20", "--format", "json"]
        assert main(["errors", str(file), *arguments]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert [table["by"] for table in found[0]["strata"]] == ["distance_to_training", "continent"]
    assert found[0]["strata"][0]["rows"][0]["count"] == 90
    scores = score_predictions(world, "osv5m-clean", resamples=0)
    assert found[0]["overall"]["metrics"]["geoscore"] == pytest.approx(scores.summary["geoscore"])
    assert main(["errors", str(file), "--by", "continent", "--resamples", "0"]) == 0
    assert "## By continent" in capsys.readouterr().out


def test_strata_by_geocells(world, tmp_path, capsys):
    world = world.head(90)
    true_deg = world[["true_lat_deg", "true_lon_deg"]].to_numpy()
    cells = geocells_of(true_deg, (true_deg[:, 1] > 0).astype(np.int64))
    write_predictions(world, tmp_path / "p.parquet")
    cells.save(tmp_path / "cells.parquet")
    words = ["errors", str(tmp_path / "p.parquet"), "--cells", str(tmp_path / "cells.parquet")]
    assert main([*words, "--by", "geocell", "--resamples", "0", "--format", "json"]) == 0
    (table,) = json.loads(capsys.readouterr().out)["strata"]
    assert table["by"] == "geocell"
    east = int((true_deg[:, 1] > 0).sum())
    counted = {row["name"]: row["count"] for row in table["rows"]}
    assert counted == dict(zip(cells.names(), [90 - east, east], strict=True))
    assert main([*words, "--resamples", "0"]) == 0
    assert "## By geocell" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--by", "contry"], "no strata by 'contry'"),
        (["--training", "none.npy"], "there is no file of places"),
        (["--block-km", "0"], "--block-km 0"),
        (["--resamples", "-1"], "--resamples"),
        (["--column", "x"], "OURS=THEIRS"),
        (["--cells", "none.parquet"], "there are no geocells"),
        (["--by", "geocell"], "no strata by 'geocell'"),
        (["--protocol", "x"], "no protocol"),
    ],
)
def test_what_the_command_refuses(world, tmp_path, capsys, arguments, said):
    write_predictions(world.head(30), tmp_path / "p.parquet")
    assert main(["errors", str(tmp_path / "p.parquet"), *arguments]) == 2
    assert said in capsys.readouterr().err


def test_an_unknown_question(world):
    with pytest.raises(ConfigError, match="choose among"):
        analyse_errors(world, "osv5m-clean", by=["nothing"])

from __future__ import annotations

import json

import pytest

from geoloc.cli import main


@pytest.fixture
def folder(tmp_path, world):
    world.to_parquet(tmp_path / "old.parquet")
    columns = ["key", "pred_lat_deg", "pred_lon_deg"]
    names = {"pred_lat_deg": "lat", "pred_lon_deg": "lon"}
    world[::-1][columns].rename(columns=names).to_csv(tmp_path / "paper.csv", index=False)
    truth = world.drop(columns=columns[1:]).rename(
        columns={"key": "id", "true_lat_deg": "latitude", "true_lon_deg": "longitude"}
    )
    truth.to_csv(tmp_path / "test.csv", index=False)
    return tmp_path


FOREIGN = ["--column", "pred_lat_deg=lat", "--column", "pred_lon_deg=lon"]


def test_a_papers_answers_score_as_a_whole_table_does(folder, capsys):
    words = ["--format", "json", "--resamples", "0"]
    assert main(["score", str(folder / "old.parquet"), *words]) == 0
    (whole,) = json.loads(capsys.readouterr().out)["files"]
    truth = ["--truth", str(folder / "test.csv")]
    assert main(["score", str(folder / "paper.csv"), *truth, *FOREIGN, *words]) == 0
    (joined,) = json.loads(capsys.readouterr().out)["files"]
    assert [s["protocol"] for s in joined["scores"]] == [
        "osv5m-official",
        "osv5m-clean",
        "geoclip",
        "im2gps",
    ]
    for one, other in zip(whole["scores"], joined["scores"], strict=True):
        assert one["metrics"] == pytest.approx(other["metrics"])


def test_several_files_are_compared_within_the_width_of_a_terminal(folder, capsys):
    files = [f"old={folder / 'old.parquet'}", f"paper={folder / 'paper.csv'}"]
    columns = ["--column", "paper:pred_lat_deg=lat", "--column", "paper:pred_lon_deg=lon"]
    truth = ["--truth", str(folder / "test.csv"), "--resamples", "100"]
    assert main(["score", *files, *truth, *columns, "--protocol", "osv5m-clean"]) == 0
    text = capsys.readouterr().out
    assert "paper minus old, 500 images" in text
    assert "| Δ@25 km " in text
    assert "+0.0 pp [0.0, 0.0]" in text
    assert max(map(len, text.splitlines())) <= 100
    assert main(["score", *files, *truth, *columns, "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert [c["protocol"] for c in told["comparisons"]] == [
        "osv5m-official",
        "osv5m-clean",
        "geoclip",
        "im2gps",
    ]
    assert main(["score", *files, *truth, *columns, "--format", "markdown"]) == 0
    assert capsys.readouterr().out.count("\n# ") == 2


def test_tables_without_keys_are_told_apart_by_row(folder, world, capsys):
    world.drop(columns="key").to_csv(folder / "rows.csv", index=False)
    words = [str(folder / "rows.csv"), "--protocol", "geoclip", "--resamples", "0"]
    assert main(["score", *words]) == 2
    assert "'key'" in capsys.readouterr().err
    assert main(["score", *words, "--no-key"]) == 0


def test_missing_answers_are_counted_in_every_form(folder, world, capsys):
    few = world.iloc[:490][["key", "pred_lat_deg", "pred_lon_deg"]]
    few.to_csv(folder / "few.csv", index=False)
    words = ["score", str(folder / "few.csv"), "--truth", str(folder / "test.csv")]
    words += ["--protocol", "geoclip", "--resamples", "0"]
    assert main(words) == 2
    assert "few: 10 of 500 true places have no prediction" in capsys.readouterr().err
    assert main([*words, "--missing-as-worst"]) == 0
    assert "10 true places without a prediction count as wrong" in capsys.readouterr().out
    assert main([*words, "--missing-as-worst", "--format", "json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert (file["missing_scored_as_worst"], file["extra_left_out"]) == (10, 0)
    assert file["scores"][0]["count"] == 500


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a.csv", "--missing-as-worst"], "--truth TABLE"),
        (["a.csv", "--no-key", "--truth", "b.csv"], "joins by key"),
        (["a.csv", "--truth-column", "key=id"], "--truth TABLE"),
        (["a.csv", "--block-km", "0"], "--block-km"),
        (["a.csv", "b.csv", "--resamples", "0"], "100 draws"),
        (["x=a.csv", "x=b.csv"], "two files are called x"),
        (["a.csv", "--column", "lat"], "write OURS=THEIRS"),
        (["a.csv", "--protocol", "osv"], "osv5m-official"),
    ],
)
def test_what_cannot_be_meant_is_one_clear_line(words, message, capsys):
    assert main(["score", *words]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1

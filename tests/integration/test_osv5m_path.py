"""The whole OSV-5M path on a fabricated release: csv and zips, shards, training, scores."""

import json

import numpy as np
import pandas as pd
import pytest

from geoloc.cli import main
from geoloc.evaluation import read_predictions
from tests.integration.fabricated_osv5m import fabricate_release


@pytest.fixture(scope="module")
def rehearsal(tmp_path_factory):
    root = tmp_path_factory.mktemp("osv5m")
    release = fabricate_release(root / "release", train=240, test=60)
    shards, run = root / "shards", root / "run"
    for split, share in (("train", "0.1"), ("test", "0")):
        words = ["shards", "make", "osv5m", str(release.folder), "--split", split]
        words += ["--out", str(shards), "--samples-per-shard", "60", "--validation-share", share]
        assert main(words) == 0
    splits = [f"data.train={shards}/train", f"data.validation={shards}/val"]
    splits.append(f"data.tests.osv5m={shards}/test")
    words = ["train", "configs/smoke/geoclip_osv5m.yaml", f"run_dir={run}", *splits]
    assert main(words) == 0
    assert main(["evaluate", str(run), "--protocol", "osv5m-official"]) == 0
    return release, shards, run


def test_every_good_sample_reaches_the_shards_and_ids_stay_exact(rehearsal):
    release, shards, _ = rehearsal
    sizes = [json.loads((shards / s / "sizes.json").read_text()) for s in ("train", "val")]
    # The corrupt image is copied undecoded; reading counts it as lost.
    assert sum(sum(size.values()) for size in sizes) == len(release.good["train"]) + 1
    frame = read_predictions(rehearsal[2] / "evaluation/osv5m/training-places/predictions.parquet")
    assert sorted(frame["key"]) == sorted(release.good["test"])


def test_verify_sees_the_corrupt_image_and_nothing_else(rehearsal, capsys):
    _, shards, _ = rehearsal
    capsys.readouterr()
    found = {"valid": 0, "lost": 0}
    codes = set()
    for split in ("train", "val", "test"):
        codes.add(main(["shards", "verify", str(shards / split), "--format", "json"]))
        answer = json.loads(capsys.readouterr().out)
        sizes = json.loads((shards / split / "sizes.json").read_text())
        assert answer["valid"] + answer["lost"] == sum(sizes.values())
        found = {name: found[name] + answer[name] for name in found}
    assert found["lost"] == 1
    assert codes == {0, 1}


def test_report_is_official_and_namibia_scores(rehearsal):
    release, _, run = rehearsal
    (report,) = json.loads((run / "evaluation/osv5m/report.json").read_text())
    assert report["protocol"] == "osv5m-official"
    assert report["count"] == len(release.good["test"])
    rows = {row["name"]: row["scores"]["metrics"] for row in report["rows"]}
    model, guess = rows["training-places"], rows["constant guess (least mean)"]
    assert model["Haversine"] < 0.8 * guess["Haversine"]
    frame = read_predictions(run / "evaluation/osv5m/training-places/predictions.parquet")
    assert (frame["unique_country"] == "NA").any()


def test_score_command_repeats_the_report_without_a_model(rehearsal, capsys):
    _, _, run = rehearsal
    capsys.readouterr()
    file = run / "evaluation/osv5m/training-places/predictions.parquet"
    assert main(["score", str(file), "--protocol", "osv5m-official", "--format", "json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["files"][0]["scores"]
    (report,) = json.loads((run / "evaluation/osv5m/report.json").read_text())
    metrics = next(r for r in report["rows"] if r["name"] == "training-places")["scores"]["metrics"]
    assert answer["protocol"] == "osv5m-official"
    assert answer["count"] == report["count"]
    assert answer["metrics"] == pytest.approx(metrics)


def test_scores_survive_csv_and_foreign_column_names(rehearsal, tmp_path, capsys):
    _, _, run = rehearsal
    capsys.readouterr()
    frame = pd.read_parquet(run / "evaluation/osv5m/training-places/predictions.parquet")
    flat = frame.drop(columns=[c for c in frame if c.startswith("top_")])
    flat.rename(columns={"pred_lat_deg": "lat"}).to_csv(tmp_path / "theirs.csv", index=False)
    words = ["--protocol", "osv5m-official", "--format", "json", "--column", "pred_lat_deg=lat"]
    assert main(["score", str(tmp_path / "theirs.csv"), *words]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["files"][0]["scores"]
    main(["score", str(run / "evaluation/osv5m/training-places/predictions.parquet"), *words[:4]])
    (again,) = json.loads(capsys.readouterr().out)["files"][0]["scores"]
    for key, value in again["metrics"].items():
        assert np.isclose(answer["metrics"][key], value), key

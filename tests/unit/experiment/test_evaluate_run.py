from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import torch

from geoloc.cli import main
from geoloc.errors import CheckpointError, ConfigError, DataError
from geoloc.evaluation import read_predictions
from geoloc.experiment import evaluate_run, trained_run
from geoloc.experiment.embed_run import embed_shards
from geoloc.experiment.loading import config_from_tree
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.trained_run import TrainedRun
from geoloc.geodesy import great_circle_km
from geoloc.models import ImageEncoderSpec, LocationEncoderSpec, ModelSpec, build_model, load_model
from geoloc.retrieval import Embedded, ExactIndex, Gallery, build_index


def test_constant_guesses_come_from_the_training_places_never_from_the_split(monkeypatch, tmp_path):
    known = np.array([[10.0, 20.0]])
    true = np.array([[-30.0, 100.0], [-31.0, 101.0], [-32.0, 102.0]])
    unit = torch.nn.functional.normalize(torch.arange(1.0, 25.0).view(3, 8).sin(), dim=1)
    model = build_model(
        ModelSpec(
            image_encoder=ImageEncoderSpec(kind="conv", name="", weights=None, width=8),
            location_encoder=LocationEncoderSpec(sigmas=(1.0,), hidden=8, features=4),
            embedding_dim=8,
            head_hidden=8,
        )
    ).eval()
    gallery = Gallery.build(true, lambda _: unit, model_fingerprint="m", name="places")
    monkeypatch.setattr(evaluate_run, "training_places", lambda run, config: known)
    monkeypatch.setattr(evaluate_run, "_draw", lambda *_, **__: None)
    run = RunDirectory(path=tmp_path)
    run.update_record({"name": "tiny"})
    tree = {"name": "tiny", "run_dir": str(tmp_path), "data": {"train": "nowhere"}}
    (report,) = evaluate_run._score(
        evaluate_run._Evaluation(
            trained=TrainedRun(
                run=run, config=config_from_tree(tree, where="here"), model=model, device="cpu"
            ),
            searched={"places": (gallery, ExactIndex(gallery.embedding))},
            index="exact",
            protocols=("osv5m-official",),
        ),
        Embedded(key=("a", "b", "c"), latlon_deg=true, embedding=unit, label=({}, {}, {})),
        split="easy",
        lost={},
        folder=tmp_path / "easy",
    )
    told = {row.name: row.scores.summary["mean_km"] for row in report.rows}
    expected_km = great_circle_km(np.repeat(known, 3, axis=0), true).mean()
    assert told["constant guess (least median)"] == pytest.approx(expected_km)
    assert told["constant guess (least mean)"] == pytest.approx(expected_km)
    assert told["places"] == 0.0


def quiet(_line):
    pass


def evaluate(run, **asked):
    asked = {"galleries": ("training-places",), **asked}
    return evaluate_run.evaluate_run(
        evaluate_run.EvaluationRequest(run_folder=run.path, workers=0, **asked), say=quiet
    )


def row_of(report, name):
    (row,) = (row for row in report.rows if row.name == name)
    return row


def test_files_are_laid_out_by_split_and_gallery(make_run):
    run = make_run()
    evaluate(run, galleries=())
    found = {p.relative_to(run.evaluation).as_posix() for p in run.evaluation.rglob("*.*")}
    assert found == {
        "easy/training-places/predictions.parquet",
        "easy/even-land/predictions.parquet",
        "easy/errors.json",
        "easy/errors.md",
        "easy/strata.png",
        "easy/report.json",
        "easy/report.md",
        "easy/map.png",
        "easy/curve.png",
        "report.html",
    }
    assert len(read_predictions(run.evaluation / "easy/even-land/predictions.parquet")) == 6


def test_galleries_are_told_apart_by_their_folders_not_by_their_cards(make_run):
    run = make_run()
    evaluate(run)
    shutil.copytree(run.galleries / "training-places", run.galleries / "mine")
    (report,) = evaluate(run, galleries=("training-places", "mine")).reports
    assert [row.name for row in report.rows[:2]] == ["training-places", "mine"]
    assert (run.evaluation / "easy/mine/predictions.parquet").is_file()
    shutil.copytree(run.galleries / "mine", run.path / "elsewhere/mine")
    with pytest.raises(ConfigError, match="two galleries are called mine"):
        evaluate(run, galleries=("mine", str(run.path / "elsewhere/mine")))


@pytest.mark.parametrize("name", ["a gallery", ".hidden", "näh"])
def test_a_gallerys_folder_that_cannot_name_files_is_refused(make_run, tmp_path, name):
    run = make_run()
    evaluate(run)
    shutil.copytree(run.galleries / "training-places", tmp_path / name)
    with pytest.raises(ConfigError, match="folder's name"):
        evaluate(run, galleries=(str(tmp_path / name),))


@pytest.mark.parametrize("name", ["..", ".", "a b", ""])
def test_a_splits_name_stays_in_the_folder_of_results(make_run, tmp_path, name):
    with pytest.raises(ConfigError, match="split"):
        evaluate(make_run(), data=(f"{name}={tmp_path}/test",))


def test_an_unfinished_run_is_evaluated_on_demand_only_and_its_report_says_so(make_run, tmp_path):
    run = make_run(finished=False)
    with pytest.raises(CheckpointError, match="has not finished"):
        evaluate(run)
    with pytest.raises(CheckpointError, match="has not finished"):
        embed_shards(run.path, str(tmp_path / "test"), out=tmp_path / "e", workers=0, say=quiet)
    result = evaluate(run, unfinished=True)
    (told,) = json.loads((run.evaluation / "easy/report.json").read_text())
    assert told["provenance"]["finished"] is False
    assert "still in training" in (run.evaluation / "easy/report.md").read_text()
    assert "NOT FINISHED" in result.to_text()
    shutil.rmtree(run.model)
    with pytest.raises(CheckpointError, match="no model yet"):
        evaluate(run, unfinished=True)


def test_a_finished_runs_report_says_nothing_of_the_kind(make_run):
    run = make_run()
    assert "NOT FINISHED" not in evaluate(run).to_text()
    (told,) = json.loads((run.evaluation / "easy/report.json").read_text())
    assert told["provenance"]["finished"] is True
    assert "still in training" not in (run.evaluation / "easy/report.md").read_text()


def test_thinned_training_places_are_told_with_how_many_there_were(make_run):
    run = make_run(gallery_places=5)
    result = evaluate(run)
    assert row_of(result.reports[0], "training-places").drawn_from == 8
    for text in (result.to_text(), (run.evaluation / "easy/report.md").read_text()):
        assert "5 of 8 training places" in text
    (told,) = json.loads((run.evaluation / "easy/report.json").read_text())
    assert told["rows"][0]["drawn_from"] == 8


def test_report_and_curve_speak_of_the_same_baselines(make_run, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        evaluate_run, "draw_error_curve", lambda errors, *_, **__: drawn.update(errors)
    )
    (report,) = evaluate(make_run(), galleries=("even-land", "training-places")).reports
    for name in ("random gallery place", "constant guess (least median)"):
        scores = row_of(report, name).scores
        assert np.mean(drawn[name]) == pytest.approx(scores.summary["mean_km"])


def test_a_run_trained_on_a_gpu_is_evaluated_without_one(make_run, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    run = make_run(device="cuda")
    (report,) = evaluate(run).reports
    assert report.provenance["evaluation"] == {"device": "cpu", "index": "exact"}
    with pytest.raises(ConfigError, match="no GPU"):
        evaluate(run, device="cuda")


def test_galleries_are_searched_where_the_model_is_and_by_the_index_asked_for(
    make_run, monkeypatch
):
    asked = []

    def noted(kind, embedding, *, device):
        asked.append((kind, device))
        return build_index(kind, embedding, device=device)

    monkeypatch.setattr(evaluate_run, "build_index", noted)
    run = make_run()
    exact = evaluate(run, device="cpu")
    faiss = evaluate(run, device="cpu", index="faiss-flat")
    assert asked == [("exact", "cpu"), ("faiss-flat", "cpu")]
    assert faiss.reports[0].provenance["evaluation"]["index"] == "faiss-flat"
    one, other = (row_of(r.reports[0], "training-places").scores for r in (exact, faiss))
    assert one.summary == pytest.approx(other.summary)


def test_a_number_that_is_not_finite_is_named_by_its_place(make_run):
    run = make_run()
    record = run.read_record() | {"best": {"value": float("nan")}}
    run.record.write_text(json.dumps(record))
    with pytest.raises(DataError, match=r"reports\[0\]\.provenance\.best\.value"):
        evaluate(run)


def test_the_file_of_a_moved_backbone_reaches_the_model(make_run, monkeypatch, tmp_path):
    run = make_run()
    given = []

    def noted(folder, *, device, backbone_weights):
        given.append(backbone_weights)
        return load_model(folder, device=device)

    monkeypatch.setattr(trained_run, "load_model", noted)
    file = tmp_path / "weights.pt"
    evaluate(run, backbone_weights=file)
    words = ["--backbone-weights", str(file)]
    shards = str(tmp_path / "test")
    assert main(["evaluate", str(run.path), "--gallery", "even-land", *words]) == 0
    assert main(["embed", str(run.path), "--data", shards, "--out", f"{tmp_path}/e", *words]) == 0
    assert main(["gallery", "build", "--run", str(run.path), *words]) == 0
    assert given == [file] * 4


def test_each_decoding_is_a_row_and_a_table_of_its_own_beside_its_gallery(make_run):
    run, said = make_run(), []
    request = evaluate_run.EvaluationRequest(
        run_folder=run.path,
        workers=0,
        galleries=("training-places", "even-land"),
        decodings=("posterior", "argmax", "refined", "posterior"),
    )
    result = evaluate_run.evaluate_run(request, say=said.append)
    (report,) = result.reports
    labels = [
        f"{gallery}+{decoding}"
        for gallery in ("training-places", "even-land")
        for decoding in ("posterior", "refined")
    ]
    found = [row.name for row in report.rows if row.kind == "gallery"]
    assert found == ["training-places", "even-land", *labels]
    assert report.provenance["evaluation"]["decodings"] == ["posterior", "refined"]
    # the ceiling is stated for the galleries, which it bounds
    ceilings = {row.name: "gallery" in row.scores.ceilings for row in report.rows}
    assert ceilings["even-land"]
    assert not ceilings["even-land+refined"]
    assert result.to_text().count("ceiling") == 2
    plain = read_predictions(run.evaluation / "easy/even-land/predictions.parquet")
    refined = read_predictions(run.evaluation / "easy/even-land+refined/predictions.parquet")
    assert list(refined["key"]) == list(plain["key"])
    assert (refined["score"] >= plain["score"] - 1e-6).all()
    moved = great_circle_km(
        plain[["pred_lat_deg", "pred_lon_deg"]].to_numpy(),
        refined[["pred_lat_deg", "pred_lon_deg"]].to_numpy(),
    )
    assert moved.max() > 1.0
    for before, after, place in zip(
        plain["top_lat_deg"], refined["top_lat_deg"], refined["pred_lat_deg"], strict=True
    ):
        assert after[0] == place
        assert list(after[1:]) == list(before[1:])
    told = json.loads((run.evaluation / "easy/decodings.json").read_text())["gains"]
    assert {gain["arm"] for gain in told} == set(labels)
    gain = next(
        gain for gain in told if (gain["arm"], gain["metric"]) == ("even-land+refined", "median_km")
    )
    true = plain[["true_lat_deg", "true_lon_deg"]].to_numpy()
    before, after = (
        np.median(great_circle_km(true, each[["pred_lat_deg", "pred_lon_deg"]].to_numpy()))
        for each in (plain, refined)
    )
    assert gain["delta"] == pytest.approx(before - after)
    assert sum(line.startswith("even-land+refined over even-land: within 25 km") for line in said)


def test_an_unknown_decoding_is_refused_before_anything_is_computed(make_run):
    with pytest.raises(ConfigError, match="no decoding 'best'"):
        evaluate(make_run(), decodings=("best",))

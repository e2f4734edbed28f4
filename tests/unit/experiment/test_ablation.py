"""A study of tiny runs, from its file to its table: once whole, once broken off."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import ClassVar

import numpy as np
import pytest
import yaml

from geoloc.errors import ConfigError, DataError, TrainingError
from geoloc.experiment import run_processes
from geoloc.experiment.ablation import run_study
from geoloc.experiment.ablation_rows import rows_of_run
from geoloc.experiment.ablation_schema import arm_config, load_ablation
from geoloc.experiment.ablation_text import StudyResult, study_terminal
from geoloc.experiment.evaluate_run import EvaluationRequest, evaluate_run
from geoloc.experiment.loading import load_config
from geoloc.experiment.train_run import train_run
from tests.unit.experiment.conftest import write_shards

METRICS = {
    *(f"accuracy@{km}km" for km in (25, 200, 750, 2500)),
    *(f"recall@{k}" for k in (1, 5, 10)),
    "geoscore",
    "median_km",
}


class _Here(Popen[bytes]):
    """Stands for a process: trains at once in this one, so that torch is not loaded again."""

    begun: ClassVar[list[str]] = []
    fail: ClassVar[str | None] = None

    def __init__(self, command: list[str], **_: object) -> None:
        self.returncode = 0
        name = Path(command[-1]).stem
        _Here.begun.append(name)
        self.code = 3 if name == _Here.fail else 0
        if self.code == 0:
            train_run(load_config(command[-1]), say=lambda _: None)

    def wait(self, timeout: float | None = None) -> int:
        del timeout
        return self.code

    def terminate(self) -> None:
        pass


@pytest.fixture(scope="module", autouse=True)
def here() -> Iterator[type[_Here]]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(run_processes, "Popen", _Here)
        yield _Here


@pytest.fixture(scope="module")
def study_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for seed, (name, count) in enumerate({"train": 16, "easy": 12, "block": 10}.items()):
        write_shards(folder / name, count, seed=seed)
    image = {"kind": "conv", "name": "x", "weights": None, "image_size": 32, "width": 8}
    experiment = {
        "name": "tiny",
        "run_dir": "unused",
        "data": {
            "train": str(folder / "train"),
            "tests": {"easy": str(folder / "easy"), "block": str(folder / "block")},
            "workers": 0,
            "batch_size": 8,
        },
        "model": {
            "image_encoder": image,
            "location_encoder": {"sigmas": [1.0], "hidden": 16, "features": 8},
            "embedding_dim": 16,
            "head_hidden": 16,
            "frozen_backbone": False,
        },
        "negatives": {"queue": 8},
        "training": {"epochs": 1, "device": "cpu"},
        "evaluation": {"even_land_places": 50, "protocols": ["osv5m-official"]},
    }
    (folder / "run.yaml").write_text(yaml.safe_dump(experiment, sort_keys=False))
    study = {
        "name": "tiny_study",
        "experiment": "run.yaml",
        "arms": {
            "all": {"negatives.rule": "all"},
            "distance": {"negatives.rule": "distance"},
            "no_queue": {"negatives.queue": 0},
        },
        "seeds": [1, 2],
        "resamples": 50,
        "jobs": 1,
    }
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(study, sort_keys=False))
    return path


@pytest.fixture(scope="module")
def finished(study_file: Path) -> tuple[Path, StudyResult, list[str]]:
    """The study, done once: its folder, its result and what was said."""
    out, said = study_file.parent / "out", []
    _Here.begun.clear()
    result = run_study(load_ablation(study_file), out=out, say=said.append)
    assert len(_Here.begun) == 6
    return out, result, said


@pytest.fixture
def out(finished: tuple[Path, StudyResult, list[str]], tmp_path: Path) -> Path:
    """A copy of the finished study's folder, to be spoilt."""
    _Here.begun.clear()
    return Path(shutil.copytree(finished[0], tmp_path / "out"))


def quiet(_: str) -> None:
    pass


def test_what_a_study_writes(
    study_file: Path, finished: tuple[Path, StudyResult, list[str]]
) -> None:
    out, result, said = finished
    study = load_ablation(study_file)
    assert any("6/6  no_queue, seed 2" in line for line in said)

    told = json.loads((out / "ablation.json").read_text())
    names = METRICS | {f"block/{name}" for name in METRICS}
    assert list(told["arms"]) == ["all", "distance", "no_queue"]
    assert all(set(metrics) == names for metrics in told["arms"].values())
    assert all(len(values) == 2 for metrics in told["arms"].values() for values in metrics.values())
    pairs = {
        ("all", "distance"),
        ("distance", "all"),
        ("no_queue", "all"),
        ("no_queue", "distance"),
    }
    assert {(c["arm"], c["baseline"]) for c in told["comparisons"]} == pairs
    assert len(told["comparisons"]) == len(pairs) * len(names)
    for each in told["comparisons"]:
        sign = -1 if each["metric"].endswith("median_km") else 1
        mine, base = (np.mean(told["arms"][each[a]][each["metric"]]) for a in ("arm", "baseline"))
        assert each["delta"] == pytest.approx(sign * (mine - base))
        assert each["low"] <= each["high"]
    assert told["splits"] == ["easy", "block"]
    assert [len(told["cost"]["seconds"][arm]) for arm in told["arms"]] == [2, 2, 2]
    assert told["provenance"]["config_hash"]

    page = (out / "ablation.md").read_text()
    assert page.count("\n| no_queue |") == 6
    assert (out / "ablation.png").stat().st_size > 10_000
    assert "no_queue" in study_terminal(study, result)
    again = load_ablation(out / "ablation.yaml")
    assert again.arms == study.arms
    assert again.experiment == out / "experiment.yaml"


def test_numbers_are_those_of_geoloc_evaluate(out: Path) -> None:
    request = EvaluationRequest(
        run_folder=out / "runs/distance-seed2", galleries=("training-places",)
    )
    reports = evaluate_run(request, say=quiet).reports
    told = json.loads((out / "ablation.json").read_text())["arms"]["distance"]
    assert [report.split for report in reports] == ["easy", "block"]
    for prefix, report in zip(("", "block/"), reports, strict=True):
        scores = report.rows[0].scores
        for km in (25, 200, 750, 2500):
            expected = scores.metrics[f"Accuracy_{km}_km_radius"]
            assert told[f"{prefix}accuracy@{km}km"][1] == pytest.approx(expected)
        for name in ("median_km", "geoscore"):
            assert told[prefix + name][1] == pytest.approx(scores.summary[name])
        for k in (1, 5, 10):
            name = f"recall@{k}"
            assert told[prefix + name][1] == pytest.approx(report.recall[name])


def test_what_is_finished_is_not_trained_again(study_file: Path, out: Path) -> None:
    before = json.loads((out / "ablation.json").read_text())
    (out / "ablation.json").unlink()
    run_study(load_ablation(study_file), out=out, say=quiet)
    after = json.loads((out / "ablation.json").read_text())
    assert not _Here.begun
    for key in ("arms", "comparisons", "cost"):
        assert after[key] == before[key]


def test_a_study_goes_on_and_grows(
    study_file: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = json.loads((out / "ablation.json").read_text())["arms"]
    study = load_ablation(study_file, ["seeds=[1,2,5]"])
    monkeypatch.setattr(_Here, "fail", "distance-seed5")
    with pytest.raises(TrainingError, match="distance-seed5 ended with code 3"):
        run_study(study, out=out, say=quiet)
    monkeypatch.setattr(_Here, "fail", None)
    _Here.begun.clear()
    run_study(study, out=out, say=quiet)
    assert "all-seed5" not in _Here.begun
    assert "distance-seed5" in _Here.begun
    grown = json.loads((out / "ablation.json").read_text())["arms"]
    assert grown["no_queue"]["geoscore"][:2] == before["no_queue"]["geoscore"]
    assert len(grown["no_queue"]["geoscore"]) == 3


def test_runs_of_other_settings_are_not_taken(study_file: Path, out: Path) -> None:
    other = load_ablation(study_file, ["change.optimizer.learning_rate=1e-2"])
    with pytest.raises(ConfigError, match="all-seed1 holds a run with other settings"):
        run_study(other, out=out, say=quiet)
    assert not _Here.begun


def test_contradictions_are_told_before_anything_is_trained(
    study_file: Path, tmp_path: Path
) -> None:
    _Here.begun.clear()
    for words, message in (
        (["arms.no_queue.data.cache_features=true"], r"arm no_queue: .*frozen_backbone"),
        (["arms.no_queue.negatives.quue=1"], "negatives.quue"),
        (["experiment=none.yaml"], "cannot read"),
    ):
        with pytest.raises(ConfigError, match=message):
            run_study(load_ablation(study_file, words), out=tmp_path / "o", say=quiet)
    untested = study_file.with_name("untested.yaml")
    tree = yaml.safe_load((study_file.parent / "run.yaml").read_text())
    del tree["data"]["tests"]
    untested.write_text(yaml.safe_dump(tree))
    study = load_ablation(study_file, ["experiment=untested.yaml"])
    with pytest.raises(ConfigError, match="no test split"):
        run_study(study, out=tmp_path / "o", say=quiet)
    assert not _Here.begun
    assert not (tmp_path / "o").exists()


def test_blocks_too_large_to_draw_from(study_file: Path, out: Path) -> None:
    study = load_ablation(study_file, ["block_km=50000.0"])
    with pytest.raises(ConfigError, match="make block_km smaller"):
        run_study(study, out=out, say=quiet)


def test_rows_are_kept_and_other_rows_are_seen(study_file: Path, out: Path) -> None:
    file = out / "runs/all-seed2/rows-training-places.npz"
    kept = rows_of_run(file.parent, "training-places", say=quiet)["easy"]
    assert kept.distance_km.shape == kept.rank.shape == (12,)
    file.write_bytes(file.read_bytes()[:500])
    again = rows_of_run(file.parent, "training-places", say=quiet)["easy"]
    assert np.array_equal(again.distance_km, kept.distance_km)
    with np.load(file) as arrays:
        turned = {name: arrays[name][::-1] for name in arrays.files}
    np.savez(file, **turned)
    with pytest.raises(DataError, match="all, seed 2 answered other rows of easy"):
        run_study(load_ablation(study_file), out=out, say=quiet)


class _Endless(Popen[bytes]):
    """A run that ends only when it is told to; its study gets a SIGTERM meanwhile."""

    ended: ClassVar[list[bool]] = []

    def __init__(self, command: list[str], **_: object) -> None:
        del command
        self.returncode = 0
        self.told = threading.Event()

    def wait(self, timeout: float | None = None) -> int:
        del timeout
        os.kill(os.getpid(), signal.SIGTERM)
        _Endless.ended.append(self.told.wait(20.0))
        return 143

    def terminate(self) -> None:
        self.told.set()


def test_a_study_that_is_ended_takes_its_runs_along(
    study_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_processes, "Popen", _Endless)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        run_study(load_ablation(study_file), out=tmp_path / "out", say=quiet)
    assert left.value.code == 143
    assert _Endless.ended == [True]
    assert signal.getsignal(signal.SIGTERM) == before
    assert not (tmp_path / "out/ablation.json").exists()


def test_no_run_begins_once_a_study_has_ended(study_file: Path, tmp_path: Path) -> None:
    config = arm_config(load_ablation(study_file), "all", 0, out=tmp_path)
    processes = run_processes.RunProcesses(threads=1)
    processes.stop()
    _Here.begun.clear()
    with pytest.raises(TrainingError, match="not begun"):
        processes.train(config)
    assert not _Here.begun

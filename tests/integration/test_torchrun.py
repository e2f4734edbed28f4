"""Two processes under torchrun train what one process with batches twice as large does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

from tests.unit.experiment.conftest import write_shards

TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


def config(folder: Path) -> Path:
    write_shards(folder / "train", 45, seed=1)
    write_shards(folder / "val", 12, seed=2)
    tree = {
        "name": "two",
        "run_dir": str(folder / "unused"),
        "data": {
            "train": str(folder / "train"),
            "validation": str(folder / "val"),
            "cache_features": True,
            "cache_folder": str(folder / "features"),
            "workers": 0,
        },
        "model": {
            "image_encoder": {
                "kind": "conv",
                "name": "x",
                "weights": None,
                "image_size": 32,
                "width": 8,
            },
            "location_encoder": {"sigmas": [1.0], "hidden": 16, "features": 8},
            "embedding_dim": 16,
            "head_hidden": 16,
        },
        "negatives": {"queue": 8, "rule": "distance", "near_km": 1000.0},
        "optimizer": {"learning_rate": 1e-3},
        "training": {"epochs": 2, "device": "cpu", "log_every_steps": 1, "direction": "symmetric"},
        "evaluation": {"even_land_places": 50},
    }
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def train(launcher: list[str], file: Path, run: Path, *words: str) -> str:
    done = subprocess.run(
        [*launcher, "-m", "geoloc", "train", str(file), f"run_dir={run}", *words],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("torchrun")
    file = config(folder)
    train([sys.executable], file, folder / "one", "data.batch_size=16")
    return folder, train(TWO, file, folder / "two", "data.batch_size=8")


def test_weights_and_measurements_agree(runs: tuple[Path, str]) -> None:
    one, two = (runs[0] / name for name in ("one", "two"))
    last = Path("checkpoints/last/model.safetensors")
    alone, together = load_file(one / last), load_file(two / last)
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, rtol=0, atol=1e-5)
    lines = [
        [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
        for run in (one, two)
    ]
    assert [line["step"] for line in lines[0]] == [line["step"] for line in lines[1]]
    for mine, theirs in zip(*lines, strict=True):
        if "train/loss" in mine:
            assert theirs["train/loss"] == pytest.approx(mine["train/loss"], abs=1e-5)


def test_only_the_main_process_speaks_and_writes(runs: tuple[Path, str]) -> None:
    folder, said = runs
    assert said.count("training two on cpu") == 1
    told = [line for line in said.splitlines() if line.endswith(" steps") or " steps;" in line]
    assert len(told) == 2, "one line when it begins, one when it ends"
    assert json.loads((folder / "two/run.json").read_text())["finished"]
    assert sorted(p.name for p in (folder / "two").iterdir()) == sorted(
        p.name for p in (folder / "one").iterdir()
    )


def test_several_processes_without_a_launcher_are_told_what_is_missing(
    runs: tuple[Path, str],
) -> None:
    environment = {k: v for k, v in ENVIRONMENT.items() if k not in {"RANK", "MASTER_ADDR"}}
    done = subprocess.run(
        [sys.executable, "-m", "geoloc", "train", str(runs[0] / "config.yaml")],
        env={**environment, "WORLD_SIZE": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert "RANK is not set: start several processes with torchrun" in done.stderr
    assert "Traceback" not in done.stderr

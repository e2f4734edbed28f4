"""A run that is killed without warning goes on and ends with the weights of a straight run."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WORDS = [
    sys.executable,
    str(ROOT / "train.py"),
    str(ROOT / "configs/resume_check.yaml"),
    "resume=auto",
    "data.earth_tiles.train=400",
    "data.earth_tiles.pixels=24",
    "data.earth_tiles.validation=40",
    "data.batch_size=32",
    "model.image_encoder.image_size=24",
    "training.checkpoint_every_steps=3",
    "training.epochs=2",
]


def train(folder: Path, name: str) -> subprocess.Popen:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # The tiles hold one shard, which two workers cannot share.
    words = [*WORDS, f"run_dir={folder / name}", "data.workers=0"]
    with (folder / f"{name}.log").open("a") as log:
        return subprocess.Popen(words, cwd=folder, env=environment, stdout=log, stderr=log)


def digest(run: Path) -> str:
    return hashlib.sha256((run / "checkpoints/last/model.safetensors").read_bytes()).hexdigest()


def wait_for_checkpoint(run: Path, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not list(run.glob("checkpoints/step-*/")) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed_equals_straight(tmp_path, sent):
    straight = train(tmp_path, "straight")
    assert straight.wait(timeout=300) == 0, (tmp_path / "straight.log").read_text()
    killed = train(tmp_path, "killed")
    wait_for_checkpoint(tmp_path / "killed", killed)
    killed.send_signal(sent)
    code = killed.wait(timeout=120)
    assert code == (-9 if sent == signal.SIGKILL else 143)
    again = train(tmp_path, "killed")
    assert again.wait(timeout=300) == 0, (tmp_path / "killed.log").read_text()
    assert digest(tmp_path / "killed") == digest(tmp_path / "straight")

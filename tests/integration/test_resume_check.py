"""Runs that are killed, told to stop, or out of disk go on and end as a straight run does."""

import hashlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from geoloc.training import find_latest
from tests.unit.experiment.conftest import write_shards

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


def train(folder: Path, name: str, *words: str, limit: int | None = None) -> subprocess.Popen:
    """A run as the leader of a process group; files longer than the limit cannot be written."""

    def limited() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    # The tiles hold one shard, which two workers cannot share.
    given = [*WORDS, f"run_dir={folder / name}", *(words or ("data.workers=0",))]
    with (folder / f"{name}.log").open("a") as log:
        return subprocess.Popen(
            given,
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=limited,
        )


def digest(run: Path) -> str:
    return hashlib.sha256((run / "checkpoints/last/model.safetensors").read_bytes()).hexdigest()


def wait_for(run: Path, pattern: str, process: subprocess.Popen) -> None:
    until = time.monotonic() + 120
    while not list(run.glob(f"checkpoints/{pattern}")) and process.poll() is None:
        assert time.monotonic() < until
        time.sleep(0.002)


@pytest.fixture(scope="module")
def tiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the tiles and a straight run."""
    folder = tmp_path_factory.mktemp("tiles")
    straight = train(folder, "straight")
    assert straight.wait(timeout=300) == 0, (folder / "straight.log").read_text()
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_killed_and_resumed_equals_straight(tiles: Path, sent: signal.Signals):
    name = sent.name
    killed = train(tiles, name)
    wait_for(tiles / name, "step-*/", killed)
    killed.send_signal(sent)
    code = killed.wait(timeout=120)
    assert code == (-9 if sent == signal.SIGKILL else 143)
    again = train(tiles, name)
    assert again.wait(timeout=300) == 0, (tiles / f"{name}.log").read_text()
    assert digest(tiles / name) == digest(tiles / "straight")


@pytest.mark.slow
def test_told_by_the_scheduler_then_a_full_disk_then_to_the_end(tiles: Path):
    run, log = tiles / "requeued", tiles / "requeued.log"
    told = train(tiles, "requeued")
    wait_for(run, "step-*/", told)
    os.killpg(told.pid, signal.SIGUSR1)
    assert told.wait(timeout=120) == 128 + signal.SIGUSR1
    before = find_latest(run / "checkpoints")
    assert before is not None
    said = len(log.read_text())
    size = (before / "optimizer.safetensors").stat().st_size
    full = train(tiles, "requeued", limit=size // 2)
    assert full.wait(timeout=120) == 2
    *_, last = lines = log.read_text()[said:].strip().splitlines()
    assert last.startswith("geoloc: cannot save the checkpoint")
    assert "intact" in last
    assert not any("Traceback" in line for line in lines)
    assert find_latest(run / "checkpoints") == before
    assert train(tiles, "requeued").wait(timeout=300) == 0, log.read_text()
    assert digest(run) == digest(tiles / "straight")


def timeless(run: Path) -> list[dict[str, object]]:
    lines = [
        json.loads(line)
        for name in ("metrics.jsonl", "samples.jsonl")
        for line in (run / name).read_text().splitlines()
    ]
    return [{k: v for k, v in line.items() if k[:6] != "speed/"} for line in lines]


def kill_inside_a_save(run: Path, process: subprocess.Popen) -> None:
    """SIGKILL the whole group while a checkpoint is half written; a stop makes sure that it is."""
    while True:
        wait_for(run, ".step-*.writing", process)
        os.killpg(process.pid, signal.SIGSTOP)
        if list(run.glob("checkpoints/.step-*.writing")) and find_latest(run / "checkpoints"):
            break
        os.killpg(process.pid, signal.SIGCONT)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait(timeout=120) == -9


@pytest.mark.slow
def test_killed_inside_a_save_with_its_workers_every_step_is_the_same(tmp_path: Path):
    for number in range(4):
        write_shards(tmp_path / f"part{number}", 60, seed=number)
    words = (
        f"data.train={tmp_path}/part{{0..3}}/00000.tar",
        *("data.validation=null", "data.tests={}", "data.make_earth_tiles=null"),
        *("data.workers=2", "data.shuffle_buffer=30", "training.trace_samples=true"),
        *("training.log_every_steps=1", "training.checkpoint_every_steps=2"),
        # Without sizes.json the number of steps is not known.
        "optimizer.schedule=constant",
    )
    straight = train(tmp_path, "straight", *words)
    killed = train(tmp_path, "killed", *words)
    kill_inside_a_save(tmp_path / "killed", killed)
    before = timeless(tmp_path / "killed")
    assert straight.wait(timeout=300) == 0, (tmp_path / "straight.log").read_text()
    again = train(tmp_path, "killed", *words)
    assert again.wait(timeout=300) == 0, (tmp_path / "killed.log").read_text()
    wanted = timeless(tmp_path / "straight")
    assert timeless(tmp_path / "killed") == wanted
    assert before
    assert all(line in wanted for line in before), "what was done again was the same before"
    assert digest(tmp_path / "killed") == digest(tmp_path / "straight")
    left = [path.name for path in (tmp_path / "killed/checkpoints").iterdir()]
    assert len(left) == 3, "two checkpoints and last: what the kill left is gone"
    keys = [key for line in wanted if "keys" in line for key in line["keys"]]
    assert len(keys) == 2 * 240

"""Loader workers that die or hang while a run trains."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import get_worker_info
from training_worlds import StopAt, assert_same_checkpoints, make_trainer

from geoloc.data import ShardStream
from geoloc.data.stream_stages import open_sample
from geoloc.errors import DataError
from geoloc.models import ImagePreset
from geoloc.training import Trainer, find_latest
from tests.unit.experiment.conftest import write_shards

STEPS = 12


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards")
    for number in range(4):
        write_shards(folder / f"part{number}", 24, seed=number)
    return folder


def trainer_in(folder: Path, shards: Path, sink: StopAt, **options: Any) -> Trainer:
    stream = ShardStream(
        [str(shards / f"part{number}" / "00000.tar") for number in range(4)],
        ImagePreset(size=4),
        batch_size=8,
        workers=2,
        start_method="fork",
        **options,
    )
    return make_trainer(folder, data=stream, sink=sink, epochs=1, checkpoint_every_steps=1)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory, shards: Path) -> Path | None:
    folder = tmp_path_factory.mktemp("straight")
    trainer_in(folder, shards, StopAt()).run()
    return find_latest(folder / "checkpoints")


def assert_goes_on_exactly(folder: Path, shards: Path, straight: Path | None) -> None:
    trainer = trainer_in(folder, shards, StopAt())
    step = trainer.restore()
    assert step is not None
    assert 0 < step < STEPS
    assert trainer.run().step == STEPS
    assert_same_checkpoints(straight, find_latest(folder / "checkpoints"))


def test_a_worker_that_dies_in_the_middle_of_a_step_ends_the_run_clearly_and_it_goes_on_exactly(
    tmp_path: Path, shards: Path, straight: Path
):
    class Killing(StopAt):
        def write(self, step, values) -> None:
            super().write(step, values)
            if step == 4:
                worker = multiprocessing.active_children()[0]
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGKILL)
                for _ in range(3000):
                    time.sleep(0.01)

    trainer = trainer_in(tmp_path, shards, Killing())
    with pytest.raises(DataError, match=r"a loader worker died.*fewer workers"):
        trainer.run()
    assert_goes_on_exactly(tmp_path, shards, straight)


def test_a_worker_that_hangs_is_given_up_and_the_run_goes_on_exactly(
    tmp_path: Path, shards: Path, straight: Path, monkeypatch: pytest.MonkeyPatch
):
    calls = {"done": 0}

    def hanging(*args: Any, **kwargs: Any) -> Any:
        calls["done"] += 1
        info = get_worker_info()
        if calls["done"] > 30 and info is not None and info.id == 1:
            time.sleep(1e6)
        return open_sample(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr("geoloc.data.stream_stages.open_sample", hanging)
        # How long torch gives a worker to leave by itself, five seconds else.
        patch.setattr("torch.utils.data._utils.MP_STATUS_CHECK_INTERVAL", 0.1)
        trainer = trainer_in(tmp_path, shards, StopAt(), timeout_s=1.0)
        with pytest.raises(DataError, match=r"died or hangs.*timed out after 1\.0 seconds"):
            trainer.run()
    for worker in multiprocessing.active_children():
        # One that hangs has had a single SIGTERM, and is gone with the second.
        worker.terminate()
    assert_goes_on_exactly(tmp_path, shards, straight)

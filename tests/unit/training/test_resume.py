from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from training_worlds import ImageStream, StopAt, assert_same_checkpoints, make_trainer

from geoloc.data.feature_batches import FeatureBatches
from geoloc.errors import CheckpointError
from geoloc.training import OptimizerSettings, find_latest
from tests.unit.data.written_caches import write_cache


def end(folder: Path) -> Path:
    path = find_latest(folder / "checkpoints")
    assert path is not None
    return path


@pytest.mark.parametrize("stop", [1, 4, 5, 6, 13, 15])
def test_stop_at_any_step_and_resume_ends_with_the_same_bits(tmp_path: Path, stop: int):
    straight_sink, stopped_sink = StopAt(), StopAt(stop)
    straight = make_trainer(tmp_path / "straight", sink=straight_sink).run()
    first = make_trainer(tmp_path / "stopped", sink=stopped_sink)
    result = first.run()
    assert result.interrupted == signal.SIGTERM
    assert result.step == stop
    second_sink = StopAt()
    second_sink.written = stopped_sink.written
    second = make_trainer(tmp_path / "stopped", sink=second_sink)
    torch.manual_seed(99)  # another process has other global generators
    np.random.seed(99)  # noqa: NPY002
    assert second.restore() == stop
    assert second.run().step == straight.step == 15
    assert_same_checkpoints(end(tmp_path / "straight"), end(tmp_path / "stopped"))
    timeless = [
        [
            (step, {k: v for k, v in line.items() if k[:6] == "train/"})
            for step, line in sink.written
        ]
        for sink in (straight_sink, second_sink)
    ]
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize("schedule", ["cosine", "exponential"])
def test_resume_is_exact_with_accumulation_schedule_window_and_symmetric_loss(
    tmp_path: Path, schedule: str
):
    optimizer = OptimizerSettings(
        name="adamw", learning_rate=3e-3, schedule=schedule, warmup_steps=2, clip_norm=0.5
    )
    common = {
        "optimizer": optimizer,
        "accumulate": 2,
        "both_ways": True,
        "log_every_steps": 4,
        "epochs": 4,
    }
    straight = StopAt()
    make_trainer(tmp_path / "a", sink=straight, **common).run()
    stopped = StopAt(4)
    make_trainer(tmp_path / "b", sink=stopped, **common).run()
    resumed = make_trainer(tmp_path / "b", sink=stopped, **common)
    stopped.step = None
    resumed.restore()
    assert resumed.run().step == 12
    assert_same_checkpoints(end(tmp_path / "a"), end(tmp_path / "b"))
    losses = [[v["train/loss"] for _, v in sink.written] for sink in (straight, stopped)]
    assert losses[0] == losses[1]


class Crash(Exception):
    pass


@pytest.mark.parametrize("crash_at", [3, 7, 8, 14])
def test_a_crash_goes_on_from_the_last_checkpoint_inside_the_epoch(tmp_path: Path, crash_at: int):
    class CrashingStream(ImageStream):
        def batch(self, epoch: int, number: int):
            if epoch * self.batches + number == crash_at:
                raise Crash
            return super().batch(epoch, number)

    common = {"checkpoint_every_steps": 2, "keep_last": 1}
    make_trainer(tmp_path / "a", **common).run()
    with pytest.raises(Crash):
        make_trainer(tmp_path / "b", data=CrashingStream(), **common).run()
    resumed = make_trainer(tmp_path / "b", data=ImageStream(), **common)
    step = resumed.restore()
    assert step is not None
    assert crash_at - 3 <= step < crash_at
    resumed.run()
    assert_same_checkpoints(end(tmp_path / "a"), end(tmp_path / "b"))


def test_resume_repeats_no_sample_and_leaves_none_out(tmp_path: Path):
    straight, first, second = ImageStream(), ImageStream(), ImageStream()
    make_trainer(tmp_path / "a", data=straight).run()
    make_trainer(tmp_path / "b", data=first, sink=StopAt(7)).run()
    trainer = make_trainer(tmp_path / "b", data=second)
    trainer.restore()
    trainer.run()
    assert first.seen + second.seen == straight.seen


def test_resume_is_exact_from_a_feature_cache(tmp_path: Path):
    stream = ImageStream(batches=4)
    cache = write_cache(
        tmp_path / "cache",
        stream.epoch(0),
        lambda image: image.flatten(1)[:, :6],
        fingerprint={"backbone": "flat"},
    )
    for name, stop in (("a", None), ("b", 5)):
        data = FeatureBatches(cache, 8, seed=1)
        make_trainer(tmp_path / name, data=data, sink=StopAt(stop)).run()
    trainer = make_trainer(tmp_path / "b", data=FeatureBatches(cache, 8, seed=1))
    assert trainer.restore() == 5
    trainer.run()
    assert_same_checkpoints(end(tmp_path / "a"), end(tmp_path / "b"))


def test_a_finished_run_resumed_stays_as_it_is(tmp_path: Path):
    make_trainer(tmp_path, sink=StopAt()).run()
    before = (end(tmp_path) / "manifest.json").read_bytes()
    sink = StopAt()
    trainer = make_trainer(tmp_path, sink=sink)
    assert trainer.restore() == 15
    assert trainer.run().step == 15
    assert sink.written == []
    assert (end(tmp_path) / "manifest.json").read_bytes() == before


def test_last_is_of_the_newest_checkpoint_after_a_crash_between_the_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def crash(folder: Path, target: Path) -> None:
        raise Crash

    make_trainer(tmp_path, sink=StopAt(14)).run()
    trainer = make_trainer(tmp_path)
    trainer.restore()
    with monkeypatch.context() as patch:
        patch.setattr("geoloc.training.checkpoint.publish_last", crash)
        with pytest.raises(Crash):
            trainer.run()
    assert end(tmp_path).name == "step-00000015"
    again = make_trainer(tmp_path)
    assert again.restore() == 15
    weights = again.run().weights
    assert weights.read_bytes() == (end(tmp_path) / "model.safetensors").read_bytes()


def test_max_steps_ends_inside_an_epoch_and_a_resumed_run_stays_there(tmp_path: Path):
    result = make_trainer(tmp_path, max_steps=7).run()
    assert (result.step, result.epoch, result.interrupted) == (7, 1, None)
    trainer = make_trainer(tmp_path, max_steps=7)
    assert trainer.restore() == 7
    assert trainer.run().step == 7


def test_resume_with_another_configuration_or_seed_is_refused(tmp_path: Path):
    make_trainer(tmp_path, config_hash="abc", max_steps=2).run()
    with pytest.raises(CheckpointError, match="config_hash"):
        make_trainer(tmp_path, config_hash="abd").restore()
    with pytest.raises(CheckpointError, match="seed"):
        make_trainer(tmp_path, config_hash="abc", seed=1).restore()


def test_a_run_does_not_start_over_the_checkpoints_of_another(tmp_path: Path):
    make_trainer(tmp_path, max_steps=2).run()
    with pytest.raises(CheckpointError, match="resume it"):
        make_trainer(tmp_path).run()


def test_a_damaged_newest_checkpoint_costs_only_the_steps_since_the_one_before(tmp_path: Path):
    make_trainer(tmp_path / "a").run()
    make_trainer(tmp_path / "b").run()
    newest = end(tmp_path / "b")
    content = bytearray((newest / "optimizer.safetensors").read_bytes())
    content[-3] ^= 1
    (newest / "optimizer.safetensors").write_bytes(bytes(content))
    trainer = make_trainer(tmp_path / "b")
    assert trainer.restore() == 10
    trainer.run()
    assert_same_checkpoints(end(tmp_path / "a"), end(tmp_path / "b"))


RUN = """
    import sys
    from pathlib import Path
    sys.path.insert(0, {here!r})
    import torch
    torch.set_num_threads(1)
    from training_worlds import ImageStream, make_trainer
    data = ImageStream()
    data.pause_s = 0.02
    trainer = make_trainer(Path(sys.argv[1]), data=data, checkpoint_every_steps=1, epochs=8)
    trainer.restore()
    result = trainer.run()
    sys.exit(0 if result.interrupted is None else 128 + result.interrupted)
"""


def start(folder: Path) -> subprocess.Popen[bytes]:
    code = textwrap.dedent(RUN).format(here=str(Path(__file__).parent))
    root = Path(__file__).parents[3]
    env = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(root), os.environ.get("PYTHONPATH", "")])
    }
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], env=env)


def wait_for(folder: Path, steps: int) -> None:
    for _ in range(6000):
        if len(list(folder.glob("checkpoints/step-*"))) and any(
            int(p.name[5:13]) >= steps for p in folder.glob("checkpoints/step-*")
        ):
            return
        time.sleep(0.01)
    raise AssertionError("the run made no progress")


def test_kill_9_in_a_real_process_changes_nothing(tmp_path: Path):
    make_trainer(tmp_path / "a", epochs=8).run()
    process = start(tmp_path / "b")
    wait_for(tmp_path / "b", 7)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert end(tmp_path / "b").name < "step-00000040"
    assert start(tmp_path / "b").wait() == 0
    assert_same_checkpoints(end(tmp_path / "a"), end(tmp_path / "b"))
    assert json.loads((end(tmp_path / "b") / "state.json").read_text())["step"] == 40

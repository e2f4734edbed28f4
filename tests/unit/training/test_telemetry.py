from __future__ import annotations

import io
import resource
import sys
import threading
from pathlib import Path

import pytest
import torch

from geoloc.errors import ConfigError, TrainingError
from geoloc.training import JsonLinesSink, ProgressSink, ScalarSink, TensorBoardSink, WandbSink
from geoloc.training.telemetry import RunningMeans


def test_tensorboard_holds_the_values_and_hides_what_is_done_again(tmp_path: Path):
    sink = TensorBoardSink(tmp_path)
    for step in (1, 2, 3):
        sink.write(step, {"train/loss": float(step)})
    sink.rewind(2)
    sink.write(3, {"train/loss": 30.0})
    sink.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert [(event.step, event.value) for event in events] == [(1, 1.0), (2, 2.0), (3, 30.0)]


# The thread of TensorBoard's that meets the full disk says so by itself.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_tensorboard_on_a_full_disk_is_a_clear_error_and_goes_on_when_there_is_space(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    others = set(threading.enumerate())
    sink = TensorBoardSink(tmp_path)
    sink.write(1, {"train/loss": 1.0})

    def write_on() -> None:
        for step in range(2, 20_000):
            sink.write(step, {"train/loss": float(step)})

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"TensorBoard's files in .* resume"):
            write_on()
        sink.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "last values" in caplog.text
    for thread in set(threading.enumerate()) - others:
        # What it says must be said while it is expected.
        thread.join()
    again = TensorBoardSink(tmp_path)
    again.rewind(5)
    again.write(6, {"train/loss": 60.0})
    again.close()
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path)).Reload().Scalars("train/loss")
    assert (events[0].step, events[0].value) == (1, 1.0)
    assert (events[-1].step, events[-1].value) == (6, 60.0)


def test_the_progress_bar_is_silent_unless_stderr_is_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
):
    for terminal in (False, True):
        stream = io.StringIO()
        stream.isatty = lambda terminal=terminal: terminal  # type: ignore[method-assign]
        monkeypatch.setattr(sys, "stderr", stream)
        sink = ProgressSink()
        sink.expect(10)
        sink.rewind(3)
        sink.write(7, {"train/loss": 1.25})
        sink.close()
        assert ("7/10" in stream.getvalue()) is terminal
        assert ("loss=1.25" in stream.getvalue()) is terminal


def test_wandb_missing_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ConfigError, match=r"geoloc\[wandb\]"):
        WandbSink(tmp_path, project="p")


def test_all_sinks_are_scalar_sinks(tmp_path: Path):
    for sink in (JsonLinesSink(tmp_path / "m"), TensorBoardSink(tmp_path), ProgressSink(None)):
        assert isinstance(sink, ScalarSink)
        sink.close()


def scalar(value: float) -> torch.Tensor:
    return torch.tensor(value)


def test_running_means_leave_invalid_steps_out():
    means = RunningMeans()
    means.add({"a": scalar(1.0)}, valid=scalar(1.0))
    means.add({"a": scalar(float("nan"))}, valid=scalar(0.0))
    means.add({"a": scalar(4.0)}, valid=scalar(1.0))
    assert means.read() == {"a": 2.5}
    assert means.read() == {}


def test_running_means_go_on_after_a_restore():
    first, second = RunningMeans(), RunningMeans()
    first.add({"a": scalar(1.0)}, valid=scalar(1.0))
    second.load_state_dict(first.state_dict(), torch.device("cpu"))
    second.add({"a": scalar(2.0)}, valid=scalar(1.0))
    assert second.read() == {"a": 1.5}

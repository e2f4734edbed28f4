from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from training_worlds import ImageStream, StopAt, make_trainer

from geoloc.errors import DataError, TrainingError
from geoloc.training import JsonLinesSink, SampleTrace, ScalarSink
from geoloc.training.json_lines import JsonLines
from geoloc.training.telemetry import SampleSink


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_json_lines_after_a_resume_have_no_step_twice(tmp_path: Path):
    path = tmp_path / "metrics.jsonl"
    first = JsonLinesSink(path)
    for step in (1, 2, 3, 4):
        first.write(step, {"loss": step / 2})
    first.close()
    with path.open("a") as stream:
        stream.write('{"step": 5, "lo')  # killed while writing
    second = JsonLinesSink(path)
    second.rewind(2)
    for step in (3, 4, 5):
        second.write(step, {"loss": step / 4})
    second.close()
    assert [line["step"] for line in lines(path)] == [1, 2, 3, 4, 5]
    assert [line["loss"] for line in lines(path)] == [0.5, 1.0, 0.75, 1.0, 1.25]


def test_json_lines_are_valid_json_even_for_nan(tmp_path: Path):
    sink = JsonLinesSink(tmp_path / "m.jsonl")
    sink.write(1, {"a": float("nan"), "b": float("inf"), "c": 1.5})
    sink.close()
    assert lines(tmp_path / "m.jsonl") == [{"step": 1, "a": None, "b": None, "c": 1.5}]


def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path):
    path = tmp_path / "m.jsonl"
    path.write_text('{"step": 1}\nnonsense\n{"step": 2}\n')
    sink = JsonLinesSink(path)
    with pytest.raises(DataError, match="line 2"):
        sink.rewind(2)
    sink.close()


@pytest.mark.parametrize("room", range(0, 60, 7))
def test_a_full_disk_takes_a_line_whole_or_not_at_all(
    tmp_path: Path, room: int, files_limited_to: Callable[..., Any]
):
    path = tmp_path / "m.jsonl"
    file = JsonLines(path)
    file.append(1, {"loss": 0.5})
    before = path.read_bytes()
    with (
        files_limited_to(len(before) + room),
        pytest.raises(TrainingError, match=r"m\.jsonl: .*resume"),
    ):
        file.append(2, {"keys": ["a" * 60]})
    assert path.read_bytes() == before
    file.append(2, {"loss": 0.25})
    file.close()
    assert [line["step"] for line in lines(path)] == [1, 2]


def test_a_rewind_on_a_full_disk_keeps_what_was_there(
    tmp_path: Path, files_limited_to: Callable[..., Any]
):
    path = tmp_path / "m.jsonl"
    file = JsonLines(path)
    for step in (1, 2, 3):
        file.append(step, {"loss": 0.5})
    before = path.read_bytes()
    with files_limited_to(10), pytest.raises(TrainingError, match="cannot write"):
        file.rewind(2)
    file.close()
    assert [each.name for each in tmp_path.iterdir()] == ["m.jsonl"]
    assert path.read_bytes() == before


def test_the_trace_names_the_samples_of_each_step_and_none_twice_after_a_resume(tmp_path: Path):
    path, numbers = tmp_path / "samples.jsonl", tmp_path / "metrics.jsonl"
    stream = ImageStream()
    for stop, data in ((StopAt(3), stream), (None, ImageStream())):
        trace = SampleTrace(path)
        trace.write_samples(4, ["written by a run that was killed after it"])
        trainer = make_trainer(
            tmp_path, data=data, sink=stop, more_sinks=(trace,), accumulate=2, epochs=2
        )
        trainer.restore()
        trainer.run()
        trace.close()
    expected = ImageStream()
    list(expected.epoch(0))
    list(expected.epoch(1))
    steps = lines(path)
    assert [line["step"] for line in steps] == [1, 2, 3, 4, 5, 6]
    assert [len(line["keys"]) for line in steps] == [14, 14, 7, 14, 14, 7]
    assert [key for line in steps for key in line["keys"]] == expected.seen
    assert not numbers.exists()


def test_a_trace_is_both_kinds_of_sink_and_one_of_numbers_only_one(tmp_path: Path):
    trace, numbers = SampleTrace(tmp_path / "s"), JsonLinesSink(tmp_path / "m")
    trace.write(1, {"loss": 1.0})
    for sink, both in ((trace, True), (numbers, False)):
        assert isinstance(sink, ScalarSink)
        assert isinstance(sink, SampleSink) is both
        sink.close()
    assert (tmp_path / "s").read_bytes() == b""

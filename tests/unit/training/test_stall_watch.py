"""A run that does not get on says so, and what it is busy with. Nothing here waits for a fixed time
but the data that is slow on purpose: it goes on when the warnings that are waited for have come."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from training_worlds import ImageStream, StopAt, make_trainer

from geoloc.batch import GeoBatch
from geoloc.models import DualEncoder
from geoloc.training import Validation
from geoloc.training.stall_watch import StallWatch

THRESHOLD_S = 0.05
PATIENCE_S = 30.0


class Warnings(logging.Handler):
    """Counts what the watch says, and lets others wait until it has said so much."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []
        self._news = threading.Condition()

    def emit(self, record: logging.LogRecord) -> None:
        with self._news:
            self.said.append(record.getMessage())
            self._news.notify_all()

    def wait_for_more(self, count: int) -> None:
        with self._news:
            wanted = len(self.said) + count
            assert self._news.wait_for(lambda: len(self.said) >= wanted, PATIENCE_S)


@pytest.fixture
def warnings() -> Iterator[Warnings]:
    handler = Warnings()
    logger = logging.getLogger("geoloc.training.stall_watch")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


class Stalling(ImageStream):
    """Gives one batch only after so many warnings."""

    def __init__(self, warnings: Warnings, *, at: int, count: int) -> None:
        super().__init__()
        self.warnings, self.at, self.count = warnings, at, count

    def batch(self, epoch: int, number: int) -> GeoBatch:
        if epoch * self.batches + number == self.at:
            self.warnings.wait_for_more(self.count)
        return super().batch(epoch, number)


def test_slow_data_are_named_with_the_step_and_counted(tmp_path: Path, warnings: Warnings):
    sink = StopAt()
    data = Stalling(warnings, at=3, count=3)
    make_trainer(tmp_path, data=data, sink=sink, epochs=1, stall_warning_s=THRESHOLD_S).run()
    told = [line for line in warnings.said if "after step 3:" in line]
    assert len(told) == 3
    assert all("waiting for data for" in line for line in told)
    assert sink.written[3][1]["speed/stalls"] == 1.0
    waits = [values["speed/longest_wait_s"] for _, values in sink.written]
    assert max(waits) == waits[3] > 0.15, "three warnings: after one, two and four thresholds"


def test_warnings_of_one_stall_come_at_doubled_intervals(warnings: Warnings):
    watch = StallWatch(THRESHOLD_S)
    with watch.running(7):
        warnings.wait_for_more(4)
        watch.completed(8)
        warnings.wait_for_more(1)
    seconds = [float(line.split()[3]) for line in warnings.said]
    assert "after step 7" in warnings.said[3]
    assert "after step 8" in warnings.said[4]
    for number, passed in enumerate(seconds[:4]):
        assert passed >= THRESHOLD_S * 2**number
    assert watch.take_stalls() == 1
    assert watch.take_stalls() == 0


def test_what_a_run_does_is_told_apart(tmp_path: Path, warnings: Warnings):
    def measure(model: DualEncoder, epoch: int) -> dict[str, float]:
        warnings.wait_for_more(1)
        return {}

    class SlowSink(StopAt):
        def write(self, step, values) -> None:
            super().write(step, values)
            if step == 2:
                warnings.wait_for_more(1)

    validation = Validation(measure=measure)
    make_trainer(
        tmp_path, sink=SlowSink(), epochs=1, validation=validation, stall_warning_s=THRESHOLD_S
    ).run()
    assert any("after step 2: the run has been between two steps" in s for s in warnings.said)
    assert any("after step 5: the run has been validating" in s for s in warnings.said)
    watch = StallWatch(THRESHOLD_S)
    with watch.running(0):
        with watch.during("waiting for data"):
            pass
        warnings.wait_for_more(1)
    assert "the run has been inside a step" in warnings.said[-1]


def test_without_a_threshold_no_thread_is_started_and_none_is_left(tmp_path: Path):
    before = threading.active_count()
    for threshold, more in ((None, 0), (1000.0, 1)):
        watch = StallWatch(threshold)
        with watch.running(0):
            assert threading.active_count() == before + more
        assert threading.active_count() == before
    with pytest.raises(RuntimeError, match="on purpose"), StallWatch(1000.0).running(0):
        raise RuntimeError("on purpose")
    assert threading.active_count() == before

from __future__ import annotations

import pytest

from geoloc.training.stall_watch import StallWatch
from geoloc.training.step_clock import StepClock


def test_the_clock_counts_images_waiting_and_the_longest_wait(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]
    monkeypatch.setattr("geoloc.training.step_clock.time.perf_counter", lambda: now[0])
    clock = StepClock(StallWatch(None))
    for step, wait_s in enumerate((0.25, 0.5, 0.25), start=1):
        with clock.waiting():
            now[0] += wait_s
        now[0] += 1.0
        clock.count(100, step=step)
    assert clock.read() == {
        "speed/images_per_s": 75.0,
        "speed/data_wait_share": 0.25,
        "speed/longest_wait_s": 0.5,
        "speed/stalls": 0.0,
    }
    now[0] += 1.0
    assert set(clock.read().values()) == {0.0}

"""StepClock: how fast the steps go, and how much of their time is spent waiting for data."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager

from geoloc.training.stall_watch import StallWatch


class StepClock:
    """Images per second, the share of the time spent waiting for data, the longest wait, stalls.

    Args:
        watch: is told what the run does, and counts the stalls.
    """

    def __init__(self, watch: StallWatch) -> None:
        self.watch = watch
        self.restart()

    def restart(self) -> None:
        """Start anew: what came before (a validation, say) counts for nothing."""
        self._start = time.perf_counter()
        self._waited_s = self._longest_wait_s = 0.0
        self._images = 0

    @contextmanager
    def waiting(self) -> Generator[None]:
        """Count the time inside as waiting for data."""
        start = time.perf_counter()
        with self.watch.during("waiting for data"):
            yield
        waited_s = time.perf_counter() - start
        self._waited_s += waited_s
        self._longest_wait_s = max(self._longest_wait_s, waited_s)

    def count(self, images: int, *, step: int) -> None:
        """Count images that were trained on in the step just completed."""
        self._images += images
        self.watch.completed(step)

    def read(self) -> dict[str, float]:
        """All values since the last read or restart (stalls: since the last read); starts anew."""
        seconds = max(time.perf_counter() - self._start, 1e-9)
        values = {
            "speed/images_per_s": self._images / seconds,
            "speed/data_wait_share": min(1.0, self._waited_s / seconds),
            "speed/longest_wait_s": self._longest_wait_s,
            "speed/stalls": float(self.watch.take_stalls()),
        }
        self.restart()
        return values

"""StallWatch: a thread that says so when a run does not get on, and what it is busy with."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager

_log = logging.getLogger(__name__)


class StallWatch:
    """Warns when no step was completed for `warning_s`, and again each time the stall has doubled.

    The run tells it what it does by setting a tuple; the thread sleeps until the earliest moment
    at which a step could be overdue.

    Args:
        warning_s: seconds without a completed step that are a stall; None never warns.
    """

    def __init__(self, warning_s: float | None) -> None:
        self._warning_s = warning_s
        self._stalls = 0
        self._ended = threading.Event()
        now = time.monotonic()
        # What the run does, since when; the step completed last, when.
        self._moment: tuple[str, float, int, float] = ("", now, 0, now)

    @contextmanager
    def running(self, step: int) -> Generator[None]:
        """Watch as long as the context is open; `step` steps were completed before."""
        self._complete(step)
        if self._warning_s is None:
            yield
            return
        self._ended.clear()
        thread = threading.Thread(
            target=self._watch, args=(self._warning_s,), name="stall watch", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()

    @contextmanager
    def during(self, what: str) -> Generator[None]:
        """Say that the run is busy with something else than a step."""
        self._enter(what)
        try:
            yield
        finally:
            self._enter("inside a step")

    def completed(self, step: int) -> None:
        """A step is done; if it took longer than `warning_s` since the one before, that counts."""
        overdue = time.monotonic() - self._moment[3]
        if self._warning_s is not None and overdue >= self._warning_s:
            self._stalls += 1
        self._complete(step)

    def take_stalls(self) -> int:
        """Stalls since the last call that are over."""
        stalls, self._stalls = self._stalls, 0
        return stalls

    def _enter(self, what: str) -> None:
        _, _, step, completed = self._moment
        self._moment = (what, time.monotonic(), step, completed)

    def _complete(self, step: int) -> None:
        now = time.monotonic()
        self._moment = ("between two steps", now, step, now)

    def _watch(self, warning_s: float) -> None:
        limit_s, told_of, sleep_s = warning_s, -1.0, warning_s
        while not self._ended.wait(sleep_s):
            what, since, step, completed = self._moment
            now = time.monotonic()
            if completed != told_of:
                limit_s = warning_s
            if now - completed >= limit_s:
                _log.warning(
                    "no step for %.3g s, after step %d: the run has been %s for %.3g s",
                    *(now - completed, step, what, now - since),
                )
                limit_s, told_of = 2 * limit_s, completed
            sleep_s = completed + limit_s - now

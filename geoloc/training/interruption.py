"""Interruption: signals become a wish that the loop grants at the end of a step."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

# SIGUSR1 and SIGUSR2 are what job schedulers are told to send some time before they kill.
_HANDLED = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2)


class StopSignals:
    """While the context is open, SIGTERM, SIGINT, SIGUSR1 and SIGUSR2 are noted, not obeyed.

    A second SIGINT raises KeyboardInterrupt, for those who cannot wait. Outside the main thread,
    where Python allows no handlers, the context does nothing. The wish outlives the context.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._owner = os.getpid()
        self._before: dict[signal.Signals, Callable[..., Any] | int | None] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in _HANDLED:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._before = {}

    def request(self, number: int = signal.SIGTERM) -> None:
        """Wish for a stop as if a signal had come."""
        self.received = int(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._owner:
            # A loader worker that was forked a moment ago and has not set its own handlers yet: the
            # signal went to the whole process group, and the worker ends with its owner.
            return
        if number == signal.SIGINT and self.received is not None:
            raise KeyboardInterrupt
        self.request(number)

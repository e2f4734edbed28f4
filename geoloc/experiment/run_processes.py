"""Training runs as processes of their own, that end when the study that began them does."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from subprocess import STDOUT, Popen

from geoloc.artifacts import read_json, write_json, write_text
from geoloc.errors import TrainingError
from geoloc.experiment.loading import config_yaml
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig

_SAID_LAST = 2000
_THREADS_OF = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass(slots=True)
class RunProcesses:
    """Runs in processes of their own; `train` may be called from several threads at once.

    Attributes:
        threads: cores that each run may use.
    """

    threads: int
    _running: list[Popen[bytes]] = field(default_factory=list, init=False)
    _stopped: bool = field(default=False, init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def train(self, config: ExperimentConfig) -> float:
        """Train one run, unless it is finished; seconds it took, those of earlier attempts too.

        Raises:
            TrainingError: the run failed (its log is named), or runs were told to stop.
        """
        folder = config.run_dir
        told = folder.with_name(f"{folder.name}.seconds.json")
        before = 0.0
        if told.is_file():
            before = float(read_json(told, what="note of a run's time")["seconds"])
            if RunDirectory(path=folder).finished:
                return before
        began = time.monotonic()
        log = folder.with_name(f"{folder.name}.log")
        code = self._run(config, log)
        took = before + time.monotonic() - began
        write_json(told, {"seconds": took})
        if code != 0:
            said = log.read_text(errors="replace")[-_SAID_LAST:].strip().splitlines()
            last = said[-1] if said else "nothing"
            raise TrainingError(
                f"{folder.name} ended with code {code} and said: {last} (log: {log})"
            )
        return took

    def stop(self) -> None:
        """Tell every run to save a checkpoint and end, and begin no other."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()

    def _run(self, config: ExperimentConfig, log: Path) -> int:
        file = config.run_dir.with_name(f"{config.run_dir.name}.yaml")
        write_text(file, config_yaml(config))
        with log.open("ab") as stream:
            with self._lock:
                # A thread whose run failed may have taken up the next before the pool was told.
                if self._stopped:
                    raise TrainingError(f"{config.run_dir.name} was not begun: the study ended")
                process = Popen(
                    [sys.executable, "-m", "geoloc", "train", str(file)],
                    stdout=stream,
                    stderr=STDOUT,
                    env={**os.environ, **dict.fromkeys(_THREADS_OF, str(self.threads))},
                )
                self._running.append(process)
            return process.wait()


@contextmanager
def leaving_on_sigterm() -> Generator[None]:
    """Let SIGTERM end this process by an exception, so that it takes its runs along."""

    def leave(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    # Only the main thread may set handlers; elsewhere signals are somebody else's business.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)

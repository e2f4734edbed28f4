"""load_messages: strands made by worker processes, in turn, or in this process."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from geoloc.data.stream_messages import StreamMessage, StreamPlan
from geoloc.data.stream_stages import worker_messages
from geoloc.data.transforms import make_ready
from geoloc.errors import DataError

_T = TypeVar("_T")
_STOPPING = {signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2}
# The first: our workers run one thread and take no lock of another. The second: advice on numbers.
_QUIET = (
    "This process .* is multi-threaded, use of fork",
    "This DataLoader will create .* worker processes",
)


def load_messages(
    plan: StreamPlan, *, processes: int, timeout_s: float, start_method: str | None
) -> Iterator[StreamMessage]:
    """What the strands of a plan send: one message of each in turn, those at their end passed over.

    The order is the same for any number of processes.

    Args:
        plan: of the pass; its first strand begins.
        processes: at most as many as strands; 0 makes all in this process.
        timeout_s: a worker that sends nothing for so long is taken for dead.
        start_method: how processes start; None as the platform does.

    Raises:
        DataError: a worker died or hangs.
    """
    messages = from_workers(
        partial(worker_messages, plan),
        processes=processes,
        timeout_s=timeout_s,
        start_method=start_method,
    )
    for message in messages:
        if message is not None:
            yield message


def from_workers(
    make: Callable[[int, int], Iterator[_T]],
    *,
    processes: int,
    timeout_s: float,
    start_method: str | None,
) -> Iterator[_T]:
    """What worker processes make: one item of each in turn, those at their end passed over.

    Args:
        make: of a worker's number and how many there are, its items.
        processes: 0 makes all in this process, as the only worker.
        timeout_s: a worker that sends nothing for so long is taken for dead.
        start_method: how processes start; None as the platform does.

    Raises:
        DataError: a worker died or hangs.
    """
    if processes:
        make_ready()
    with warnings.catch_warnings():
        _be_quiet()
        loader = _loader(make, processes=processes, timeout_s=timeout_s, start_method=start_method)
    try:
        with warnings.catch_warnings(), _signals_held():
            _be_quiet()
            messages = iter(loader)
        for message in messages:
            if message is not None:
                yield message
    except RuntimeError as error:
        # An exception of our own code inside a worker comes as it is.
        if not str(error).startswith("DataLoader"):
            raise
        raise DataError(
            f"a loader worker died or hangs: {error} Out of memory or of /dev/shm? Try fewer "
            "workers or smaller batches"
        ) from error


@contextmanager
def _signals_held() -> Generator[None]:
    """Let signals wait while workers start; each worker takes them up when it is ready."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _be_quiet() -> None:
    for text in _QUIET:
        warnings.filterwarnings("ignore", text)


def _loader(
    make: Callable[[int, int], Iterator[_T]],
    *,
    processes: int,
    timeout_s: float,
    start_method: str | None,
) -> DataLoader[_T]:
    return DataLoader(
        _Parts(make),
        batch_size=None,
        num_workers=processes,
        collate_fn=_as_it_is,
        pin_memory=torch.cuda.is_available(),
        timeout=timeout_s if processes else 0,
        multiprocessing_context=start_method if processes else None,
        worker_init_fn=_leave_signals_to_the_main_process,
        # Without one of its own, the loader draws from torch's global generator.
        generator=torch.Generator().manual_seed(0),
    )


class _Parts(IterableDataset[Any]):
    """A worker's part."""

    def __init__(self, make: Callable[[int, int], Iterator[Any]]) -> None:
        super().__init__()
        self._make = make

    def __iter__(self) -> Iterator[Any]:
        info = get_worker_info()
        if info is None:
            return self._make(0, 1)
        torch.set_num_threads(1)
        return self._make(info.id, info.num_workers)


def _leave_signals_to_the_main_process(worker: int) -> None:
    """Let a worker live on when a terminal or a job scheduler signals the whole process group.

    The main process decides: it may want to finish its step and save, and a worker that died would
    break that step. A second SIGTERM is obeyed: the loader sends one to a worker that hangs.
    """
    del worker

    def obey_the_next(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)

    for ignored in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(ignored, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, obey_the_next)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOPPING)


def _as_it_is(message: _T) -> _T:
    return message

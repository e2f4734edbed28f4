"""Work done in threads ahead of whoever waits for it, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

ItemT = TypeVar("ItemT")
ResultT = TypeVar("ResultT")


def done_ahead(
    items: Iterable[ItemT], work: Callable[[ItemT], ResultT], *, workers: int, ahead: int
) -> Iterator[ResultT]:
    """The results of `work` on each item, in the order of the items.

    Args:
        items: drawn by the caller's thread, no further ahead than results are needed.
        work: called in a thread; what it raises is raised here, in its turn.
        workers: how many threads; 0 works in the caller's own, one item at a time.
        ahead: how many results may wait or be in the making, at least 1.
    """
    if workers == 0:
        yield from map(work, items)
        return
    source = iter(items)
    with ThreadPoolExecutor(workers, thread_name_prefix="geoloc-ahead") as pool:
        waiting: deque[Future[ResultT]] = deque()
        try:
            waiting.extend(pool.submit(work, item) for item in islice(source, ahead))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(work, item) for item in islice(source, 1))
                yield result
        finally:
            # A caller who has had enough does not wait for what is still queued.
            for future in waiting:
                future.cancel()

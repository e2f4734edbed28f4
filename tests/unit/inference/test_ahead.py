"""Work ahead: in order, no further than asked, and its errors in their turn."""

from __future__ import annotations

import threading
from itertools import count, islice

import pytest

from geoloc.inference.ahead import done_ahead


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_results_come_in_order_whoever_is_slow(workers: int) -> None:
    released = threading.Event()

    def work(item: int) -> int:
        # The first waits for a later one, where there are several hands.
        if workers == 4 and item == 0:
            assert released.wait(20)
        if item == 2:
            released.set()
        return item * item

    got = list(done_ahead(range(40), work, workers=workers, ahead=5))
    assert got == [item * item for item in range(40)]


def test_no_more_is_drawn_than_may_wait() -> None:
    drawn: list[int] = []

    def items():
        for item in count():
            drawn.append(item)
            yield item

    results = done_ahead(items(), lambda item: item, workers=3, ahead=4)
    assert list(islice(results, 6)) == [0, 1, 2, 3, 4, 5]
    assert len(drawn) <= 6 + 4
    results.close()


def test_an_error_comes_after_the_results_before_it() -> None:
    def work(item: int) -> int:
        if item == 3:
            raise ValueError("three")
        return item

    results = done_ahead(range(10), work, workers=2, ahead=6)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(ValueError, match="three"):
        next(results)

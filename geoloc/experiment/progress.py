"""Progress bars on standard error, only when that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

from geoloc.batch import GeoBatch


def counted(batches: Iterable[GeoBatch], *, what: str, total: int | None) -> Iterator[GeoBatch]:
    """The batches as they come, with a bar that counts their samples.

    Args:
        batches: passed on.
        what: shown before the bar.
        total: samples to expect, if known.
    """
    with _bar(what, total) as bar:
        for batch in batches:
            yield batch
            bar.update(len(batch))


@contextmanager
def progress_of(what: str, *, unit: str) -> Generator[Callable[[int, int], None]]:
    """A callback ``(done, total)`` that moves a bar."""
    with _bar(what, None, unit=unit) as bar:

        def show(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield show


def _bar(what: str, total: int | None, *, unit: str = "image") -> Any:
    return tqdm(
        desc=what,
        total=total,
        unit=unit,
        file=sys.stderr,
        disable=not sys.stderr.isatty(),
        leave=False,
    )

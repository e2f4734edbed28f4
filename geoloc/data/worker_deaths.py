"""worker_deaths_told: a loader worker that died while its owner did something else."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from geoloc.errors import DataError


@contextmanager
def worker_deaths_told() -> Generator[None]:
    """Turn what torch raises on the death of a loader worker into a clear error.

    torch raises it wherever the main thread happens to be, in a step or a save, not only where a
    stream is read.

    Raises:
        DataError: a loader worker died.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker"):
            raise
        raise DataError(
            f"a loader worker died: {error} Out of memory or of /dev/shm? Try fewer workers or "
            "smaller batches; the checkpoints are intact, so the run can be resumed"
        ) from error

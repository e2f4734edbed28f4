"""Drawing initial weights under a seed without disturbing anybody else's random numbers."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int | None) -> Generator[None]:
    """Inside the block torch's CPU generator starts at `seed`; after it, it goes on as before.

    With None the block draws from the global generator as usual. Modules are built on the CPU,
    so the generators of other devices are left alone.
    """
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield

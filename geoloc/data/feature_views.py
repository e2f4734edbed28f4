"""drawn_views: which of a sample's cached views a batch of an epoch shows."""

from __future__ import annotations

import numpy as np
from jaxtyping import Int64
from numpy.typing import NDArray

_STEP = 0x9E3779B97F4A7C15
_WORD = 2**64 - 1


def drawn_views(
    rows: Int64[np.ndarray, " row"], *, seed: int, epoch: int, views: int
) -> Int64[np.ndarray, " row"]:
    """A view for each row, evenly drawn; (seed, epoch, row) determine it, with no state.

    SplitMix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators") over
    the row, from a start that seed and epoch give.

    Args:
        rows: of the cache.
        seed: of all draws.
        epoch: counted from 0.
        views: how many there are to draw from.
    """
    start = np.array([seed & _WORD], dtype=np.uint64)
    start = _mixed(_mixed(start + np.uint64(_STEP)) ^ np.uint64(epoch & _WORD))
    mixed = _mixed(start + (rows.astype(np.uint64) + np.uint64(1)) * np.uint64(_STEP))
    # The upper half times the number of views: no view is favoured by a remainder.
    return (((mixed >> np.uint64(32)) * np.uint64(views)) >> np.uint64(32)).astype(np.int64)


def _mixed(word: NDArray[np.uint64]) -> NDArray[np.uint64]:
    word = (word ^ (word >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    word = (word ^ (word >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return word ^ (word >> np.uint64(31))

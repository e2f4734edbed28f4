"""Order along a space-filling curve: neighbours in the order are neighbours on the ground."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import ConfigError

_BITS = 12


def hilbert_order(position: Float64[np.ndarray, "n axis"]) -> Int64[np.ndarray, " n"]:
    """The order of points along a Hilbert curve through their bounding box (two or three axes).

    Any run of the order is one compact region. Equal points keep their order.

    Source: J. Skilling, "Programming the Hilbert curve", AIP Conf. Proc. 707, 2004, pp. 381-387.
    """
    if not len(position):
        return np.empty(0, dtype=np.int64)
    low, high = position.min(axis=0), position.max(axis=0)
    side = float((high - low).max()) or 1.0
    top = (1 << _BITS) - 1
    cell = np.minimum((position - low) / side * (top + 1), top).astype(np.uint64).T.copy()
    return np.argsort(_index(_transposed(cell)), kind="stable")


def spatial_groups(position: Float64[np.ndarray, "n axis"], count: int) -> Int64[np.ndarray, " n"]:
    """Compact groups of as many samples each as can be, numbered along the curve.

    Args:
        position: of the samples (`Separation.positions`).
        count: groups wanted; there are never more than samples.

    Raises:
        ConfigError: `count` is below 1.
    """
    if count < 1:
        raise ConfigError(f"there must be at least one group, not {count}")
    number = len(position)
    group = np.empty(number, dtype=np.int64)
    group[hilbert_order(position)] = np.arange(number) * min(count, number) // number
    return group


def _transposed(axes: np.ndarray) -> np.ndarray:
    """From coordinates (axis, n) to the transposed Hilbert index, in place."""
    one = np.uint64(1)
    bit = np.uint64(1 << (_BITS - 1))
    while bit > one:
        below = bit - one
        for axis in axes:
            flip = (axis & bit) != 0
            swap = np.where(flip, np.uint64(0), (axes[0] ^ axis) & below)
            axes[0] ^= np.where(flip, below, swap)
            axis ^= swap
        bit >>= one
    for number in range(1, len(axes)):
        axes[number] ^= axes[number - 1]
    flips = np.zeros_like(axes[0])
    bit = np.uint64(1 << (_BITS - 1))
    while bit > one:
        flips ^= np.where((axes[-1] & bit) != 0, bit - one, np.uint64(0))
        bit >>= one
    return axes ^ flips


def _index(axes: np.ndarray) -> np.ndarray:
    """One number from the bits of the transposed index, the highest bit of the first axis first."""
    index = np.zeros_like(axes[0])
    for bit in range(_BITS - 1, -1, -1):
        for axis in axes:
            index = (index << np.uint64(1)) | ((axis >> np.uint64(bit)) & np.uint64(1))
    return index

"""One formula for NumPy and torch: the module whose functions fit the arrays at hand."""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

ArrayT = TypeVar("ArrayT", np.ndarray, Tensor)
"""NumPy arrays or torch tensors: whichever kind goes in comes out."""


def array_namespace(*arrays: Any) -> Any:
    """The module (numpy or torch) that computes on these arrays.

    The formulas of this room use only functions that both modules offer under one name.

    Raises:
        TypeError: NumPy arrays and tensors are mixed, or something is neither.
    """
    if all(isinstance(array, Tensor) for array in arrays):
        return torch
    if any(isinstance(array, Tensor) for array in arrays):
        raise TypeError("NumPy arrays and torch tensors are mixed: convert one of them first")
    # NumPy turns arrays without axes into scalars (np.generic) under way
    if not all(isinstance(array, np.ndarray | np.generic) for array in arrays):
        kinds = ", ".join(sorted({type(array).__name__ for array in arrays}))
        raise TypeError(f"expected NumPy arrays or torch tensors, not {kinds}")
    return np


def widen(array: ArrayT) -> ArrayT:
    """The array in float64, in which a place is right to nanometres; float32 on Apple's GPUs.

    Float32 resolves longitudes to about a metre, and sums of unit vectors no better; MPS devices
    know no float64 at all.
    """
    if isinstance(array, Tensor):
        return array if array.device.type == "mps" else array.to(torch.float64)
    return array.astype(np.float64, copy=False)


def widen_beside(value: Any, neighbour: ArrayT) -> ArrayT:
    """An array or a plain number as `widen` makes it, of the kind and device of `neighbour`."""
    if not isinstance(value, float | int):
        array_namespace(value, neighbour)
        return widen(value)
    if isinstance(neighbour, Tensor):
        return widen(torch.full((), float(value), device=neighbour.device))
    return np.asarray(float(value))


def cast_like(array: Any, model: Any) -> Any:
    """The array in the dtype of `model`."""
    xp = array_namespace(array, model)
    return array.to(model.dtype) if xp is torch else np.asarray(array, dtype=model.dtype)


def sqrt_at_zero(array: Any) -> Any:
    """Square root whose gradient at zero is zero instead of NaN (identical places, poles)."""
    xp = array_namespace(array)
    positive = array > 0
    return xp.where(positive, xp.sqrt(xp.where(positive, array, 1.0)), 0.0 * array)

"""Functions of lag that take a number, a NumPy array or a tensor, and give the same kind back."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from geoloc.geodesy.array_namespace import widen

LagT = TypeVar("LagT", float, np.ndarray, Tensor)
"""A number, a NumPy array or a tensor of lags."""


def apply_to_lags(function: Callable[[Tensor], Tensor], lag: LagT) -> LagT:
    """The function's values at some lags, computed in float64 on the device of the lags.

    Whole numbers give float64, floating ones their own dtype; lags below 0 count as 0.
    """
    if isinstance(lag, Tensor):
        given = lag.dtype if lag.is_floating_point() else torch.float64
        return function(widen(lag).clamp(min=0)).to(given)
    if isinstance(lag, np.ndarray):
        dtype = lag.dtype if np.issubdtype(lag.dtype, np.floating) else np.dtype(np.float64)
        wide = torch.from_numpy(np.array(lag, dtype=np.float64))
        return np.asarray(function(wide.clamp(min=0)).numpy().astype(dtype, copy=False))
    return float(function(torch.tensor(max(float(lag), 0.0), dtype=torch.float64)))

"""Functions of lag as tables on a device: even in the logarithm of the lag, linear in between."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float, Float32, Float64, Int64
from torch import Tensor

_FIRST_KM = 1e-3
_LAST_KM = 20_050.0
_COUNT = 2048
_STEP = (math.log(_LAST_KM) - math.log(_FIRST_KM)) / (_COUNT - 1)


def tabulate(
    curve: Callable[[Float64[np.ndarray, " lag"]], Float64[np.ndarray, "... lag"]],
    device: torch.device | str,
) -> Float32[Tensor, "... lag"]:
    """A function of lag in km, from 1 m to beyond the antipode (steps of 0.8 %)."""
    lag_km = np.exp(math.log(_FIRST_KM) + _STEP * np.arange(_COUNT))
    return torch.from_numpy(np.ascontiguousarray(curve(lag_km), dtype=np.float32)).to(device)


def look_up(
    table: Float32[Tensor, "... lag"],
    lag_km: Float[Tensor, "*pair"],
    row: Int64[Tensor, ...] | None = None,
) -> Float32[Tensor, "*pair"]:
    """The tabulated function at some lags; below 1 m as at 1 m.

    Args:
        table: of `tabulate`; with several rows, `row` says which holds for each pair.
        lag_km: lags in km.
        row: broadcastable to the lags.
    """
    place = (lag_km.float().clamp(min=_FIRST_KM).log() - math.log(_FIRST_KM)) / _STEP
    place = place.clamp(0.0, _COUNT - 1.0)
    left = place.floor().clamp(max=_COUNT - 2.0)
    index = left.to(torch.int64)
    if row is not None:
        index = index + row * _COUNT
    flat = table.reshape(-1)
    return torch.lerp(flat[index], flat[index + 1], place - left)

"""The lag at which a model has come up to its sill."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from geoloc.geostatistics.models import Model

SILL_SHARE = 0.95
"""Part of the sill at which the effective range is read."""

_SMALLEST, _LARGEST = 1e-60, 1e9
_POINTS = 257


def effective_model_lag(
    structures: tuple[Model, ...],
    *,
    nugget: Float64[Tensor, " curve"],
    partial_sill: Float64[Tensor, "curve structure"],
    scale: Float64[Tensor, "curve structure"],
    shape: Float64[Tensor, "curve structure"],
) -> Float64[Tensor, " curve"]:
    """The lag, as the model takes it, at which each curve reaches 95 % of its sill with the nugget.

    0 where the nugget alone does; right to about 1e-14. For one structure without a nugget it is
    2.996 scales of an exponential (ln 20), 1.731 of a gaussian and 0.811 of a spherical.

    Args:
        structures: the families that are summed.
        nugget: of each curve.
        partial_sill: of each structure.
        scale: of each structure.
        shape: of each structure; not read where its family has none.
    """
    goal = SILL_SHARE * (nugget + partial_sill.sum(-1))

    def below(lag: Tensor) -> Bool[Tensor, "curve point"]:
        value = nugget[:, None].expand_as(lag)
        for number, model in enumerate(structures):
            each = shape[:, number, None] if model.has_shape else None
            t = lag / scale[:, number, None]
            value = value + partial_sill[:, number, None] * model.function(t, each)
        return value < goal[:, None]

    if not structures:
        return torch.zeros_like(nugget)
    low = (scale.amin(-1) * _SMALLEST).log()
    high = (scale.amax(-1) * _LARGEST).log()
    share = torch.linspace(0, 1, _POINTS, dtype=nugget.dtype, device=nugget.device)
    for _ in range(7):
        lag = low[:, None] + share * (high - low)[:, None]
        # no model ever falls: what is below the goal stands before what is not
        count = below(lag.exp()).sum(-1, keepdim=True)
        low = lag.take_along_dim((count - 1).clamp(min=0), -1)[:, 0]
        high = lag.take_along_dim(count.clamp(max=_POINTS - 1), -1)[:, 0]
    return torch.where(nugget >= goal, 0.0, high.exp())


def first_flat_lag(
    curve: Callable[[np.ndarray], np.ndarray], start: float, end: float, slope: float
) -> float:
    """The first lag, beyond the steepest, where a curve grows by less than `slope`.

    Args:
        curve: from lags to semivariances.
        start: a lag below all structure.
        end: where the search ends.
        slope: semivariance per unit of lag.

    Returns:
        0 where the curve nowhere grows faster; infinity where it still does at the end.
    """
    grid = np.unique(np.concatenate([np.geomspace(start, end, 8001), np.linspace(0, end, 8001)]))
    growth = np.diff(curve(grid[1:])) / np.diff(grid[1:])
    middle = (grid[1:-1] + grid[2:]) / 2
    steepest = int(growth.argmax())
    if growth[steepest] < slope:
        return 0.0
    flat = np.flatnonzero(growth[steepest:] < slope)
    if not len(flat):
        return math.inf
    after = steepest + int(flat[0])
    pair = slice(after - 1, after + 1)
    return float(np.interp(-slope, -growth[pair], middle[pair]))

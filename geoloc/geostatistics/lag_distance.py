"""Great circles and chords: what a model takes for the lag between two places."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.geostatistics.lags import LagUnit
from geoloc.geostatistics.separation import sphere_radius

LagMetric: TypeAlias = Literal["chord", "great_circle", "euclidean"]
"""What models take for lag: chords or great circles on the Earth, or lags as they are."""


def model_lag(
    lag: Float64[Tensor, "*batch"], lag_metric: LagMetric, unit: LagUnit
) -> Float64[Tensor, "*batch"]:
    """The lag that a model is evaluated at: the chord 2 R sin(h / 2R) of a great circle h, or h.

    Great circles end at the antipode: longer ones count as that.
    """
    if lag_metric == "euclidean":
        return lag
    radius = sphere_radius(unit)
    lag = lag.clamp(max=math.pi * radius)
    return 2 * radius * torch.sin(lag / (2 * radius)) if lag_metric == "chord" else lag


def greatest_model_lag(lag_metric: LagMetric, unit: LagUnit) -> float:
    """The lag of antipodes, as a model takes it; infinite off the Earth."""
    if lag_metric == "euclidean":
        return math.inf
    return sphere_radius(unit) * (2 if lag_metric == "chord" else math.pi)


def great_circle_of(model_lag: float, lag_metric: LagMetric, unit: LagUnit) -> float:
    """The great circle (or plain lag) that gives a model's lag; infinite beyond the antipode."""
    if not model_lag <= greatest_model_lag(lag_metric, unit):
        return math.inf
    if lag_metric != "chord":
        return model_lag
    radius = sphere_radius(unit)
    return 2 * radius * math.asin(model_lag / (2 * radius))

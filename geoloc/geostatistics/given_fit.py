"""A model of a variogram from numbers that are known, instead of a fit."""

from __future__ import annotations

import math

import numpy as np

from geoloc.errors import ConfigError
from geoloc.geostatistics.lag_distance import LagMetric
from geoloc.geostatistics.lags import LagBins, LagUnit, check_metric
from geoloc.geostatistics.models import fixed_shapes, split_sum
from geoloc.geostatistics.variogram_fit import Structure, VariogramFit


def given_variogram(
    model: str,
    *,
    partial_sill: float,
    scale: float,
    nugget: float = 0.0,
    shape: float | None = None,
    unit: LagUnit = "km",
    lag_metric: LagMetric = "chord",
) -> VariogramFit:
    """A variogram model with parameters from elsewhere, to krige or simulate with.

    Args:
        model: one family of `geoloc.geostatistics.models`; formulas are those of R's gstat.
        partial_sill: of the structure, at least 0.
        scale: its length in `unit`, as R's gstat has it (`range` there).
        nugget: at least 0.
        shape: where the family has one; by default the family's own.
        unit: of lags.
        lag_metric: ``chord`` or ``great_circle`` on the Earth, ``euclidean`` elsewhere.

    Raises:
        ConfigError: the model is unknown or a sum, or a number is impossible.
    """
    _, structures = split_sum(model)
    if len(structures) != 1:
        raise ConfigError(f"{model!r}: name one family with a scale")
    metric = "euclidean" if lag_metric == "euclidean" else "great_circle"
    check_metric(LagBins(edges=(0.0, 1.0), unit=unit), metric)
    numbers = {"partial_sill": partial_sill, "scale": scale, "nugget": nugget}
    for name, value in numbers.items():
        if not (math.isfinite(value) and value >= 0) or (name == "scale" and value == 0):
            raise ConfigError(f"variogram: {name} cannot be {value}")
    family = structures[0]
    fixed_shapes(structures, shape)
    chosen = None if not family.has_shape else (family.default_shape if shape is None else shape)
    nothing = np.empty(0)
    return VariogramFit(
        model=model,
        structures=(
            Structure(model=family.name, partial_sill=partial_sill, scale=scale, shape=chosen),
        ),
        nugget=nugget,
        unit=unit,
        metric=metric,
        lag_metric=lag_metric,
        weights="none",
        nugget_fitted=False,
        given_shape=shape,
        max_lag=math.inf,
        min_pairs=0,
        lag=nothing,
        semivariance=nothing,
        weight=nothing,
        sse=0.0,
    )

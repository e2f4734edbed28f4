"""Cross-variograms: how two sets of features of the same samples vary together."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from jaxtyping import Float64

from geoloc.errors import DataError
from geoloc.geostatistics.accumulator import AUTO, Engine, Places, VariogramAccumulator
from geoloc.geostatistics.estimate import DEFAULT_GROUPS, accumulator_for
from geoloc.geostatistics.estimators import matheron
from geoloc.geostatistics.features import Values
from geoloc.geostatistics.lags import LagBins, Metric
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.summary import jackknife_error
from geoloc.geostatistics.variogram import Variogram


def cross_variogram(
    latlon_deg: Places,
    one: Values,
    other: Values,
    *,
    bins: LagBins,
    metric: Metric = "great_circle",
    groups: int = DEFAULT_GROUPS,
    engine: Engine = AUTO,
) -> Variogram:
    """Half the mean product of the differences of two variables, against lag.

    For vectors the product is the inner product, so that the result is the trace of the matrix of
    cross-variograms. It is negative where one variable falls as the other rises, and has no spread
    or quantiles. Of a variable with itself it is the variogram.

    The product of differences is a quarter of |sum|^2 - |difference|^2, so it comes from two passes
    of the same engine, over the sum and over the difference of the variables.

    Args:
        latlon_deg: as in `estimate_variogram`.
        one: (n,) or (n, feature).
        other: of the same shape; give both variables like variances, or the larger one's rounding
            drowns the smaller.
        bins: lag classes.
        metric: of the places.
        groups: for the jackknife.
        engine: how pairs are computed.

    Source: D. E. Myers, "Matrix formulation of co-kriging", Mathematical Geology 14, 1982,
    pp. 249-257.

    Raises:
        CoordinateError: a place is not finite or out of range.
        DataError: the variables differ in shape or are not finite, or no pair falls into a class.
    """
    if tuple(one.shape) != tuple(other.shape):
        raise DataError(f"variables of shapes {tuple(one.shape)} and {tuple(other.shape)}")
    a, b = (torch.as_tensor(each).to(torch.float64) for each in (one, other))
    passes: list[VariogramAccumulator] = []
    for values in (a + b, a - b):
        sums, labels = accumulator_for(
            latlon_deg,
            values,
            bins=bins,
            dissimilarity="squared",
            metric=metric,
            groups=groups,
            device=values.device,
        )
        sums.add(latlon_deg, values, groups=labels, engine=engine)
        passes.append(sums)
    return _combined(passes)


def _combined(passes: list[VariogramAccumulator]) -> Variogram:
    whole = passes[0].variogram(feature_dim=1)
    classes = FIRST + whole.bin
    halves = [(each.total()[classes], each.by_group()[:, :, classes]) for each in passes]
    estimated = _quarter([total for total, _ in halves])
    nothing = np.full(len(whole), np.nan)
    replicate, error = None, nothing
    if whole.replicate is not None:
        replicate = _quarter([total - pairs.sum(axis=1) for total, pairs in halves])
        without_dyad = _quarter([total - pairs for total, pairs in halves])
        error = jackknife_error(replicate, without_dyad - estimated)
    return dataclasses.replace(
        whole,
        semivariance=estimated,
        spread=nothing,
        standard_error=error,
        quantile_level=(),
        quantile=None,
        dissimilarity="cross",
        replicate=replicate,
    )


def _quarter(
    sums: list[Float64[np.ndarray, "*any moment"]],
) -> Float64[np.ndarray, "*any"]:
    """A quarter of the difference of the means of the two passes."""
    plus, minus = sums
    return (matheron(plus) - matheron(minus)) / 4.0

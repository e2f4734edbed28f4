"""Which bins of a variogram a fit uses, and how much each of them weighs."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Float64

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.separation import sphere_radius
from geoloc.geostatistics.variogram import Variogram

Weights: TypeAlias = Literal["n", "n/h2", "n/gamma2", "jackknife", "none"]

MIN_PAIRS = 30
"""Pairs that make a semivariance worth fitting (A. G. Journel, C. J. Huijbregts, 1978)."""

_FEWEST = 3
_STANDARD_ERROR_FLOOR = 0.01


def default_max_lag(variogram: Variogram) -> float:
    """A quarter of the Earth's circumference for great circles, else no limit.

    Farther pairs lie closer to the antipode than to each other, where oceans and continents rather
    than distance decide what is compared.
    """
    if variogram.metric == "great_circle":
        return math.pi * sphere_radius(variogram.unit) / 2
    return math.inf


def fitted_bins(
    variogram: Variogram, *, max_lag: float, min_pairs: int, weights: Weights = "n"
) -> Bool[np.ndarray, " class"]:
    """Bins that a fit uses: near enough, and of enough pairs.

    Where fewer than three bins have enough pairs, all that are near enough are used. With weights
    by ``jackknife`` bins without a standard error are left out.

    Raises:
        ConfigError: the weights are unknown, or the variogram has no standard errors for them.
        DataError: no bin is near enough, or the variogram is negative there (a cross-variogram).
    """
    near = (variogram.lag <= max_lag) & (variogram.lag > 0) & np.isfinite(variogram.semivariance)
    near &= bin_weights(variogram, weights) > 0
    if not near.any():
        raise DataError(f"no class of the variogram lies within lag {max_lag:g} {variogram.unit}")
    if (variogram.semivariance[near] < 0).any():
        raise DataError("models are of variograms: this one (a cross-variogram?) is negative")
    full = near & (variogram.pair_count >= min_pairs)
    return full if full.sum() >= _FEWEST else near


def bin_weights(variogram: Variogram, weights: Weights) -> Float64[np.ndarray, " class"]:
    """The weight of every bin; of ``n/gamma2`` the part that the model does not make.

    With ``jackknife`` no standard error counts as less than 1 % of its semivariance, so that no
    single bin that groups happen to agree on decides the fit; bins without one weigh nothing.

    Raises:
        ConfigError: the weights are unknown, or the variogram has no standard errors for them.
    """
    count = variogram.pair_count.astype(np.float64)
    if weights in ("n", "n/gamma2"):
        return count
    if weights == "n/h2":
        return count / np.maximum(variogram.lag, np.finfo(float).tiny) ** 2
    if weights == "none":
        return np.ones_like(count)
    if weights != "jackknife":
        raise ConfigError(f"weights {weights!r}: one of {', '.join(get_args(Weights))}")
    known = np.isfinite(variogram.standard_error)
    if not known.any():
        raise ConfigError("weights 'jackknife' need standard errors: a variogram with groups")
    floor = _STANDARD_ERROR_FLOOR * np.abs(variogram.semivariance)
    error = np.maximum(np.where(known, variogram.standard_error, 0.0), floor)
    usable = known & (error > 0)
    return np.where(usable, 1 / np.where(usable, error, 1.0) ** 2, 0.0)

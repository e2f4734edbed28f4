"""Fits of models to a semivariogram."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float64

from geoloc.errors import ConfigError
from geoloc.geostatistics.bin_weights import (
    MIN_PAIRS,
    Weights,
    bin_weights,
    default_max_lag,
    fitted_bins,
)
from geoloc.geostatistics.curves import CurveFits, fit_curves
from geoloc.geostatistics.lag_distance import LagMetric, model_lag
from geoloc.geostatistics.models import named_model, split_sum
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import Structure, VariogramFit

COMPARED = ("nugget", "exponential", "spherical", "gaussian", "stable", "matern")
"""Models that `fit_best` tries."""


def fit_variogram(
    variogram: Variogram,
    model: str = "stable",
    *,
    weights: Weights = "n/gamma2",
    shape: float | int | None = None,
    nugget: bool = True,
    lag_metric: LagMetric = "chord",
    max_lag: float | int | None = None,
    min_pairs: int = MIN_PAIRS,
) -> VariogramFit:
    """Fit a model to a semivariogram by weighted least squares at the mean lags of its bins.

    The default weights N / gamma^2 judge each bin by its relative error, which is what sampling
    makes of semivariances; so short lags have a say, and any variogram will do. ``jackknife``
    (1 / squared standard error) is better with some 30 groups or more: pairs are dependent, and
    counts know nothing of it. ``n``, ``n/h2`` and ``none`` are those of other software.

    Args:
        variogram: with at least one bin.
        model: a family or a sum of two: see `geoloc.geostatistics.models`.
        weights: of the bins.
        shape: of stable or matern; None fits it, or takes the family's default in a sum.
        nugget: whether to fit one; False fixes it to 0.
        lag_metric: what the model takes for lags on the Earth: chords, with which every model is
            valid, or great circles.
        max_lag: bins beyond are left out; None is a quarter of the Earth's circumference.
        min_pairs: bins of fewer pairs are left out, unless fewer than three would remain.

    Raises:
        ConfigError: the model, its shape, the weights or the lag metric are impossible.
        DataError: no bin lies within `max_lag`, or a semivariance is negative.

    Source: N. Cressie, Mathematical Geology 17, 1985, pp. 563-586 (the default weights).
    """
    limit = default_max_lag(variogram) if max_lag is None else float(max_lag)
    used = fitted_bins(variogram, max_lag=limit, min_pairs=min_pairs, weights=weights)
    metric = _lag_metric(variogram, lag_metric)
    fit_to = functools.partial(fit_rows, variogram, used, weights=weights, lag_metric=metric)
    rows = variogram.semivariance[None]
    fits = fit_to(rows, model=model, shape=shape, nugget=nugget)
    found = VariogramFit(
        model=model,
        structures=_structures(fits, model),
        nugget=float(fits.nugget),
        unit=variogram.unit,
        metric=variogram.metric,
        lag_metric=metric,
        weights=weights,
        nugget_fitted=nugget or split_sum(model)[0],
        given_shape=shape,
        max_lag=limit,
        min_pairs=min_pairs,
        lag=variogram.lag[used],
        semivariance=variogram.semivariance[used],
        weight=fits.weight[0].numpy(),
        sse=float(fits.square),
        provenance=dict(variogram.provenance),
    )
    return _judged(found, fit_to(rows, model="nugget"))


def fit_best(
    variogram: Variogram,
    models: Iterable[str] = COMPARED,
    *,
    weights: Weights = "n/gamma2",
    nugget: bool = True,
    lag_metric: LagMetric = "chord",
    max_lag: float | None = None,
    min_pairs: int = MIN_PAIRS,
) -> tuple[VariogramFit, ...]:
    """Fits of several models, the best by Akaike's criterion first; free shapes are fitted.

    Args:
        variogram: as `fit_variogram` takes it.
        models: families and sums.
        weights: as for `fit_variogram`, like all that follow.
        nugget: whether to fit one.
        lag_metric: what the models take.
        max_lag: bins beyond are left out.
        min_pairs: bins of fewer pairs are left out.

    Raises:
        ConfigError: there is no model, or an impossible setting.
        DataError: no bin lies within `max_lag`.
    """
    fits = [
        fit_variogram(
            variogram,
            model,
            weights=weights,
            nugget=nugget,
            lag_metric=lag_metric,
            max_lag=max_lag,
            min_pairs=min_pairs,
        )
        for model in models
    ]
    if not fits:
        raise ConfigError("no model to fit")
    return tuple(sorted(fits, key=lambda fit: fit.aic))


def fit_rows(
    variogram: Variogram,
    used: Bool[np.ndarray, " class"],
    rows: Float64[np.ndarray, "curve class"],
    *,
    weights: Weights,
    lag_metric: LagMetric,
    **settings: Any,
) -> CurveFits:
    """Fit a model to some bins of several curves that share the lags and weights of a variogram.

    Args:
        variogram: for lags and weights.
        used: the bins.
        rows: a semivariance for every bin, in each curve.
        weights: by name.
        lag_metric: what the model takes.
        settings: model, shape and nugget, as `fit_curves` takes them.
    """
    lag = model_lag(torch.from_numpy(variogram.lag[used]), lag_metric, variogram.unit)
    weight = torch.from_numpy(bin_weights(variogram, weights)[used])
    curves = torch.from_numpy(rows[:, used])
    reweight = weights == "n/gamma2"
    return fit_curves(lag[None], curves, weight[None], reweight=reweight, **settings)


def _judged(fit: VariogramFit, plain: CurveFits) -> VariogramFit:
    """The fit with its residuals, what they say of it, and flags; `plain` is a nugget's fit."""
    value, weight = fit.semivariance, fit.weight
    parameters = _parameter_count(fit)
    aic = _aic(fit.sse, weight, value, parameters)
    alone = _aic(float(plain.square), plain.weight[0].numpy(), value, 1)
    told = len(fit.lag) > parameters and aic < alone
    return replace(
        fit,
        residual=value - fit(fit.lag),
        r2=_explained(value, weight, fit.sse),
        aic=aic,
        flags=_flags(fit, told=told),
    )


def _lag_metric(variogram: Variogram, lag_metric: LagMetric) -> LagMetric:
    if variogram.metric == "euclidean":
        return "euclidean"
    if lag_metric not in ("chord", "great_circle"):
        raise ConfigError(f"lag_metric {lag_metric!r}: chord or great_circle on the Earth")
    return lag_metric


def _structures(fits: CurveFits, model: str) -> tuple[Structure, ...]:
    _, families = split_sum(model)
    found = [
        Structure(
            model=family.name,
            partial_sill=float(fits.partial_sill[0, number]),
            scale=float(fits.scale[0, number]),
            shape=float(fits.shape[0, number]) if family.has_shape else None,
        )
        for number, family in enumerate(families)
    ]
    # two structures of one family have no order of their own
    same = len({each.model for each in found}) == 1
    return tuple(sorted(found, key=lambda each: each.scale) if same else found)


def _explained(value: np.ndarray, weight: np.ndarray, sse: float) -> float:
    mean = float((weight * value).sum() / max(weight.sum(), 1e-300))
    whole = float((weight * (value - mean) ** 2).sum())
    return 1 - sse / whole if whole > 0 else 0.0


def _aic(sse: float, weight: np.ndarray, value: np.ndarray, parameters: int) -> float:
    """Akaike's criterion for normal errors of variance sigma^2 / weight, sigma unknown.

    A curve that is hit exactly is given the rounding of float64 for an error.
    """
    counts = weight > 0
    weight, value = weight[counts], value[counts]
    rounding = 1e-30 * float((weight * value * value).sum())
    count = max(len(weight), 1)
    square = max(sse, rounding, 1e-300)
    return count * math.log(square / count) - float(np.log(weight).sum()) + 2.0 * parameters


def _parameter_count(fit: VariogramFit) -> int:
    return fit.nugget_fitted + 2 * len(fit.structures) + _shape_is_free(fit)


def _shape_is_free(fit: VariogramFit) -> bool:
    return len(fit.structures) == 1 and fit.shape is not None and fit.given_shape is None


def _flags(fit: VariogramFit, *, told: bool) -> tuple[str, ...]:
    structured = told and fit.partial_sill > 0
    reach = fit.effective_range
    at_bound = False
    if _shape_is_free(fit) and fit.shape is not None:
        low, high = named_model(fit.structures[0].model).shape_bounds or (0.0, math.inf)
        at_bound = not low * 1.0001 < fit.shape < high / 1.0001
    found = {
        "no_structure": not structured,
        "range_beyond_data": structured and reach > fit.lag.max(),
        "range_below_data": structured and reach < fit.min_lag,
        "nugget_at_zero": fit.nugget_fitted and fit.nugget == 0,
        "shape_at_bound": at_bound,
        "model_invalid_on_great_circle": not fit.valid,
    }
    return tuple(name for name, holds in found.items() if holds)

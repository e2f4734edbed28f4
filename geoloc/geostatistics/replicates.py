"""Standard errors of a fit, from replicates of its variogram."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.bin_weights import fitted_bins
from geoloc.geostatistics.effective_range import effective_model_lag
from geoloc.geostatistics.fitting import fit_rows
from geoloc.geostatistics.lag_distance import great_circle_of
from geoloc.geostatistics.models import split_sum
from geoloc.geostatistics.resampling import INTERVAL_LEVELS
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import LOGARITHMIC, VariogramFit


def fit_replicates(variogram: Variogram, fit: VariogramFit) -> VariogramFit:
    """The fit with standard errors, from fits to the variogram without each group in turn.

    All replicates are fitted in one call, in the way and to the bins that the fit itself was.
    `VariogramFit.interval` then gives 95 % intervals.

    Args:
        variogram: the one that was fitted, with `replicate`.
        fit: what `fit_variogram` made of it.

    Raises:
        ConfigError: the variogram has no replicates, or is not the one that was fitted.

    Source: B. Efron, C. Stein, "The jackknife estimate of variance", Annals of Statistics 9, 1981,
    with spatial groups deleted: (G - 1) / G times the squares about the mean.
    """
    if variogram.replicate is None or len(variogram.replicate) < 2:
        raise ConfigError("standard errors need a variogram with replicates: two groups or more")
    errors = {
        name: _jackknife(value.log() if name in LOGARITHMIC else value)
        for name, value in _refitted(variogram, fit, variogram.replicate).items()
    }
    return replace(fit, standard_error=errors)


def bootstrap_intervals(
    variogram: Variogram, fit: VariogramFit, curves: Float64[np.ndarray, "replicate class"]
) -> dict[str, tuple[float, float]]:
    """95 % percentile intervals of the parameters over bootstrap replicates of the curve.

    Unlike jackknife intervals they need not be symmetric; some hundred replicates are enough. All
    are fitted in one call.

    Args:
        variogram: the one that was fitted.
        fit: what `fit_variogram` made of it.
        curves: of `bootstrap_curves`, from the accumulator of that variogram.

    Raises:
        ConfigError: the fit is of another variogram, or the curves have other classes.

    Source: B. Efron, "Bootstrap methods: another look at the jackknife", Annals of Statistics 7,
    1979, pp. 1-26 (percentile interval), over groups of neighbouring samples.
    """
    if curves.ndim != 2 or curves.shape[1] != len(variogram):
        raise ConfigError(f"the curves have {curves.shape[-1]} classes, not {len(variogram)}")
    intervals: dict[str, tuple[float, float]] = {}
    for name, value in _refitted(variogram, fit, curves).items():
        # nearest ranks: a range that is never reached is infinite, and stays so
        known = value[~value.isnan()].numpy()
        low, high = np.quantile(known, INTERVAL_LEVELS, method="nearest")
        intervals[name] = (float(low), float(high))
    return intervals


def _refitted(
    variogram: Variogram, fit: VariogramFit, curves: Float64[np.ndarray, "replicate class"]
) -> dict[str, Float64[Tensor, " replicate"]]:
    """Every parameter of fits to other curves of the same variogram, as the fit was made."""
    used = fitted_bins(variogram, max_lag=fit.max_lag, min_pairs=fit.min_pairs, weights=fit.weights)
    if not np.array_equal(variogram.lag[used], fit.lag):
        raise ConfigError("the fit is of another variogram")
    fits = fit_rows(
        variogram,
        used,
        curves,
        weights=fit.weights,
        lag_metric=fit.lag_metric,
        model=fit.model,
        shape=fit.given_shape,
        nugget=fit.nugget_fitted,
    )
    partial = fits.partial_sill.sum(-1)
    values = {"nugget": fits.nugget, "partial_sill": partial, "sill": fits.nugget + partial}
    _, families = split_sum(fit.model)
    if families:
        longest = fits.scale.argmax(-1, keepdim=True)
        for name, nugget in (
            ("effective_range", fits.nugget),
            ("practical_range", 0 * fits.nugget),
        ):
            reached = effective_model_lag(
                families,
                nugget=nugget,
                partial_sill=fits.partial_sill,
                scale=fits.scale,
                shape=fits.shape,
            )
            plain = [great_circle_of(each, fit.lag_metric, fit.unit) for each in reached.tolist()]
            values[name] = torch.tensor(plain, dtype=torch.float64)
        # without a partial sill a scale is any number
        scale = torch.where(partial > 0, fits.scale.amax(-1), 0.0)
        values["scale"] = scale
        if fit.shape is not None:
            values["shape"] = fits.shape.take_along_dim(longest, -1)[:, 0]
    # a curve without any of the bins has no parameters
    empty = torch.from_numpy(~np.isfinite(curves[:, used]).any(axis=1))
    return {name: torch.where(empty, torch.nan, value) for name, value in values.items()}


def _jackknife(value: Float64[Tensor, " group"]) -> float:
    if not bool(value.isfinite().all()):
        return math.inf
    return float(((len(value) - 1) * value.var(correction=0)).sqrt())

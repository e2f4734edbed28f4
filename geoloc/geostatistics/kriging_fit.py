"""Models of a semivariogram that a field can be kriged with."""

from __future__ import annotations

from collections.abc import Iterable

from geoloc.geostatistics.bin_weights import MIN_PAIRS
from geoloc.geostatistics.fitting import fit_best, fit_variogram
from geoloc.geostatistics.lag_distance import LagMetric
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit

MODELS = ("nugget", "exponential", "spherical", "stable")
"""Models that are tried; a pure nugget may win."""
_NO_NUGGET = 1e-6
_SMOOTH = 1.5


def fit_for_kriging(
    variogram: Variogram,
    models: Iterable[str] = MODELS,
    *,
    nugget: bool = True,
    lag_metric: LagMetric = "chord",
    max_lag: float | None = None,
    min_pairs: int = MIN_PAIRS,
) -> tuple[VariogramFit, ...]:
    """Fits as `fit_best` orders them, none of which says that a part of a field tells all of it.

    A stable model whose shape stands at 2 with no nugget, which a trend asks for, has shape 1.5
    instead. Equations of kriging with it are singular but for their rounding, its estimates wild
    and its variances nearly 0. ``gaussian`` is asked for by name, and stays.

    Args:
        variogram: as `fit_best` takes it, like all that follows.
        models: families and sums.
        nugget: whether to fit one.
        lag_metric: what the models take.
        max_lag: bins beyond are left out.
        min_pairs: bins of fewer pairs are left out.

    Raises:
        ConfigError: there is no model, or an impossible setting.
        DataError: no bin lies within `max_lag`.

    Source: M. L. Stein, Interpolation of Spatial Data, 1999, section 2.7.
    """
    fits = [
        fit_variogram(
            variogram,
            fit.model,
            shape=_SMOOTH,
            nugget=nugget,
            lag_metric=lag_metric,
            max_lag=max_lag,
            min_pairs=min_pairs,
        )
        if _endlessly_smooth(fit, variogram)
        else fit
        for fit in fit_best(
            variogram,
            models,
            nugget=nugget,
            lag_metric=lag_metric,
            max_lag=max_lag,
            min_pairs=min_pairs,
        )
    ]
    return tuple(sorted(fits, key=lambda fit: fit.aic))


def _endlessly_smooth(fit: VariogramFit, variogram: Variogram) -> bool:
    # not of the sill, which a trend puts far beyond what was measured
    little = _NO_NUGGET * float(variogram.semivariance.max())
    at_bound = fit.shape is not None and fit.shape > _SMOOTH and "shape_at_bound" in fit.flags
    return fit.model == "stable" and at_bound and fit.nugget <= little

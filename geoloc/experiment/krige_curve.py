"""The semivariogram that a run of `geoloc krige` rests on: fitted, or given."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from geoloc.errors import DataError
from geoloc.experiment.krige_data import PlacedValues
from geoloc.experiment.krige_schema import GivenSection, KrigeConfig
from geoloc.geostatistics import (
    Variogram,
    VariogramFit,
    fit_for_kriging,
    fit_replicates,
    given_variogram,
    pooled_variogram,
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrigeCurve:
    """The semivariogram and its model.

    Attributes:
        variogram: as measured; None where a model was given and there is nothing to measure.
        fit: the model.
        others: models that were tried, by rising AIC.
        given: whether the model was given.
    """

    variogram: Variogram | None
    fit: VariogramFit
    others: tuple[VariogramFit, ...] = ()
    given: bool = False


def fit_curve(stations: PlacedValues, config: KrigeConfig) -> KrigeCurve:
    """Measure the semivariogram of all steps, and fit a model unless one is given.

    Raises:
        ConfigError: the model cannot be.
        DataError: there are fewer than three stations, or nothing varies.
    """
    if config.variogram.given is not None:
        return _given(stations, config, config.variogram.given)
    variogram, wanted = _measured(stations, config), config.variogram
    fits = fit_for_kriging(
        variogram,
        wanted.models,
        nugget=wanted.nugget,
        lag_metric=wanted.lag_metric,
        max_lag=math.inf,
        min_pairs=1,
    )
    # a model that is no covariance cannot be kriged with, however well it fits
    fits = [fit for fit in fits if fit.valid] or list(fits)
    return KrigeCurve(variogram=variogram, fit=fits[0], others=tuple(fits[1:]))


def with_errors(curve: KrigeCurve) -> KrigeCurve:
    """The curve with standard errors of a fitted model, where its variogram has replicates."""
    if curve.given or curve.variogram is None or curve.variogram.replicate is None:
        return curve
    return replace(curve, fit=fit_replicates(curve.variogram, curve.fit))


def _measured(stations: PlacedValues, config: KrigeConfig) -> Variogram:
    return pooled_variogram(
        stations.places,
        stations.value,
        classes=config.variogram.classes,
        max_lag=config.variogram.max_lag,
        metric=config.metric,
        unit=config.lag_unit,
    )


def _given(stations: PlacedValues, config: KrigeConfig, given: GivenSection) -> KrigeCurve:
    sphere = config.metric == "great_circle"
    fit = given_variogram(
        given.model,
        partial_sill=given.partial_sill,
        scale=given.scale,
        nugget=given.nugget,
        shape=given.shape,
        unit=config.lag_unit,
        lag_metric=config.variogram.lag_metric if sphere else "euclidean",
    )
    try:
        variogram = _measured(stations, config)
    except DataError:
        variogram = None
    return KrigeCurve(variogram=variogram, fit=fit, given=True)

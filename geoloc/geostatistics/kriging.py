"""Kriging: the best linear unbiased estimate between places, and the variance of its error."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Num
from torch import Tensor

from geoloc.geostatistics.kriging_method import AtData, Kriged, KrigingMethod, Mean
from geoloc.geostatistics.kriging_places import Duplicates
from geoloc.geostatistics.variogram_fit import VariogramFit


def ordinary_kriging(
    places: Num[np.ndarray, "place ..."] | Num[Tensor, "place ..."],
    values: Num[np.ndarray, "value ..."] | Num[Tensor, "value ..."],
    targets: Num[np.ndarray, "target ..."] | Num[Tensor, "target ..."],
    fit: VariogramFit,
    *,
    neighbours: int | None = None,
    at_data: AtData | str = "exact",
    duplicates: Duplicates | str = "error",
) -> Kriged:
    """Estimate a field at targets from its values at places.

    The weights sum to one and make the variance of the error least: the mean of the field may be
    anything, so long as it is constant where the places used lie. Metric and unit are those of the
    variogram. Computed in float64 on the device of the places.

    Args:
        places: degrees, or with a Euclidean variogram one to three coordinates in its unit.
        values: at the places, a number or several each (then under one variogram).
        targets: like `places`.
        fit: the variogram's model.
        neighbours: how many of the nearest places each target is estimated from; None for all.
        at_data: ``exact`` gives a place its own value back, the nugget being variation within no
            distance; ``filtered`` takes the nugget for error of measurement and estimates the
            field without it, so that the estimate is as smooth as the model at lag 0.
        duplicates: what becomes of places given twice: an error, or one place with the mean of its
            values. Filtered with a nugget, repeated measurements are no trouble, and stay.

    Raises:
        ConfigError: the model is no covariance on the sphere, a choice is unknown, or there are
            too many places for all to be used at once.
        CoordinateError: a place or target is not finite or out of range.
        DataError: there are no places, values do not fit them or are not finite, a place is there
            twice, or the system has no solution.

    Source: G. Matheron, "Principles of geostatistics", Economic Geology 58, 1963; N. Cressie,
    Statistics for Spatial Data, 1993, section 3.2, filtered as in eq. 3.2.26.
    """
    method = KrigingMethod(fit=fit, neighbours=neighbours, at_data=at_data, duplicates=duplicates)
    return method.kriged(places, values, targets)


def simple_kriging(
    places: Num[np.ndarray, "place ..."] | Num[Tensor, "place ..."],
    values: Num[np.ndarray, "value ..."] | Num[Tensor, "value ..."],
    targets: Num[np.ndarray, "target ..."] | Num[Tensor, "target ..."],
    fit: VariogramFit,
    *,
    mean: Mean,
    neighbours: int | None = None,
    at_data: AtData | str = "exact",
    duplicates: Duplicates | str = "error",
) -> Kriged:
    """Estimate a field whose mean is known: far from all places it is the mean.

    The weights are free, and the variance is never above that of `ordinary_kriging`, nor above
    the sill.

    Args:
        places: as in `ordinary_kriging`, like all that is not named here.
        values: at the places.
        targets: where to estimate.
        fit: the variogram's model.
        mean: of the field, for all values of a place or for each; 0 for residuals.
        neighbours: how many of the nearest places each target is estimated from.
        at_data: what the nugget is.
        duplicates: what becomes of places given twice.

    Raises:
        ConfigError: as `ordinary_kriging`; or the mean does not fit the values.
        CoordinateError: a place or target is not finite or out of range.
        DataError: as `ordinary_kriging`.

    Source: N. Cressie, Statistics for Spatial Data, 1993, eqs. 3.4.2 and 3.4.3.
    """
    method = KrigingMethod(
        fit=fit, mean=mean, neighbours=neighbours, at_data=at_data, duplicates=duplicates
    )
    return method.kriged(places, values, targets)


def krige_each(
    places: Num[Tensor, "batch place 2"],
    values: Num[Tensor, "batch place"],
    targets: Num[Tensor, "batch target 2"],
    fit: VariogramFit,
    *,
    at_data: AtData | str = "exact",
) -> tuple[Float64[Tensor, "batch target"], Float64[Tensor, "batch target"]]:
    """Estimates and variances of many fields at once, each from places of its own.

    Arguments and errors are those of `ordinary_kriging`, with a batch in front; places are not
    asked whether they repeat.
    """
    method = KrigingMethod(fit=fit, at_data=at_data)
    batch, count = values.shape
    position = method.positions(places.flatten(0, 1)).unflatten(0, (batch, count))
    target = method.positions(targets.flatten(0, 1)).unflatten(0, (batch, targets.shape[1]))
    system = method.system(None)
    value, variance = system.estimate(
        system.solve(position, values.to(position)[..., None]), target
    )
    return value[..., 0], variance

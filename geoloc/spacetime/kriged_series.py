"""Kriging of series: every time step from the same weights, under one variogram of them all."""

from __future__ import annotations

import math

import numpy as np

from geoloc.geostatistics import (
    Kriged,
    LagBins,
    Variogram,
    VariogramFit,
    estimate_variogram,
    fit_for_kriging,
    ordinary_kriging,
)
from geoloc.spacetime.stations import Sites, Stations


def mean_variogram(stations: Stations, bins: LagBins) -> Variogram:
    """The semivariogram of a time step, averaged over all steps: what pooling them estimates.

    Args:
        stations: with the values to measure.
        bins: classes of lag, in km on the Earth, in the unit of coordinates on a plane.

    Raises:
        DataError: no pair of stations falls into a class.
    """
    sites, steps = stations.sites, stations.values.shape[1]
    # half the squared distance of two series is a sum over steps
    return estimate_variogram(
        sites.places,
        stations.values / math.sqrt(steps),
        bins=bins,
        dissimilarity="squared",
        metric=sites.metric,
    )


def fit_structure(variogram: Variogram) -> VariogramFit:
    """The model of a variogram that `fit_for_kriging` prefers; a pure nugget may win."""
    return fit_for_kriging(variogram, max_lag=math.inf)[0]


def flatness(variogram: Variogram) -> float:
    """Semivariance at the shortest lags over that at the longest: 1 where no structure is left.

    The first class against the mean of the last third of the classes, weighted by pairs.
    """
    last = -(-len(variogram) // 3)
    far = np.average(variogram.semivariance[-last:], weights=variogram.pair_count[-last:])
    return float(variogram.semivariance[0] / far) if far > 0 else 1.0


def krige_series(
    stations: Stations, targets: Sites, fit: VariogramFit, *, neighbours: int | None = None
) -> Kriged:
    """Ordinary kriging of each time step, all with the weights that one variogram gives.

    Args:
        stations: estimated from.
        targets: estimated at.
        fit: of `mean_variogram`.
        neighbours: nearest stations that each target is estimated from; None for all.

    Returns:
        The series, and for each target the variance of a step's error, averaged over steps.

    Raises:
        ConfigError: too many stations for all to be used at once.
        DataError: the system has no solution.
    """
    return ordinary_kriging(
        stations.sites.places, stations.values, targets.places, fit, neighbours=neighbours
    )

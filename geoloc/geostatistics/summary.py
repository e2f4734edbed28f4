"""From sums over pairs to a Variogram: estimates, errors, quantiles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.estimators import (
    check_estimator,
    cressie,
    effective_dimension,
    from_median,
    histogram_quantiles,
    matheron,
    spread,
)
from geoloc.geostatistics.slots import BELOW, COINCIDENT, FIRST
from geoloc.geostatistics.sums import COUNT, LAG, PairSums
from geoloc.geostatistics.variogram import Estimator, Variogram

QUANTILE_LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def summarize(
    accumulator: PairSums,
    *,
    estimator: Estimator = "matheron",
    feature_dim: int | None = None,
    median: Float64[np.ndarray, " class"] | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Variogram:
    """The variogram of the pairs seen so far.

    Args:
        accumulator: the sums.
        estimator: of the semivariance. The robust ones need the effective dimension, which for
            vectors is taken from the quartiles of each class.
        feature_dim: 1 for scalars, whose dimension needs no estimate.
        median: exact medians of all classes, occupied or not, where they are known; else they
            come from the histogram, whose classes are a sixteenth of an octave.
        provenance: how the sums came about.

    Raises:
        ConfigError: the estimator is unknown, not for this dissimilarity, or its sums are not kept.
        DataError: no pair fell into a lag class.
    """
    check_estimator(estimator, accumulator.dissimilarity)
    if estimator == "cressie" and not accumulator.roots:
        raise ConfigError("cressie needs sums of roots: make the accumulator with roots=True")
    occupied = _occupied(accumulator)
    total = accumulator.total()
    sums = total[FIRST + occupied]
    counts = accumulator.histogram.cpu().numpy()[FIRST + occupied]
    quantile = histogram_quantiles(counts, accumulator.value_bins.edges, QUANTILE_LEVELS)
    dimension = effective_dimension(quantile[:, 1], quantile[:, 3])
    dimension = np.ones(len(occupied)) if feature_dim == 1 else dimension
    if estimator == "median":
        middle = quantile[:, 2] if median is None else median[occupied]
        semivariance, error, replicate = from_median(middle, dimension), sums[:, 0] * np.nan, None
    else:
        semivariance, error, replicate = _curve(accumulator, estimator, FIRST + occupied, dimension)
    return Variogram(
        bins=accumulator.bins,
        bin=occupied,
        lag=sums[:, LAG] / sums[:, COUNT],
        semivariance=semivariance,
        spread=spread(sums),
        pair_count=sums[:, COUNT].astype(np.int64),
        standard_error=error,
        quantile_level=QUANTILE_LEVELS,
        quantile=quantile,
        estimator=estimator,
        dissimilarity=accumulator.dissimilarity,
        metric=accumulator.metric,
        coincident_count=int(total[COINCIDENT, COUNT]),
        below_count=int(total[BELOW, COUNT]),
        beyond_count=int(total[-1, COUNT]),
        replicate=replicate,
        provenance=dict(provenance or {}),
    )


def _occupied(accumulator: PairSums) -> Int64[np.ndarray, " class"]:
    occupied = accumulator.occupied()
    if not len(occupied):
        raise DataError(
            f"none of {accumulator.pair_count:,} pairs lies between {accumulator.bins.edges[0]:g} "
            f"and {accumulator.bins.edges[-1]:g} {accumulator.bins.unit}"
        )
    return occupied


def _curve(
    accumulator: PairSums,
    estimator: Estimator,
    slots: Int64[np.ndarray, " class"],
    dimension: Float64[np.ndarray, " class"],
) -> tuple[
    Float64[np.ndarray, " class"],
    Float64[np.ndarray, " class"],
    Float64[np.ndarray, "group class"] | None,
]:
    """Semivariances, their jackknife errors, and what they are without each group in turn."""
    sums = accumulator.total()[slots]
    semivariance = _estimate(estimator, sums, dimension)
    if accumulator.group_count == 1:
        return semivariance, np.full(len(slots), np.nan), None
    pairs = accumulator.by_group()[:, :, slots]
    replicate = _estimate(estimator, sums - pairs.sum(axis=1), dimension)
    without_dyad = _estimate(estimator, sums - pairs, dimension)
    return semivariance, jackknife_error(replicate, without_dyad - semivariance), replicate


def jackknife_error(
    replicate: Float64[np.ndarray, "group class"],
    dyad_change: Float64[np.ndarray, "group group class"] | None = None,
) -> Float64[np.ndarray, " class"]:
    """Delete-a-group standard errors; NaN for a class that one group's pairs alone make up.

    Pairs that share a place are dependent, so the error of the mean over pairs would be up to
    forty times too small; groups of neighbouring places are nearly independent. What two groups do
    together is deleted with either of them, so the plain jackknife counts its variance twice (and
    is some 10 % too large at lags of the size of a group): it is taken off once, though never more
    than half of the whole.

    Args:
        replicate: the estimate without each group in turn, NaN where no pair is left.
        dyad_change: what leaving out only the pairs of two groups changes; None for an estimate
            that has no such thing.

    Source: B. Efron, C. Stein, "The jackknife estimate of variance", Annals of Statistics 9, 1981,
    pp. 586-596, over groups; P. M. Aronow, C. Samii, V. A. Assenova, "Cluster-robust variance
    estimation for dyadic data", Political Analysis 23, 2015, pp. 564-577, for pairs of groups.
    """
    groups = len(replicate)
    variance = np.square(replicate - replicate.mean(axis=0)).sum(axis=0) * (groups - 1) / groups
    if dyad_change is not None:
        above = np.triu_indices(len(dyad_change), k=1)
        twice = np.square(np.nan_to_num(dyad_change[above])).sum(axis=0)
        variance = np.maximum(variance - twice, variance / 2.0)
    return np.sqrt(variance)


def _estimate(
    estimator: Estimator,
    sums: Float64[np.ndarray, "*any moment"],
    dimension: Float64[np.ndarray, " class"],
) -> Float64[np.ndarray, "*any"]:
    return cressie(sums, dimension) if estimator == "cressie" else matheron(sums)

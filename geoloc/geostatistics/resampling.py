"""Groups drawn again: bootstrap replicates of a semivariogram from its sums."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from geoloc.errors import ConfigError
from geoloc.geostatistics.estimators import (
    check_estimator,
    cressie,
    effective_dimension,
    histogram_quantiles,
    matheron,
)
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.sums import PairSums
from geoloc.geostatistics.variogram import Estimator

INTERVAL_LEVELS = (0.025, 0.975)


def bootstrap_curves(
    accumulator: PairSums,
    count: int,
    *,
    estimator: Estimator = "matheron",
    feature_dim: int | None = None,
    generator: np.random.Generator,
) -> Float64[np.ndarray, "replicate class"]:
    """Semivariances of the occupied classes with spatial groups drawn with replacement.

    A group drawn m times and another drawn k times give m k times their pairs; pairs inside a group
    count m times, since a copy of a group is no neighbour of its original.

    Args:
        accumulator: sums by pairs of groups; no pair is computed anew.
        count: replicates wanted.
        estimator: ``matheron`` or ``cressie``.
        feature_dim: 1 for scalars; see `summarize`.
        generator: source of chance.

    Returns:
        One row a replicate, NaN where its class holds no pair.

    Source: the group (block) bootstrap, P. Hall, "Resampling a coverage pattern", Stochastic
    Processes and their Applications 20, 1985, pp. 231-246.

    Raises:
        ConfigError: there are fewer than two groups, or the estimator has no sums by group.
    """
    groups = accumulator.group_count
    check_estimator(estimator, accumulator.dissimilarity)
    if groups < 2 or count < 1:
        raise ConfigError("a bootstrap over groups needs two groups and one replicate at least")
    if estimator == "median" or (estimator == "cressie" and not accumulator.roots):
        raise ConfigError(f"there are no sums by group for {estimator} in this accumulator")
    classes = FIRST + accumulator.occupied()
    upper = accumulator.moments.cpu().numpy()[:, :, classes]
    inside = upper[np.arange(groups), np.arange(groups)].copy()
    between = upper.copy()
    between[np.arange(groups), np.arange(groups)] = 0.0
    times = generator.multinomial(groups, np.full(groups, 1.0 / groups), size=count).astype(float)
    sums = np.tensordot(times, inside, axes=(1, 0))
    for row, drawn in enumerate(times):
        sums[row] += np.tensordot(np.outer(drawn, drawn), between, axes=((0, 1), (0, 1)))
    if estimator == "matheron":
        return matheron(sums)
    counts = accumulator.histogram.cpu().numpy()[classes]
    quartile = histogram_quantiles(counts, accumulator.value_bins.edges, (0.25, 0.75))
    scalar = feature_dim == 1
    return cressie(sums, 1.0 if scalar else effective_dimension(quartile[:, 0], quartile[:, 1]))


def percentile_interval(
    replicate: Float64[np.ndarray, "replicate class"],
) -> Float64[np.ndarray, "2 class"]:
    """The 95 % percentile interval of each class, over the replicates that have it."""
    return np.nanquantile(replicate, INTERVAL_LEVELS, axis=0)

"""Local variograms: one a region, drawn towards the global one where they are uncertain."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64

from geoloc.errors import ConfigError
from geoloc.geostatistics.estimators import matheron
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.summary import jackknife_error
from geoloc.geostatistics.sums import COUNT, LAG, PairSums

_GROUPS_IN_REGION = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalVariograms:
    """Semivariance by region and lag class, of the pairs that touch the region.

    Attributes:
        region: of each spatial group.
        bin: number of each lag class that any pair lies in.
        lag: mean lag of the region's pairs in the class; of all pairs where the region has none.
        pair_count: pairs that touch the region.
        raw: their mean dissimilarity; NaN without pairs.
        standard_error: of `raw`, by the jackknife over groups inside and outside the region.
        semivariance: `raw` drawn towards the global curve.
        weight: of `raw` in `semivariance`, from 0 (all global) to 1 (all local).
    """

    region: Int64[np.ndarray, " group"]
    bin: Int64[np.ndarray, " class"]
    lag: Float64[np.ndarray, "region class"]
    pair_count: Int64[np.ndarray, "region class"]
    raw: Float64[np.ndarray, "region class"]
    standard_error: Float64[np.ndarray, "region class"]
    semivariance: Float64[np.ndarray, "region class"]
    weight: Float64[np.ndarray, "region class"]


def local_variograms(
    accumulator: PairSums,
    *,
    region: Int[np.ndarray, " group"] | None = None,
    prior_pairs: float | int | None = None,
) -> LocalVariograms:
    """The variogram around each region, shrunk to the global one.

    Args:
        accumulator: sums by pairs of groups; no pair is computed anew.
        region: number of the region that each group belongs to, from 0; by default five groups in
            a row, which lie together. A region of one group has no error of its own samples, and is
            believed more than it deserves.
        prior_pairs: how many pairs the global curve is worth against a region's own; None decides
            by class from the data: the weight of a local estimate is t / (t + s) with s its squared
            error and t what the local estimates vary by beyond their errors.

    Source: shrinkage by empirical Bayes, B. Efron, C. Morris, "Stein's estimation rule and its
    competitors", J. Am. Stat. Assoc. 68, 1973, pp. 117-130.

    Raises:
        ConfigError: there are fewer than three groups, not as many regions' numbers as groups, or
            `prior_pairs` is negative.
    """
    groups = accumulator.group_count
    if groups < 3:
        raise ConfigError("local variograms need three spatial groups at least")
    if prior_pairs is not None and not prior_pairs >= 0:
        raise ConfigError(f"prior_pairs is {prior_pairs}: it must not be negative")
    number = np.arange(groups) // _GROUPS_IN_REGION if region is None else region.astype(np.int64)
    if len(number) != groups or number.min() < 0:
        raise ConfigError(f"give each of {groups} groups the number of its region, from 0")
    occupied = accumulator.occupied()
    pairs = accumulator.by_group()[:, :, FIRST + occupied]
    total = accumulator.total()[FIRST + occupied]
    everywhere = matheron(total)
    parts = [_around(pairs, number == r) for r in range(int(number.max()) + 1)]
    sums, error = (np.stack(each) for each in zip(*parts, strict=True))
    raw, count = matheron(sums), sums[..., COUNT]
    if prior_pairs is None:
        weight = _trust(raw - everywhere, error)
    else:
        weight = count / np.maximum(count + float(prior_pairs), 1e-300)
    weight = np.where(count > 0, weight, 0.0)
    own = count > 0
    return LocalVariograms(
        region=number,
        bin=occupied,
        lag=np.where(own, sums[..., LAG], total[:, LAG]) / np.where(own, count, total[:, COUNT]),
        pair_count=count.astype(np.int64),
        raw=raw,
        standard_error=error,
        semivariance=everywhere + weight * np.where(own, raw - everywhere, 0.0),
        weight=weight,
    )


def _around(
    pairs: Float64[np.ndarray, "group group class moment"], inside: Bool[np.ndarray, " group"]
) -> tuple[Float64[np.ndarray, "class moment"], Float64[np.ndarray, " class"]]:
    """Sums over the pairs that touch a region, and the jackknife error of their mean."""
    touching = np.where((inside[:, None] | inside)[:, :, None, None], pairs, 0.0)
    total = touching[np.triu_indices(len(inside))].sum(axis=0)
    replicate = matheron(total - touching.sum(axis=1))
    change = matheron(total - touching) - matheron(total)
    return total, jackknife_error(replicate, change)


def _trust(
    difference: Float64[np.ndarray, "region class"], error: Float64[np.ndarray, "region class"]
) -> Float64[np.ndarray, "region class"]:
    """Weights by empirical Bayes, from what regions differ by and what chance makes of it."""
    known = np.isfinite(difference) & np.isfinite(error)
    squared = np.where(known, error**2, 0.0)
    beyond = np.where(known, difference**2 - squared, 0.0)
    between = np.maximum(beyond.sum(axis=0) / np.maximum(known.sum(axis=0), 1), 0.0)
    return np.where(known, between / np.maximum(between + squared, 1e-300), 0.0)

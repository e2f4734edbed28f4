"""Comparison of trained models on the same test rows: paired differences with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.evaluation.metrics import RowMeasure, accuracy_within, geoscore
from geoloc.evaluation.resampling import BlockDraws

RADII_KM = (25.0, 200.0, 750.0, 2500.0)
RECALL_KS = (1, 5, 10)
MEDIAN = "median_km"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowErrors:
    """What one method, trained once a seed, got wrong on each row of a split.

    Attributes:
        distance_km: error of each row under each seed.
        rank: rank of the row's own place among the split's places, from 1.
    """

    distance_km: Float64[np.ndarray, "seed row"]
    rank: Int64[np.ndarray, "seed row"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """A difference between two methods.

    Attributes:
        arm: the method.
        baseline: what it is compared with.
        metric: name.
        delta: arm minus baseline, averaged over seeds; signed so that positive is better.
        low, high: 95 % interval.
    """

    arm: str
    baseline: str
    metric: str
    delta: float
    low: float
    high: float


def metric_values(errors: RowErrors) -> dict[str, Float64[np.ndarray, " seed"]]:
    """Each metric of a method, one value a seed; accuracies and recalls as fractions."""
    values = {name: rows.mean(axis=1) for name, rows in _row_measures(errors).items()}
    values[MEDIAN] = np.median(errors.distance_km, axis=1)
    return values


def compare(
    arms: Mapping[str, RowErrors],
    baselines: Sequence[str],
    block: Int64[np.ndarray, " row"],
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> list[Comparison]:
    """Every method against every baseline, in every metric.

    Intervals are percentiles over draws of whole spatial blocks of rows and, independently, of
    seeds, both with replacement; a draw is the same for both methods, so that what is hard for
    both takes no part in the difference. Drawing rows and columns of a crossed design
    independently counts their interaction more than once, so that intervals are rather too wide
    than too narrow; deviations between few seeds are stretched by sqrt(n / (n - 1)), without which
    their variance would be told too small. What two or three seeds cannot tell remains: where
    seeds differ more than blocks do, take five or more. One seed tells nothing about others.

    Args:
        arms: rows and seeds in the same order for all.
        baselines: names among the arms.
        block: of each row (`spatial_blocks`).
        resamples: how many draws.
        seed: of the draws.

    Raises:
        ValueError: the arms do not share rows and seeds, a baseline is no arm, or all rows lie in
            one block.

    Source: A. B. Owen, "The pigeonhole bootstrap", Annals of Applied Statistics 1, 2007; spatial
    blocks after P. Hall, Stochastic Processes and their Applications 20, 1985; stretching after
    J. N. K. Rao and C. F. J. Wu, Journal of the American Statistical Association 83, 1988.
    """
    shapes = {errors.distance_km.shape for errors in arms.values()}
    if len(shapes) != 1 or next(iter(shapes))[1] != len(block):
        raise ValueError("the arms of a comparison share seeds and rows, one block a row")
    missing = [name for name in baselines if name not in arms]
    if missing:
        raise ValueError(f"no arm is called {missing[0]}")
    draws = _Draws(block, seeds=next(iter(shapes))[0], resamples=resamples, seed=seed)
    drawn = {name: draws.metrics(errors) for name, errors in arms.items()}
    told = {name: metric_values(errors) for name, errors in arms.items()}
    found: list[Comparison] = []
    for arm in arms:
        for baseline in baselines:
            if arm == baseline:
                continue
            for metric in told[arm]:
                sign = -1.0 if metric == MEDIAN else 1.0
                delta = sign * float(np.mean(told[arm][metric] - told[baseline][metric])) + 0.0
                spread = sign * (drawn[arm][metric] - drawn[baseline][metric]) + 0.0
                low, high = np.percentile(spread, [2.5, 97.5])
                pair = {"arm": arm, "baseline": baseline, "metric": metric}
                found.append(Comparison(**pair, delta=delta, low=float(low), high=float(high)))
    return found


def _row_measures(errors: RowErrors) -> dict[str, Float64[np.ndarray, "seed row"]]:
    """The measures whose mean over rows is a metric."""
    shape, km = errors.distance_km.shape, errors.distance_km.ravel()
    measures = {
        f"accuracy@{radius:g}km": accuracy_within(km, radius, strict=True)
        .astype(np.float64)
        .reshape(shape)
        for radius in RADII_KM
    }
    measures["geoscore"] = geoscore(km).reshape(shape)
    for k in RECALL_KS:
        measures[f"recall@{k}"] = (errors.rank <= k).astype(np.float64)
    return measures


class _Draws:
    """The same draws of blocks and seeds for every method."""

    def __init__(
        self, block: Int64[np.ndarray, " row"], *, seeds: int, resamples: int, seed: int
    ) -> None:
        random = np.random.default_rng(seed)
        self._of_blocks = BlockDraws(block, resamples=resamples, generator=random)
        if self._of_blocks.blocks < 2:
            raise ValueError("all rows lie in one block: nothing can be said of other places")
        counts = random.multinomial(seeds, np.full(seeds, 1.0 / seeds), size=resamples)
        stretch = np.sqrt(seeds / (seeds - 1)) if seeds > 1 else 0.0
        self._seed_share = 1.0 / seeds + stretch * (counts - 1.0) / seeds

    def metrics(self, errors: RowErrors) -> dict[str, Float64[np.ndarray, " draw"]]:
        """Each metric under each draw, averaged over the draw's seeds."""
        everyone = np.ones(errors.distance_km.shape[1], dtype=bool)
        found = {
            name: self._averaged(
                [self._of_blocks.means(RowMeasure(value=row, counted=everyone)) for row in rows]
            )
            for name, rows in _row_measures(errors).items()
        }
        found[MEDIAN] = self._averaged([self._of_blocks.medians(km) for km in errors.distance_km])
        return found

    def _averaged(
        self, by_seed: Sequence[Float64[np.ndarray, " draw"]]
    ) -> Float64[np.ndarray, " draw"]:
        return (np.stack(by_seed, axis=1) * self._seed_share).sum(axis=1)

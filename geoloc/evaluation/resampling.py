"""Uncertainty of scores: a bootstrap over blocks of the Earth's surface."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.evaluation.block_variance import BlockVariance, MeanVariance
from geoloc.evaluation.blocks import BLOCK_KM, spatial_blocks
from geoloc.evaluation.metrics import RowMeasure

__all__ = ["BLOCK_KM", "BlockDraws", "RowMeasure", "block_intervals", "spatial_blocks"]

METHOD = (
    "spatial blocks of the true places: shares by Wilson's interval with the effective number of "
    "images, means and medians by percentiles of a block bootstrap, all widened for likeness "
    "across borders of blocks and for few or unequal blocks"
)


class BlockDraws:
    """Draws of whole blocks with replacement, the same for every measure and every method.

    Images of one neighbourhood are right or wrong together; drawing rows would make intervals too
    narrow. Source: the block bootstrap (H. R. Künsch, Annals of Statistics 17, 1989; P. Hall,
    Stochastic Processes and their Applications 20, 1985, for spatial blocks).

    Args:
        block: of each row.
        resamples: how many draws.
        generator: source of chance.

    Attributes:
        blocks: how many different blocks there are.
        member: the block of each row, numbered from 0.
        times: how often each block stands in each draw.
    """

    def __init__(
        self, block: Int64[np.ndarray, " row"], *, resamples: int, generator: np.random.Generator
    ) -> None:
        known, self.member = np.unique(block, return_inverse=True)
        self.blocks = len(known)
        even = np.full(self.blocks, 1.0 / self.blocks)
        self.times = generator.multinomial(self.blocks, even, size=resamples).astype(np.float64)

    def means(self, measure: RowMeasure) -> Float64[np.ndarray, " draw"]:
        """The mean of a measure under each draw; not a number where no drawn row counts."""
        weight = measure.counted.astype(np.float64)
        total = self.times @ np.bincount(self.member, weight * measure.value, minlength=self.blocks)
        count = self.times @ np.bincount(self.member, weight, minlength=self.blocks)
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)

    def medians(self, value: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, " draw"]:
        """The (lower) median under each draw.

        Which run of rows holds it is found from the sums of whole runs; only that run is summed
        row by row.
        """
        order = np.argsort(value, kind="stable")
        ordered, member = value[order], self.member[order]
        size = max(1, int(np.sqrt(len(value))))
        run = np.arange(len(value)) // size
        runs = int(run[-1]) + 1
        rows = np.bincount(run * self.blocks + member, minlength=runs * self.blocks)
        reached = np.cumsum(self.times @ rows.reshape(runs, self.blocks).T, axis=1)
        half = reached[:, -1] / 2.0
        found = (reached < half[:, None]).sum(axis=1)
        medians = np.empty(len(self.times))
        for draw, (times, at) in enumerate(zip(self.times, found, strict=True)):
            before = reached[draw, at - 1] if at else 0.0
            inside = slice(at * size, (at + 1) * size)
            sums = before + np.cumsum(times[member[inside]])
            medians[draw] = ordered[inside][np.searchsorted(sums, half[draw])]
        return medians


def block_intervals(
    measures: Mapping[str, RowMeasure],
    distance_km: Float64[np.ndarray, " row"],
    block: Int64[np.ndarray, " row"],
    *,
    variance: BlockVariance | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, list[float]]:
    """95 % intervals of means and of the median distance (key ``median_km``).

    Percentiles over draws of blocks (Efron 1979). With `variance`, the deviations of the draws are
    stretched until they have that variance and Student's tails, and shares of rows get Wilson's
    interval from it instead, which near 0 and 1 keeps its promise better.

    Args:
        measures: what the metrics are the means of.
        distance_km: errors, for the median.
        block: the block of each row (`spatial_blocks`).
        variance: of the same rows and blocks; None for the plain bootstrap.
        resamples: how many times blocks are drawn.
        seed: of the draws.

    Returns:
        Key to [low, high]; empty with fewer than two blocks or without resamples, since then
        nothing can be said.
    """
    if resamples < 1 or not len(block) or (block == block[0]).all():
        return {}
    draws = BlockDraws(block, resamples=resamples, generator=np.random.default_rng(seed))
    intervals: dict[str, list[float]] = {}
    for key, measure in measures.items():
        middle = measure.mean()
        if middle is None:
            continue
        known = None if variance is None else variance.of(measure)
        if known is not None and measure.is_share:
            intervals[key] = known.share_interval(middle)
        else:
            intervals[key] = percentiles(draws.means(measure), middle, known)
    middle = float(np.median(distance_km))
    known = None if variance is None else variance.of(below(distance_km, middle))
    intervals["median_km"] = percentiles(draws.medians(distance_km), middle, known)
    return intervals


def percentiles(
    drawn: Float64[np.ndarray, " draw"], middle: float, variance: MeanVariance | None
) -> list[float]:
    """The 95 % interval of a figure from its draws, stretched about the figure itself.

    Args:
        drawn: the figure under each draw.
        middle: the figure.
        variance: what the draws should have; None leaves them as they are.
    """
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    wide = 1.0 if variance is None else variance.widening
    return [float(middle + wide * (low - middle)), float(middle + wide * (high - middle))]


def below(value: Float64[np.ndarray, " row"], middle: float) -> RowMeasure:
    """Which rows lie at or below a median: what the median's uncertainty comes from.

    The median moves as the share below it moves, over the density there (Bahadur 1966).
    """
    everyone = np.ones(len(value), dtype=bool)
    return RowMeasure(value=(value <= middle).astype(np.float64), counted=everyone)

"""Uncertainty of scores: a bootstrap over blocks of the Earth's surface."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.evaluation.block_variance import BlockVariance, MeanVariance
from geoloc.evaluation.blocks import BLOCK_KM, spatial_blocks
from geoloc.evaluation.metrics import RowMeasure

__all__ = ["BLOCK_KM", "BlockDraws", "RowMeasure", "block_intervals", "spatial_blocks"]

PLAIN = "percentile bootstrap over spatial blocks of the true places"
WIDENED = f"{PLAIN}, widened for likeness across borders and for few or unequal blocks"


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
    """

    def __init__(
        self, block: Int64[np.ndarray, " row"], *, resamples: int, generator: np.random.Generator
    ) -> None:
        known, self._member = np.unique(block, return_inverse=True)
        self.blocks = len(known)
        even = np.full(self.blocks, 1.0 / self.blocks)
        self._times = generator.multinomial(self.blocks, even, size=resamples).astype(np.float64)

    def means(self, measure: RowMeasure) -> Float64[np.ndarray, " draw"]:
        """The mean of a measure under each draw; not a number where no drawn row counts."""
        weight = measure.counted.astype(np.float64)
        total = self._times @ np.bincount(
            self._member, weight * measure.value, minlength=self.blocks
        )
        count = self._times @ np.bincount(self._member, weight, minlength=self.blocks)
        return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)

    def medians(self, value: Float64[np.ndarray, " row"]) -> Float64[np.ndarray, " draw"]:
        """The (lower) median under each draw."""
        order = np.argsort(value, kind="stable")
        ordered, member = value[order], self._member[order]
        medians = np.empty(len(self._times))
        for draw, times in enumerate(self._times):
            reached = np.cumsum(times[member])
            medians[draw] = ordered[np.searchsorted(reached, reached[-1] / 2.0)]
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

    Percentiles over draws of blocks (Efron 1979); with `variance`, the deviations of the draws are
    stretched until they have that variance and Student's tails.

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
        if middle is not None:
            known = None if variance is None else variance.of(measure)
            counted = measure.value[measure.counted]
            intervals[key] = interval(
                draws.means(measure), middle, known, within=(counted.min(), counted.max())
            )
    middle = float(np.median(distance_km))
    known = None if variance is None else variance.of(below(distance_km, middle))
    intervals["median_km"] = interval(
        draws.medians(distance_km), middle, known, within=(distance_km.min(), distance_km.max())
    )
    return intervals


def interval(
    drawn: Float64[np.ndarray, " draw"],
    middle: float,
    variance: MeanVariance | None,
    *,
    within: tuple[float, float],
) -> list[float]:
    """The 95 % interval of a figure from its draws, widened about the figure itself.

    Args:
        drawn: the figure under each draw.
        middle: the figure.
        variance: what its draws should have; None leaves them as they are.
        within: the least and the greatest that it could be.
    """
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    if variance is not None:
        wide = variance.widening
        low, high = middle + wide * (low - middle), middle + wide * (high - middle)
        low, high = np.clip([min(low, middle), max(high, middle)], *within)
    return [float(low), float(high)]


def below(value: Float64[np.ndarray, " row"], middle: float) -> RowMeasure:
    """Which rows lie at or below a median: what the median's uncertainty comes from.

    The median moves as the share below it moves, over the density there (Bahadur 1966).
    """
    everyone = np.ones(len(value), dtype=bool)
    return RowMeasure(value=(value <= middle).astype(np.float64), counted=everyone)

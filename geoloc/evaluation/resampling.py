"""Uncertainty of scores: a plain bootstrap over blocks of the Earth's surface."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from geoloc.geodesy import EARTH_RADIUS_KM

BLOCK_KM = 500.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowMeasure:
    """One measure of each row, and which rows it is defined on; the metric is the mean of these.

    Attributes:
        value: the measure; rows that do not count may hold anything finite.
        counted: rows in the denominator.
    """

    value: Float64[np.ndarray, " row"]
    counted: Bool[np.ndarray, " row"]

    def mean(self) -> float | None:
        """The metric, or None where no row counts."""
        count = int(self.counted.sum())
        return float(self.value[self.counted].sum() / count) if count else None


def spatial_blocks(
    latlon_deg: Float64[np.ndarray, "row 2"], *, block_km: float = BLOCK_KM
) -> Int64[np.ndarray, " row"]:
    """The block of each place in a grid of cells of about block_km by block_km.

    Bands of equal latitude, each cut into as many cells as make their width at its middle nearest
    to the height, so that cells are of nearly equal area from the equator to the poles.

    Raises:
        ValueError: block_km is not positive.
    """
    if not block_km > 0:
        raise ValueError(f"block_km must be positive, not {block_km}")
    bands = max(1, round(np.pi * EARTH_RADIUS_KM / block_km))
    middle = np.deg2rad((np.arange(bands) + 0.5) * 180.0 / bands - 90.0)
    around = 2.0 * np.pi * EARTH_RADIUS_KM * np.cos(middle) / block_km
    cells = np.maximum(1, np.rint(around)).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(cells)[:-1]])
    band = np.minimum(((latlon_deg[:, 0] + 90.0) / 180.0 * bands).astype(np.int64), bands - 1)
    turn = np.mod(latlon_deg[:, 1] + 180.0, 360.0) / 360.0
    cell = np.minimum((turn * cells[band]).astype(np.int64), cells[band] - 1)
    return first[band] + cell


def block_intervals(
    measures: Mapping[str, RowMeasure],
    distance_km: Float64[np.ndarray, " row"],
    block: Int64[np.ndarray, " row"],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, list[float]]:
    """95 % percentile intervals of means and of the median distance (key ``median_km``).

    Whole blocks are drawn with replacement, since images of one neighbourhood are right or wrong
    together; drawing rows would make the intervals too narrow. Source: the block bootstrap
    (Künsch 1989; Hall 1985 for spatial blocks), percentile interval (Efron 1979).

    Args:
        measures: what the metrics are the means of.
        distance_km: errors, for the median.
        block: the block of each row.
        resamples: how many times blocks are drawn.
        seed: of the draws.

    Returns:
        Key to [low, high]; empty with fewer than two blocks or without resamples, since then
        nothing can be said.
    """
    known, member = np.unique(block, return_inverse=True)
    if len(known) < 2 or resamples < 1:
        return {}
    generator = np.random.default_rng(seed)
    share = np.full(len(known), 1.0 / len(known))
    times = generator.multinomial(len(known), share, size=resamples).astype(np.float64)
    intervals: dict[str, list[float]] = {}
    for key, measure in measures.items():
        weight = measure.counted.astype(np.float64)
        total = times @ np.bincount(member, weight * measure.value, minlength=len(known))
        count = times @ np.bincount(member, weight, minlength=len(known))
        drawn = total[count > 0] / count[count > 0]
        if len(drawn):
            intervals[key] = _percentiles(drawn)
    intervals["median_km"] = _percentiles(_medians(distance_km, member, times))
    return intervals


def _medians(distance_km: np.ndarray, member: np.ndarray, times: np.ndarray) -> np.ndarray:
    """The (lower) median of each draw of blocks."""
    order = np.argsort(distance_km, kind="stable")
    ordered, member = distance_km[order], member[order]
    medians = np.empty(len(times))
    for draw, drawn in enumerate(times):
        reached = np.cumsum(drawn[member])
        medians[draw] = ordered[np.searchsorted(reached, reached[-1] / 2.0)]
    return medians


def _percentiles(drawn: np.ndarray) -> list[float]:
    low, high = np.percentile(drawn, [2.5, 97.5])
    return [float(low), float(high)]

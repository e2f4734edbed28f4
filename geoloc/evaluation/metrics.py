"""Metrics of geolocalization as pure functions of distances and ranks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Float64, Int

from geoloc.geodesy import nearest_place_index as nearest_place_index

GEOSCORE_MAXIMUM = 5000.0
GEOSCORE_SCALE_KM = 1492.7


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RowMeasure:
    """One measure of each row, and which rows it is defined on; the metric is the mean of these.

    Attributes:
        value: the measure; rows that do not count may hold anything finite.
        counted: rows in the denominator.
    """

    value: Float64[np.ndarray, " row"]
    counted: Bool[np.ndarray, " row"]

    @property
    def is_share(self) -> bool:
        """Whether the mean is a share of rows: each is 1 or 0."""
        return bool(((self.value == 0.0) | (self.value == 1.0)).all())

    def mean(self) -> float | None:
        """The metric, or None where no row counts."""
        count = int(self.counted.sum())
        return float(self.value[self.counted].sum() / count) if count else None


def accuracy_within(
    distance_km: Float[np.ndarray, " row"], radius_km: float, *, strict: bool
) -> Bool[np.ndarray, " row"]:
    """Which rows lie within a radius: d < r when strict, d <= r otherwise.

    The mean of the answer is the accuracy.
    """
    return distance_km < radius_km if strict else distance_km <= radius_km


def geoscore(distance_km: Float[np.ndarray, " row"]) -> Float64[np.ndarray, " row"]:
    """Points of the game GeoGuessr for each row: 5000·exp(-d / 1492.7 km), not rounded.

    Source: Haas, Skreta, Alberti and Finn 2023 (PIGEON, arXiv 2307.05845), as used by Astruc et
    al. 2024 (OpenStreetView-5M).
    """
    return GEOSCORE_MAXIMUM * np.exp(-distance_km.astype(np.float64) / GEOSCORE_SCALE_KM)


def mean_of(values: Float[np.ndarray, " row"]) -> float:
    """Their mean, in float64.

    Raises:
        ValueError: there are none.
    """
    if not len(values):
        raise ValueError("the mean of no values is not defined")
    return float(np.mean(values, dtype=np.float64))


def median_of(values: Float[np.ndarray, " row"]) -> float:
    """Their median, the mean of the middle two when the count is even.

    Raises:
        ValueError: there are none.
    """
    if not len(values):
        raise ValueError("the median of no values is not defined")
    return float(np.median(values))


def recall_at_k(rank: Int[np.ndarray, " query"], k: int) -> float:
    """Share of the queries whose own place is among the k best.

    Args:
        rank: rank of each query's own place, from 1.
        k: how many are looked at.

    Raises:
        ValueError: k is below 1, a rank is below 1, or there are no ranks.
    """
    if k < 1 or not len(rank) or int(rank.min()) < 1:
        raise ValueError("recall@k needs k >= 1 and at least one rank, ranks counting from 1")
    return float(np.mean(rank <= k))

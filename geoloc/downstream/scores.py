"""How near estimates at stations come, in all and in space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from geoloc.errors import DataError
from geoloc.geostatistics import measure_agreement


@dataclass(frozen=True, slots=True, kw_only=True)
class StationScores:
    """Estimates against measurements.

    Attributes:
        rmse: root of the mean squared error over stations and times, in the unit of the values.
        pearson: correlation over stations and times.
        spatial_r: correlation of the stations' means over time: whether the map is right, whatever
            the seasons do.
    """

    rmse: float
    pearson: float
    spatial_r: float


def station_scores(
    estimate: Float64[np.ndarray, "station time"], truth: Float64[np.ndarray, "station time"]
) -> StationScores:
    """Compare estimates with measurements, leaving out where either is nan.

    A station's mean is over the times that both have.

    Raises:
        DataError: fewer than three stations or values can be compared.
    """
    both = np.isfinite(estimate) & np.isfinite(truth)
    seen = both.any(axis=1)
    if seen.sum() < 3:
        raise DataError(f"{int(seen.sum())} stations can be compared: three at least are needed")
    means = [np.nanmean(np.where(both, each, np.nan)[seen], axis=1) for each in (estimate, truth)]
    overall = measure_agreement(estimate, truth)
    return StationScores(
        rmse=overall.rmse,
        pearson=overall.pearson,
        spatial_r=measure_agreement(*means).pearson,
    )


def mean_interval(value: Float64[np.ndarray, " seed"]) -> tuple[float, float, float]:
    """The mean over seeds and its 95 % interval by Student's t; nan ends for a single seed."""
    mean = float(value.mean())
    if len(value) < 2:
        return mean, float("nan"), float("nan")
    from scipy.stats import t

    half = float(t.ppf(0.975, len(value) - 1) * value.std(ddof=1) / np.sqrt(len(value)))
    return mean, mean - half, mean + half

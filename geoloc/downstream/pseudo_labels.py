"""Pseudo-labels: what stations say of other places and days, by kriging, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from geoloc.errors import DataError
from geoloc.geostatistics import (
    LagBins,
    Variogram,
    VariogramFit,
    accumulator_for,
    ordinary_kriging,
    sample_lags,
)

_FEWEST_STATIONS = 3
_LAG_SAMPLES = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PseudoLabels:
    """Kriged values of places at times; nan where a step had too few stations.

    Attributes:
        value: the estimates.
        variance: of their errors, in squared units of the values.
        sill: of the variogram, that variances are judged by.
    """

    value: Float64[np.ndarray, "place time"]
    variance: Float64[np.ndarray, "place time"]
    sill: float

    def weights(self, trust: float) -> Float64[np.ndarray, "place time"]:
        """How much each counts beside a measured value: 1 / (1 + variance / (trust * sill)).

        1 where kriging knows the value, a half where its variance is the part `trust` of the sill,
        0 where there is none.

        Args:
            trust: above 0; infinite takes all for measured.
        """
        weight = 1.0 / (1.0 + self.variance / (trust * self.sill))
        return np.where(np.isfinite(self.value), weight, 0.0)


def pooled_variogram(
    latlon_deg: Float64[np.ndarray, "place 2"],
    value: Float64[np.ndarray, "place time"],
    *,
    classes: int,
    max_lag_km: float,
) -> Variogram:
    """One semivariogram of all steps: pairs are taken within a step, never across.

    Steps differ in their mean, which pairs within one do not see; their structure is taken to be
    one, so that few stations over many steps give a curve that few stations at once do not.

    Args:
        latlon_deg: of the places.
        value: nan is missing.
        classes: of lag, of about equal numbers of pairs.
        max_lag_km: pairs beyond are left out.

    Raises:
        DataError: no step has two stations near enough.
    """
    measured = np.isfinite(value).any(axis=1)
    latlon_deg, value = latlon_deg[measured], value[measured]
    if len(latlon_deg) < _FEWEST_STATIONS:
        raise DataError(f"{len(latlon_deg)} stations measured anything: three at least are needed")
    lags = sample_lags(latlon_deg, _LAG_SAMPLES, generator=np.random.default_rng(0))
    near = lags[(lags > 0) & (lags <= max_lag_km)]
    if not len(near):
        raise DataError(f"no two stations are within {max_lag_km:g} km: raise max_lag_km")
    bins = LagBins.equal_count(classes, near)
    typical = np.nanmean(value, axis=1)
    sums, labels = accumulator_for(latlon_deg, typical, bins=bins, dissimilarity="squared")
    for step in value.T:
        known = np.isfinite(step)
        if known.sum() > 1:
            sums.add(latlon_deg[known], step[known], groups=labels[known])
    return sums.variogram("matheron", feature_dim=1)


def krige_steps(
    latlon_deg: Float64[np.ndarray, "station 2"],
    value: Float64[np.ndarray, "station time"],
    targets_deg: Float64[np.ndarray, "target 2"],
    fit: VariogramFit,
    *,
    neighbours: int | None = None,
) -> PseudoLabels:
    """Ordinary kriging of each step's measurements to all targets.

    A station that measured at one step gives nothing to another: each step has its own places.
    Steps with the same stations are kriged together.

    Args:
        latlon_deg: of the stations.
        value: what they measured; nan where they did not.
        targets_deg: the places of the images.
        fit: of `pooled_variogram`.
        neighbours: of the stations of a step; None for all.

    Raises:
        DataError: no step has three stations, or two stations stand at one place.

    Source: Duan, Jiang and Carlson 2023, who krige PM2.5 of stations to images without one.
    """
    known = np.isfinite(value)
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    shape = (len(targets_deg), value.shape[1])
    estimate, variance = np.full(shape, np.nan), np.full(shape, np.nan)
    for number, stations in enumerate(patterns.T):
        steps = which.reshape(-1) == number
        if stations.sum() < _FEWEST_STATIONS:
            continue
        kriged = ordinary_kriging(
            latlon_deg[stations],
            value[stations][:, steps],
            targets_deg,
            fit,
            neighbours=neighbours,
        )
        estimate[:, steps] = kriged.value.cpu().numpy()
        variance[:, steps] = kriged.variance.cpu().numpy()[:, None]
    if not np.isfinite(estimate).any():
        raise DataError(f"no step has {_FEWEST_STATIONS} stations to krige from")
    return PseudoLabels(value=estimate, variance=variance, sill=fit.sill)

"""Pseudo-labels: what stations say of other places and days, by kriging, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from geoloc.geostatistics import KrigingMethod, VariogramFit, krige_by_step


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
    Steps with the same stations are kriged together. Stations at one place, such as two monitors at
    a site, are one with the mean of their values.

    Args:
        latlon_deg: of the stations.
        value: what they measured; nan where they did not.
        targets_deg: the places of the images.
        fit: of `pooled_variogram`.
        neighbours: of the stations of a step; None for all.

    Raises:
        DataError: no step has three stations.

    Source: Duan, Jiang and Carlson 2023, who krige PM2.5 of stations to images without one.
    """
    method = KrigingMethod(fit=fit, neighbours=neighbours, duplicates="mean")
    found = krige_by_step(latlon_deg, value, targets_deg, method)
    return PseudoLabels(value=found.value, variance=found.variance, sill=fit.sill)

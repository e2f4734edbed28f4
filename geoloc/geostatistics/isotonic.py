"""A semivariogram without a model: the nearest curve that never falls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from scipy.optimize import isotonic_regression
from torch import Tensor

from geoloc.artifacts import read_json, write_json
from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.bin_weights import (
    MIN_PAIRS,
    Weights,
    bin_weights,
    default_max_lag,
    fitted_bins,
)
from geoloc.geostatistics.effective_range import SILL_SHARE
from geoloc.geostatistics.fit_json import fields_from_json, fit_to_json
from geoloc.geostatistics.lag_arrays import LagT, apply_to_lags
from geoloc.geostatistics.lags import LagUnit, Metric
from geoloc.geostatistics.variogram import Variogram


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IsotonicFit:
    """A semivariogram that never falls: straight lines between bins, called with lags.

    From 0 at lag 0 it rises straight to the first bin, which says nothing about a nugget: below
    the first bin there are no data. Beyond the last bin it stays at the sill.

    Attributes:
        unit: of lags.
        metric: how the lags of the variogram were measured.
        weights: how the bins were weighted.
        max_lag: bins beyond were left out; infinite where none were.
        min_pairs: pairs a bin needed.
        lag: mean lags of the fitted bins, increasing.
        semivariance: of the fitted bins.
        fitted: the curve at those lags, never falling.
        weight: of the fitted bins.
        sse: weighted sum of squared residuals.
        provenance: that of the variogram.
    """

    unit: LagUnit
    metric: Metric
    weights: Weights
    max_lag: float
    min_pairs: int
    lag: Float64[np.ndarray, " bin"]
    semivariance: Float64[np.ndarray, " bin"]
    fitted: Float64[np.ndarray, " bin"]
    weight: Float64[np.ndarray, " bin"]
    sse: float
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def nugget(self) -> float:
        """0: the curve comes from the origin."""
        return 0.0

    @property
    def sill(self) -> float:
        """The curve's last and greatest value."""
        return float(self.fitted[-1])

    @property
    def residual(self) -> Float64[np.ndarray, " bin"]:
        """Semivariance minus the curve."""
        return self.semivariance - self.fitted

    @property
    def effective_range(self) -> float:
        """The first lag at which the semivariance is 95 % of the sill; 0 where the sill is 0."""
        goal = SILL_SHARE * self.sill
        if goal <= 0:
            return 0.0
        after = int(np.searchsorted(self.fitted, goal))
        before_lag, before = (self.lag[after - 1], self.fitted[after - 1]) if after else (0.0, 0.0)
        share = (goal - before) / (self.fitted[after] - before)
        return float(before_lag + share * (self.lag[after] - before_lag))

    def __call__(self, lag: LagT) -> LagT:
        """Expected semivariance at some lags, in their kind, dtype and device."""
        return apply_to_lags(self._semivariance, lag)

    def to_json(self) -> dict[str, Any]:
        """The fit as JSON can hold it (infinite numbers are null)."""
        return fit_to_json(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> IsotonicFit:
        """The fit that `to_json` wrote, to the last bit.

        Raises:
            DataError: the content is something else, or of another version.
        """
        return cls(**fields_from_json(cls, content))

    def save(self, path: Path) -> None:
        """Write the fit as one JSON file, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> IsotonicFit:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or something else.
        """
        return cls.from_json(read_json(path, what="isotonic fit"))

    def _semivariance(self, lag: Tensor) -> Tensor:
        knot = torch.tensor([0.0, *self.lag.tolist()], dtype=lag.dtype, device=lag.device)
        value = torch.tensor([0.0, *self.fitted.tolist()], dtype=lag.dtype, device=lag.device)
        after = torch.searchsorted(knot, lag.contiguous()).clamp(1, len(knot) - 1)
        share = ((lag - knot[after - 1]) / (knot[after] - knot[after - 1])).clamp(max=1.0)
        return torch.lerp(value[after - 1], value[after], share)


def fit_isotonic(
    variogram: Variogram,
    *,
    weights: Weights = "n",
    max_lag: float | None = None,
    min_pairs: int = MIN_PAIRS,
) -> IsotonicFit:
    """The curve nearest to a semivariogram, by weighted least squares, among those that never fall.

    For variograms that no model fits, and as a check on models.

    Args:
        variogram: with at least one bin.
        weights: of the bins; ``n/gamma2`` needs a model and is refused.
        max_lag: bins beyond are left out; None is a quarter of the circumference on the Earth, and
            no limit elsewhere.
        min_pairs: bins of fewer pairs are left out, unless fewer than three would remain.

    Raises:
        ConfigError: the weights are impossible.
        DataError: no bin lies within `max_lag`, or none of them has a weight.

    Source: pooling of adjacent violators (R. E. Barlow et al., "Statistical Inference under Order
    Restrictions", 1972), as SciPy has it.
    """
    if weights == "n/gamma2":
        raise ConfigError("weights 'n/gamma2' need a model: n, n/h2, jackknife or none")
    limit = default_max_lag(variogram) if max_lag is None else float(max_lag)
    used = fitted_bins(variogram, max_lag=limit, min_pairs=min_pairs)
    weight = bin_weights(variogram, weights)
    used &= weight > 0
    if not used.any():
        raise DataError("no class of the variogram has a weight")
    value, weight = variogram.semivariance[used], weight[used]
    fitted = np.asarray(isotonic_regression(value, weights=weight).x, dtype=np.float64)
    return IsotonicFit(
        unit=variogram.unit,
        metric=variogram.metric,
        weights=weights,
        max_lag=limit,
        min_pairs=min_pairs,
        lag=variogram.lag[used],
        semivariance=value,
        fitted=fitted,
        weight=weight,
        sse=float((weight * (value - fitted) ** 2).sum()),
        provenance=dict(variogram.provenance),
    )

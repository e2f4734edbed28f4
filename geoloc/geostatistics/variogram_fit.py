"""VariogramFit: a model fitted to a semivariogram, as a value that can be called."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.artifacts import read_json, write_json
from geoloc.errors import ConfigError
from geoloc.geostatistics.bin_weights import Weights
from geoloc.geostatistics.effective_range import effective_model_lag, first_flat_lag
from geoloc.geostatistics.fit_json import damage_told, fields_from_json, fit_to_json
from geoloc.geostatistics.lag_arrays import LagT, apply_to_lags
from geoloc.geostatistics.lag_distance import LagMetric, great_circle_of, model_lag
from geoloc.geostatistics.lags import LagUnit, Metric
from geoloc.geostatistics.models import named_model
from geoloc.geostatistics.separation import sphere_radius

LOGARITHMIC = ("scale", "effective_range", "practical_range")
"""Parameters whose standard error is that of their logarithm."""

FLAT_SLOPE_RAD = 1e-2
"""Semivariance per radian of great circle below which a curve counts as flat."""

_NORMAL_95 = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True)
class Structure:
    """One term of a model: partial_sill times s(lag / scale).

    Attributes:
        model: the family's name.
        partial_sill: what it adds to the sill.
        scale: its length, as R's gstat has it, in the unit of the lags (of chords, if the model
            takes those).
        shape: None where the family has none.
    """

    model: str
    partial_sill: float
    scale: float
    shape: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class VariogramFit:
    """Nugget and structures fitted to a semivariogram; called with lags, it gives semivariances.

    Lags are great circles (or Euclidean distances) in `unit`, never chords: where the model takes
    chords, calling the fit turns one into the other. Flags:

    - ``no_structure``: the partial sill is 0, or a nugget alone explains the curve as well by AIC,
      or there are no more bins than parameters; ranges then mean nothing.
    - ``range_beyond_data``: the effective range exceeds the greatest fitted lag: a guess.
    - ``range_below_data``: the effective range is below the least fitted lag.
    - ``nugget_at_zero``: the nugget was fitted, and no positive one is better than none.
    - ``shape_at_bound``: the shape was fitted, and stands at its least or greatest value.
    - ``model_invalid_on_great_circle``: the model is no covariance with great circles for lags.

    Attributes:
        model: name of the family, or names joined by ``+``.
        structures: one for each family but the nugget.
        nugget: semivariance just above lag 0.
        unit: of lags and scales.
        metric: how the lags of the variogram were measured.
        lag_metric: what the model takes: chords, great circles, or Euclidean lags.
        weights: how the bins were weighted.
        nugget_fitted: whether a nugget was fitted rather than fixed to 0.
        given_shape: the shape that was asked for; None where it was fitted or stood at its default.
        max_lag: bins beyond were left out; infinite where none were.
        min_pairs: pairs a bin needed.
        lag: mean lags of the fitted bins, increasing.
        semivariance: of the fitted bins.
        weight: of the fitted bins.
        sse: weighted sum of squared residuals.
        residual: semivariance minus the fit.
        r2: part of the weighted variance of the semivariances that the fit explains.
        aic: n ln(sse / n) - sum ln(weight) + 2 parameters, comparable among all fits to the same
            bins whatever their weights (H. Akaike, IEEE Trans. Autom. Control 19, 1974).
        flags: see above.
        standard_error: by name, where `fit_replicates` found any; of the logarithm for ``scale``
            and the ranges; infinite where a replicate had no structure.
        provenance: that of the variogram.
    """

    model: str
    structures: tuple[Structure, ...]
    nugget: float
    unit: LagUnit
    metric: Metric
    lag_metric: LagMetric
    weights: Weights
    nugget_fitted: bool
    given_shape: float | None
    max_lag: float
    min_pairs: int
    lag: Float64[np.ndarray, " bin"]
    semivariance: Float64[np.ndarray, " bin"]
    weight: Float64[np.ndarray, " bin"]
    sse: float
    residual: Float64[np.ndarray, " bin"] = field(default_factory=lambda: np.empty(0))
    r2: float = 0.0
    aic: float = 0.0
    flags: tuple[str, ...] = ()
    standard_error: Mapping[str, float] = field(default_factory=dict[str, float])
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def partial_sill(self) -> float:
        """Sill of all structures together, without the nugget."""
        return sum((each.partial_sill for each in self.structures), 0.0)

    @property
    def sill(self) -> float:
        """Nugget and partial sills: what the semivariance tends to."""
        return self.nugget + self.partial_sill

    @property
    def scale(self) -> float:
        """Scale of the structure with the longest one; 0 for a pure nugget."""
        return max((each.scale for each in self.structures), default=0.0)

    @property
    def shape(self) -> float | None:
        """Shape of the structure with the longest scale, None where it has none."""
        return max(self.structures, key=lambda each: each.scale).shape if self.structures else None

    @property
    def has_structure(self) -> bool:
        """Whether dissimilarity grows with lag at all, as far as the bins can tell."""
        return "no_structure" not in self.flags

    @property
    def min_lag(self) -> float:
        """Least fitted lag."""
        return float(self.lag.min())

    @property
    def effective_range(self) -> float:
        """The lag at which the semivariance is 95 % of the sill, nugget included.

        A great circle for lags on the Earth, whatever the model takes; infinite where the antipode
        is not far enough; 0 where the nugget alone makes 95 %. A larger nugget makes it shorter.
        """
        return self._reach(self.nugget)

    @property
    def practical_range(self) -> float:
        """The lag at which the structure has reached 95 % of the partial sill, nugget left out.

        Three scales of an exponential model. Otherwise as `effective_range`.
        """
        return self._reach(0.0)

    def _reach(self, nugget: float) -> float:
        reached = effective_model_lag(
            tuple(named_model(each.model) for each in self.structures),
            nugget=torch.tensor([nugget], dtype=torch.float64),
            partial_sill=self._column([each.partial_sill for each in self.structures]),
            scale=self._column([each.scale for each in self.structures]),
            shape=self._column([each.shape or math.nan for each in self.structures]),
        )
        return great_circle_of(float(reached), self.lag_metric, self.unit)

    @property
    def valid(self) -> bool:
        """Whether the model is a covariance under its lag metric, as kriging asks.

        Chords and Euclidean lags take every family, great circles those that
        `Model.valid_on_great_circle` names, compact ones up to half the circumference.
        """
        if self.lag_metric != "great_circle":
            return True
        half = math.pi * sphere_radius(self.unit)
        return all(
            named_model(each.model).valid_on_great_circle(each.shape)
            and not (named_model(each.model).compact and each.scale > half)
            for each in self.structures
            if each.partial_sill > 0
        )

    def __call__(self, lag: LagT) -> LagT:
        """Expected semivariance at some lags, in their kind, dtype and device.

        0 at lag 0, never falling. Computed in float64; on a device nothing is waited for.
        """
        return apply_to_lags(self._semivariance, lag)

    def covariance(self, lag: LagT) -> LagT:
        """Sill minus semivariance, the sill itself at lag 0."""
        return apply_to_lags(lambda each: self.sill - self._semivariance(each), lag)

    def correlation(self, lag: LagT) -> LagT:
        """Covariance over sill; 0 where the sill is 0."""
        sill = self.sill or 1.0
        return apply_to_lags(lambda each: (self.sill - self._semivariance(each)) / sill, lag)

    def at_model_lag(self, lag: Float64[Tensor, "*batch"]) -> Float64[Tensor, "*batch"]:
        """Semivariances at lags as the model takes them: chords, where `lag_metric` is that."""
        value = self.nugget * (lag > 0).to(lag.dtype)
        for each in self.structures:
            grown = named_model(each.model).function(lag / each.scale, each.shape)
            value = value + each.partial_sill * grown
        return value

    def slope_range(self, slope: float | None = None) -> float:
        """The first lag, beyond the steepest, where the semivariance grows by less than `slope`.

        0 where it nowhere grows faster; infinite where it still does at the antipode (off the
        Earth: at 1000 scales).

        Args:
            slope: semivariance per unit of lag; None, for lags on the Earth, is 0.01 a radian.

        Raises:
            ConfigError: no slope is given, and lags are not on the Earth.
        """
        on_earth = self.metric == "great_circle"
        if slope is None and not on_earth:
            raise ConfigError("slope_range needs a slope where lags are not on the Earth")
        if slope is None:
            slope = FLAT_SLOPE_RAD / sphere_radius(self.unit)
        if not self.structures:
            return 0.0
        end = math.pi * sphere_radius(self.unit) if on_earth else 1e3 * self.scale
        start = min(1e-4 * min(each.scale for each in self.structures), end / 2)
        return first_flat_lag(self, start, end, slope)

    def interval(self, name: str) -> tuple[float, float]:
        """The 95 % interval of a parameter, from its standard error by `fit_replicates`.

        Symmetric but for scale and ranges, where it is so in the logarithm; sills and nuggets end
        at 0.

        Raises:
            ConfigError: the parameter has no standard error.
        """
        if name not in self.standard_error:
            known = ", ".join(self.standard_error) or "none; see fit_replicates"
            raise ConfigError(f"no standard error of {name!r}; known: {known}")
        value, width = float(getattr(self, name)), _NORMAL_95 * self.standard_error[name]
        if name not in LOGARITHMIC:
            return max(value - width, 0.0), value + width
        if not math.isfinite(width):
            return 0.0, math.inf
        return value * math.exp(-width), value * math.exp(width)

    def to_json(self) -> dict[str, Any]:
        """The fit as JSON can hold it; infinite numbers are null."""
        return fit_to_json(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> VariogramFit:
        """The fit that `to_json` wrote, to the last bit.

        Raises:
            DataError: the content is something else, or of another version.
        """
        with damage_told("VariogramFit"):
            found = fields_from_json(cls, content)
            structures = tuple(Structure(**each) for each in found.pop("structures"))
            fit = cls(structures=structures, **found)
            math.isfinite(fit.effective_range + fit.sill)
            return fit

    def save(self, path: Path) -> None:
        """Write the fit as one JSON file, whole or not at all."""
        write_json(path, self.to_json())

    @classmethod
    def load(cls, path: Path) -> VariogramFit:
        """Read what `save` wrote.

        Raises:
            DataError: the file is missing, damaged or something else.
        """
        return cls.from_json(read_json(path, what="variogram fit"))

    def _semivariance(self, lag: Tensor) -> Tensor:
        return self.at_model_lag(model_lag(lag, self.lag_metric, self.unit))

    @staticmethod
    def _column(values: list[float]) -> Tensor:
        return torch.tensor([values], dtype=torch.float64)

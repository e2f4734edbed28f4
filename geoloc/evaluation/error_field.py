"""Errors as a field on the Earth: how alike neighbouring errors are, and how far that reaches."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float64

from geoloc.errors import DataError
from geoloc.evaluation.error_correlation import block_warning
from geoloc.evaluation.metrics import geoscore
from geoloc.geostatistics import (
    Autocorrelation,
    LagBins,
    LocalMoran,
    SpatialWeights,
    Variogram,
    VariogramFit,
    estimate_variogram,
    fit_replicates,
    fit_variogram,
    gearys_c,
    local_moran,
    morans_i,
    nearest_neighbours,
)

ErrorMeasure: TypeAlias = Literal["log_km", "geoscore"]

FEWEST_IMAGES = 100
NEIGHBOURS = 8
SAMPLED_PAIRS = 4_000_000
FURTHEST_KM = 5000.0

_MODEL = "exponential"
_CLASSES = 30
_FIRST_KM = 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ErrorField:
    """How errors go together in space.

    Attributes:
        measure: ``log_km``, log10(1 + error in km), or ``geoscore``.
        neighbours: whom each image is compared with in `moran`, `geary` and `local`, in words.
        moran: Moran's I of the measure.
        geary: Geary's C of it.
        local: clusters of high and of low values, one entry an image.
        variogram: of the measure, by great circle.
        fit: an exponential model with a nugget, weighted by and with the errors of the jackknife.
        effective_range_km: lag at 95 % of the fitted sill: errors farther apart know nothing of
            each other; None where errors are not `structured`, or the model has not levelled off
            at 5,000 km.
        effective_range_interval_km: 95 %, by the jackknife over 40 spatial groups; None likewise.
        block_km: side of the blocks that intervals are drawn by.
    """

    measure: ErrorMeasure
    neighbours: str
    moran: Autocorrelation
    geary: Autocorrelation
    local: LocalMoran
    variogram: Variogram
    fit: VariogramFit
    effective_range_km: float | None
    effective_range_interval_km: tuple[float, float] | None
    block_km: float

    @property
    def structured(self) -> bool:
        """Whether near errors are more alike than far ones: the partial sill's interval is above 0.

        Of twenty simulated fields of noise two passed (`benchmarks/error_range.py`).
        """
        return self.fit.has_structure and self.fit.interval("partial_sill")[0] > 0.0

    @property
    def blocks_long_enough(self) -> bool:
        """Whether errors are alike over a fifth of a block at most (see `block_warning`)."""
        return block_warning(self.correlation_length_km, self.block_km) is None

    @property
    def correlation_length_km(self) -> float:
        """Lag at which the likeness of errors has fallen to 1/e; 0 where there is none to be seen.

        The scale of the exponential model, a third of its effective range where there is no nugget.
        """
        return self.fit.scale if self.structured else 0.0

    def to_json(self) -> dict[str, Any]:
        """The field as JSON objects, without the entries of single images."""
        curve = self.variogram
        return {
            "measure": self.measure,
            "neighbours": self.neighbours,
            "moran": self.moran.to_json(),
            "geary": self.geary.to_json(),
            "clusters": self.local.counts(),
            "variogram": {
                "lag_km": curve.lag.tolist(),
                "semivariance": curve.semivariance.tolist(),
                "standard_error": [_finite(each) for each in curve.standard_error.tolist()],
                "pair_count": curve.pair_count.tolist(),
                "fitted": np.asarray(self.fit(curve.lag)).tolist(),
            },
            "fit": self.fit.to_json(),
            "structured": self.structured,
            "effective_range_km": self.effective_range_km,
            "interval_km": (
                None
                if self.effective_range_interval_km is None
                else [_finite(end) for end in self.effective_range_interval_km]
            ),
            "furthest_km": FURTHEST_KM,
            "block_km": self.block_km,
            "correlation_length_km": self.correlation_length_km,
            "blocks_long_enough": self.blocks_long_enough,
        }


def error_fields(
    true_deg: Float64[np.ndarray, "row 2"],
    distance_km: Float64[np.ndarray, " row"],
    *,
    block_km: float,
    seed: int = 0,
) -> tuple[ErrorField, ...]:
    """How errors go together in the logarithm of the distance and in GeoScore.

    Args:
        true_deg: true places.
        distance_km: errors.
        block_km: side of the blocks of the intervals, to be judged by the effective range.
        seed: of the sampled pairs.

    Raises:
        DataError: fewer than 100 images, or all errors are equal.
    """
    if len(distance_km) < FEWEST_IMAGES:
        raise DataError(
            f"an error field needs {FEWEST_IMAGES} images at least, not {len(distance_km)}"
        )
    weights = nearest_neighbours(true_deg, NEIGHBOURS)
    values: dict[ErrorMeasure, np.ndarray] = {
        "log_km": np.log10(1.0 + distance_km),
        "geoscore": geoscore(distance_km),
    }
    return tuple(
        _field(true_deg, value, weights, measure=measure, block_km=block_km, seed=seed)
        for measure, value in values.items()
    )


def _field(
    true_deg: np.ndarray,
    value: np.ndarray,
    weights: SpatialWeights,
    *,
    measure: ErrorMeasure,
    block_km: float,
    seed: int,
) -> ErrorField:
    variogram = estimate_variogram(
        true_deg,
        value,
        bins=LagBins(edges=(0.0, *np.geomspace(_FIRST_KM, FURTHEST_KM, _CLASSES))),
        pairs="all" if len(value) ** 2 <= 2 * SAMPLED_PAIRS else SAMPLED_PAIRS,
        device="cpu",
        generator=torch.Generator().manual_seed(seed),
    )
    fit = fit_replicates(
        variogram, fit_variogram(variogram, _MODEL, weights="jackknife", max_lag=FURTHEST_KM)
    )
    found = ErrorField(
        measure=measure,
        neighbours=weights.kind,
        moran=morans_i(value, weights),
        geary=gearys_c(value, weights),
        local=local_moran(value, weights),
        variogram=variogram,
        fit=fit,
        effective_range_km=None,
        effective_range_interval_km=None,
        block_km=block_km,
    )
    if not found.structured or "range_beyond_data" in fit.flags:
        return found
    return replace(
        found,
        effective_range_km=fit.effective_range,
        effective_range_interval_km=fit.interval("effective_range"),
    )


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

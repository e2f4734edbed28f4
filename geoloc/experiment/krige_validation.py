"""How well kriging says what stations measure: left out one by one, in blocks, or held out."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import DataError
from geoloc.evaluation import spatial_blocks
from geoloc.experiment.krige_curve import KrigeCurve, fit_curve
from geoloc.experiment.krige_data import PlacedValues
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.geostatistics import (
    KrigedSteps,
    KrigingMethod,
    interval_coverage,
    krige_by_step,
    measure_agreement,
)

LEFT_OUT, BLOCKS, HELD_OUT, TARGETS = "leave_one_out", "blocks", "held_out", "targets"
CHECK_NAMES = {
    LEFT_OUT: "one station left out",
    BLOCKS: "blocks left out",
    HELD_OUT: "held-out places",
    TARGETS: "values of the targets",
}
"""What terminal and picture call the kinds of checks."""
LEVEL = 0.9
"""Probability of the intervals whose coverage is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KrigeScores:
    """Estimates against what was measured.

    Attributes:
        count: values compared.
        rmse: root of the mean squared error, in the unit of the values.
        mean_error: of estimate minus measured.
        pearson: correlation; nan where either is constant.
        standardised_variance: mean of squared error / told variance: 1 where variances are right,
            above where they are too small. Errors of no told variance are left out.
        coverage: share of what was measured within normal intervals of 90 %.
    """

    count: int
    rmse: float
    mean_error: float
    pearson: float
    standardised_variance: float
    coverage: float

    def to_json(self) -> dict[str, Any]:
        """As JSON can hold it: None for nan."""
        found = dataclasses.asdict(self)
        return {key: None if each != each else each for key, each in found.items()}


def krige_scores(
    kriged: KrigedSteps, truth: Float64[np.ndarray, "target time"], *, noise: float = 0.0
) -> KrigeScores:
    """Compare estimates with measurements, leaving out where either is nan.

    Args:
        kriged: with variances of the errors against the field.
        truth: measured.
        noise: variance of the errors of measurement, where the variances are without it.

    Raises:
        DataError: fewer than three can be compared.
    """
    overall = measure_agreement(kriged.value, truth)
    both = np.isfinite(kriged.value) & np.isfinite(truth)
    error, variance = (kriged.value - truth)[both], kriged.variance[both] + noise
    told = variance > 0
    squared = error[told] ** 2 / variance[told]
    return KrigeScores(
        count=overall.count,
        rmse=overall.rmse,
        mean_error=overall.bias,
        pearson=overall.pearson,
        standardised_variance=float(squared.mean()) if len(squared) else math.nan,
        coverage=interval_coverage(error, variance, LEVEL),
    )


def noise_of(method: KrigingMethod) -> float:
    """The variance of errors of measurement that a method's variances are without."""
    return method.fit.nugget if method.at_data == "filtered" else 0.0


def krige_folds(
    config: KrigeConfig, stations: PlacedValues, *, block: float
) -> tuple[KrigedSteps, Int64[np.ndarray, " station"]]:
    """Each station from those of other folds, with a variogram that has not seen its fold.

    Args:
        config: how to krige and to validate.
        stations: to leave out.
        block: side of the blocks that are left out whole, in km or the unit of the plane.

    Returns:
        Estimates at the stations, variances with the errors of measurement, and the fold of each.

    Raises:
        DataError: stations lie in one block, or those of a fold cannot be kriged.
    """
    fold = _folds(stations.places, config, block)
    if int(fold.max()) < 1:
        raise DataError(
            f"all stations lie in one block of {block:g}: make validation.block shorter, or give "
            "validation.folds=0"
        )
    value, variance = (np.full(stations.value.shape, np.nan) for _ in range(2))
    used = np.zeros(stations.value.shape[1], dtype=np.int64)
    for number in range(int(fold.max()) + 1):
        out = fold == number
        known = PlacedValues(places=stations.places[~out], value=stations.value[~out])
        try:
            method = krige_method(config, fit_curve(known, config))
            found = krige_by_step(
                known.places,
                known.value,
                stations.places[out],
                method,
                fewest=config.kriging.fewest,
            )
        except DataError as error:
            raise DataError(f"{error} (without fold {number + 1}; or validation.folds=0)") from None
        value[out], variance[out] = found.value, found.variance + noise_of(method)
        used = np.maximum(used, found.data)
    return KrigedSteps(value=value, variance=variance, data=used), fold


def krige_method(config: KrigeConfig, curve: KrigeCurve) -> KrigingMethod:
    """How a configuration kriges, under a model.

    Raises:
        DataError: the model has no sill.
    """
    return KrigingMethod(
        fit=curve.fit,
        mean=config.kriging.mean,
        neighbours=config.kriging.neighbours,
        at_data=config.kriging.at_data,
    )


def _folds(places: np.ndarray, config: KrigeConfig, block: float) -> Int64[np.ndarray, " station"]:
    """The fold of each station: whole blocks, dealt out by chance, no fold much larger."""
    if config.metric == "great_circle":
        cell = spatial_blocks(places, block_km=block)
    else:
        square = np.floor((places - places.min(axis=0)) / block).astype(np.int64)
        cell = np.unique(square, axis=0, return_inverse=True)[1].ravel()
    blocks, member, size = np.unique(cell, return_inverse=True, return_counts=True)
    order = np.random.default_rng(config.validation.seed).permutation(len(blocks))
    order = order[np.argsort(-size[order], kind="stable")]
    held = np.zeros(min(config.validation.folds, len(blocks)), dtype=np.int64)
    fold = np.empty(len(blocks), dtype=np.int64)
    for each in order:
        fold[each] = int(np.argmin(held))
        held[fold[each]] += size[each]
    return fold[member]

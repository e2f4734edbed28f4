"""Kriging of places that measured at many times, with gaps: each step from its own places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from geoloc.errors import DataError
from geoloc.geostatistics.estimate import accumulator_for
from geoloc.geostatistics.kriging_method import KrigingMethod
from geoloc.geostatistics.lags import LagBins, LagUnit, Metric
from geoloc.geostatistics.separation import sample_lags
from geoloc.geostatistics.variogram import Variogram

FEWEST_PLACES = 3
"""Places that a variogram needs, and a step to be kriged from unless told otherwise."""
_LAG_SAMPLES = 20_000
_PAIRS_A_CLASS = 30


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrigedSteps:
    """Estimates at targets, step by step; nan where a step had too few places.

    Attributes:
        value: the estimates.
        variance: of their errors, in squared units of the values.
        data: how many values an estimate of each step is from.
    """

    value: Float64[np.ndarray, "target time"]
    variance: Float64[np.ndarray, "target time"]
    data: Int64[np.ndarray, " time"]


def pooled_variogram(
    places: Float64[np.ndarray, "place axis"],
    value: Float64[np.ndarray, "place time"],
    *,
    classes: int,
    max_lag: float | None = None,
    metric: Metric = "great_circle",
    unit: LagUnit = "km",
) -> Variogram:
    """One semivariogram of all steps: pairs are taken within a step, never across.

    Steps differ in their mean, which pairs within one do not see; their structure is taken to be
    one, so that few places over many steps give a curve that few places at once do not.

    Args:
        places: degrees, or coordinates in `unit`.
        value: nan is missing.
        classes: of lag, of about equal numbers of pairs; fewer, but three, where a class would
            have less than thirty.
        max_lag: in `unit`; pairs beyond are left out. None is half of the greatest lag, or that lag
            where no two places are nearer.
        metric: of the places.
        unit: of lags.

    Raises:
        ConfigError: the metric has no such unit, or there are no classes.
        CoordinateError: a place is not finite or out of range.
        DataError: fewer than three places measured, none are near enough, or nothing varies.
    """
    measured = np.isfinite(value).any(axis=1)
    places, value = places[measured], value[measured]
    if len(places) < FEWEST_PLACES:
        raise DataError(f"{len(places)} stations measured anything: three at least are needed")
    chance = np.random.default_rng(0)
    lags = sample_lags(places, _LAG_SAMPLES, generator=chance, metric=metric, unit=unit)
    limit = _half_of_greatest(lags) if max_lag is None else max_lag
    near = lags[(lags > 0) & (lags <= limit)]
    if not len(near):
        raise DataError(f"no two stations are within {limit:g} {unit}: raise max_lag")
    known = np.isfinite(value).sum(axis=0)
    pairs = float((known * (known - 1) / 2).sum()) * len(near) / len(lags)
    fewer = max(FEWEST_PLACES, int(pairs / _PAIRS_A_CLASS))
    bins = LagBins.equal_count(min(classes, fewer), near, unit=unit)
    typical = np.nanmean(value, axis=1)
    sums, labels = accumulator_for(
        places, typical, bins=bins, dissimilarity="squared", metric=metric
    )
    for step in value.T:
        there = np.isfinite(step)
        if there.sum() > 1:
            sums.add(places[there], step[there], groups=labels[there])
    if not sums.pair_count:
        raise DataError(f"no two stations within {limit:g} {unit} measured at one time")
    found = sums.variogram("matheron", feature_dim=1)
    if not bool((found.semivariance > 0).any()):
        raise DataError("all values are equal, or all of each step: there is nothing to estimate")
    return found


def _half_of_greatest(lags: Float64[np.ndarray, " pair"]) -> float:
    greatest = float(lags.max())
    near = (lags > 0) & (lags <= greatest / 2.0)
    return greatest / 2.0 if bool(near.any()) else greatest


def krige_by_step(
    places: Float64[np.ndarray, "place axis"],
    value: Float64[np.ndarray, "place time"],
    targets: Float64[np.ndarray, "target axis"],
    method: KrigingMethod,
    *,
    fewest: int = FEWEST_PLACES,
) -> KrigedSteps:
    """Estimates of each step at all targets, from what was measured at that step.

    A place that measured at one step gives nothing to another: each step has its own places.
    Steps with the same places are kriged together.

    Args:
        places: degrees, or coordinates in the unit of the model.
        value: nan is missing.
        targets: like the places.
        method: how to krige.
        fewest: places that a step needs.

    Raises:
        ConfigError: a step has too many places for all to be used at once.
        CoordinateError: a place is not finite or out of range.
        DataError: no step has places enough, or one place is there twice.
    """
    shape = (len(targets), value.shape[1])
    estimate, variance = np.full(shape, np.nan), np.full(shape, np.nan)
    data = np.zeros(shape[1], dtype=np.int64)
    for there, steps in _patterns(value, fewest):
        kriged = method.kriged(places[there], value[there][:, steps], targets)
        estimate[:, steps] = kriged.value.cpu().numpy()
        variance[:, steps] = kriged.variance.cpu().numpy()[:, None]
        data[steps] = min(int(there.sum()), method.neighbours or len(there))
    return KrigedSteps(value=estimate, variance=variance, data=data)


def leave_one_out_by_step(
    places: Float64[np.ndarray, "place axis"],
    value: Float64[np.ndarray, "place time"],
    method: KrigingMethod,
    *,
    fewest: int = FEWEST_PLACES,
) -> KrigedSteps:
    """What the others that measured at a step say of each value: `KrigingMethod.left_out`.

    Args:
        places: as in `krige_by_step`, like all that is not named here.
        value: nan is missing, and stays so.
        method: how to krige.
        fewest: places that a step needs, the one that is left out among them.

    Raises:
        ConfigError: a step has too many places for all to be used at once.
        DataError: no step has places enough, or one place is there twice.
    """
    estimate, variance = np.full(value.shape, np.nan), np.full(value.shape, np.nan)
    data = np.zeros(value.shape[1], dtype=np.int64)
    for there, steps in _patterns(value, max(2, fewest)):
        kriged = method.left_out(places[there], value[there][:, steps])
        at = np.ix_(there, steps)
        estimate[at] = kriged.value.cpu().numpy()
        variance[at] = kriged.variance.cpu().numpy()[:, None]
        data[steps] = min(int(there.sum()) - 1, method.neighbours or len(there))
    return KrigedSteps(value=estimate, variance=variance, data=data)


def _patterns(
    value: np.ndarray, fewest: int
) -> Iterator[tuple[Bool[np.ndarray, " place"], Bool[np.ndarray, " time"]]]:
    """Which places measured together, and at which steps."""
    if bool(np.isinf(value).any()):
        raise DataError("a value is infinite: write such values as missing (nan)")
    known = np.isfinite(value)
    enough = known.sum(axis=0) >= fewest
    if not bool(enough.any()):
        raise DataError(f"no step has {fewest} stations to krige from")
    patterns, which = np.unique(known, axis=1, return_inverse=True)
    for number, there in enumerate(patterns.T):
        steps = (which.reshape(-1) == number) & enough
        if bool(steps.any()):
            yield there, steps

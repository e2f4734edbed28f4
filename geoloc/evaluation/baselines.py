"""What knows nothing of the image: the best constant guess, and a random gallery place."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64

from geoloc.errors import DataError
from geoloc.evaluation.protocols import EvaluationProtocol
from geoloc.evaluation.scoring import Scores, score_predictions
from geoloc.geodesy import (
    great_circle_km,
    latlon_to_local_km,
    local_to_latlon_deg,
    pairwise_great_circle_km,
    validate_latlon,
)

LEAST_MEDIAN = "constant guess (least median)"
LEAST_MEAN = "constant guess (least mean)"
RANDOM_PLACE = "random gallery place"
_CANDIDATES = 512
_TARGETS = 8192


def best_constant_place(
    training_latlon_deg: Float64[np.ndarray, "place 2"],
    *,
    objective: Literal["median", "mean"] = "median",
    seed: int = 0,
) -> Float64[np.ndarray, 2]:
    """The one place to guess when the image is not looked at, learned on training places.

    ``median``: the training place whose median distance to the training places is least.
    ``mean``: the geometric median on the sphere, which has the least mean distance: Weiszfeld's
    iteration on tangent planes (Fletcher, Venkatasubramanian and Joshi 2009, eq. 6), started from
    the best training place, since there may be several local minima. Large sets are sampled:
    512 candidates, then the 512 nearest to the best of them, each against 8,192 places.

    Args:
        training_latlon_deg: places of the training split, never of the evaluated one.
        objective: what is minimised.
        seed: of the sampling.

    Raises:
        DataError: there are no training places.
        CoordinateError: one is not finite or out of range.
    """
    places = np.asarray(training_latlon_deg, dtype=np.float64)
    if not len(places):
        raise DataError("a constant guess needs training places")
    validate_latlon(places, what="training place")
    generator = np.random.default_rng(seed)
    target = _sample(places, _TARGETS, generator)
    best = _least(_sample(places, _CANDIDATES, generator), target, objective)
    near = np.argsort(great_circle_km(best[None], places), kind="stable")[:_CANDIDATES]
    best = _least(np.concatenate([best[None], places[near]]), target, objective)
    if objective == "median":
        return best
    return _least(np.stack([best, _geometric_median(best, target)]), target, "mean")


def baseline_places(
    count: int,
    training_latlon_deg: Float64[np.ndarray, "place 2"],
    gallery_latlon_deg: Float64[np.ndarray, "candidate 2"],
    *,
    seed: int = 0,
) -> dict[str, Float64[np.ndarray, "row 2"]]:
    """The guesses of each baseline for `count` images.

    Raises:
        DataError: there are no training places, or the gallery is empty.
    """
    if not len(gallery_latlon_deg):
        raise DataError("a random pick needs a gallery with places")
    median = best_constant_place(training_latlon_deg, objective="median", seed=seed)
    mean = best_constant_place(training_latlon_deg, objective="mean", seed=seed)
    pick = np.random.default_rng(seed).integers(len(gallery_latlon_deg), size=count)
    return {
        LEAST_MEDIAN: np.tile(median, (count, 1)),
        LEAST_MEAN: np.tile(mean, (count, 1)),
        RANDOM_PLACE: np.asarray(gallery_latlon_deg, dtype=np.float64)[pick],
    }


def baseline_scores(
    frame: pd.DataFrame,
    training_latlon_deg: Float64[np.ndarray, "place 2"],
    gallery_latlon_deg: Float64[np.ndarray, "candidate 2"],
    *,
    protocol: EvaluationProtocol | str,
    seed: int = 0,
    resamples: int = 0,
) -> dict[str, Scores]:
    """What the baselines score on the rows of a table of predictions, by the same metrics.

    Args:
        frame: predictions; only their keys, true places and labels are read.
        training_latlon_deg: places of the training split, for the constant guesses.
        gallery_latlon_deg: places of the gallery, for the random pick.
        protocol: one of `PROTOCOLS`, or its name.
        seed: of the sampling and of the random pick.
        resamples: draws of the bootstrap; 0 for no intervals.

    Raises:
        DataError: the table or the places cannot be used.
        CoordinateError: a place is not finite or out of range.
    """
    guesses = baseline_places(len(frame), training_latlon_deg, gallery_latlon_deg, seed=seed)
    return score_guesses(frame, guesses, protocol=protocol, seed=seed, resamples=resamples)


def score_guesses(
    frame: pd.DataFrame,
    guesses: Mapping[str, Float64[np.ndarray, "row 2"]],
    *,
    protocol: EvaluationProtocol | str,
    seed: int = 0,
    resamples: int = 0,
) -> dict[str, Scores]:
    """What guesses made once (`baseline_places`) score on the rows of a table of predictions.

    Args:
        frame: predictions; only their keys, true places and labels are read.
        guesses: a place for each row, by the name of the baseline.
        protocol: one of `PROTOCOLS`, or its name.
        seed: of the bootstrap.
        resamples: draws of the bootstrap; 0 for no intervals.

    Raises:
        DataError: the table cannot be used.
        CoordinateError: a place is not finite or out of range.
    """
    return {
        name: score_predictions(
            frame.assign(pred_lat_deg=guess[:, 0], pred_lon_deg=guess[:, 1]),
            protocol,
            resamples=resamples,
            seed=seed,
        )
        for name, guess in guesses.items()
    }


def _sample(places: np.ndarray, most: int, generator: np.random.Generator) -> np.ndarray:
    if len(places) <= most:
        return places
    return places[generator.choice(len(places), size=most, replace=False)]


def _least(
    candidate: np.ndarray, target: np.ndarray, objective: Literal["median", "mean"]
) -> np.ndarray:
    """The candidate of least median or mean distance, the first of equals."""
    distance_km = np.asarray(pairwise_great_circle_km(candidate, target))
    cost = np.median(distance_km, axis=1) if objective == "median" else distance_km.mean(axis=1)
    return candidate[int(np.argmin(cost))]


def _geometric_median(start: np.ndarray, target: np.ndarray, *, steps: int = 200) -> np.ndarray:
    """Weiszfeld's iteration: the mean of tangent vectors weighted by one over the distance."""
    place = start
    for _ in range(steps):
        flat_km = np.stack(latlon_to_local_km(place, target), axis=-1)
        apart_km = np.linalg.norm(flat_km, axis=1)
        # a place that is stood on would hold the iteration there for ever
        weight = np.where(apart_km > 1.0, 1.0 / np.maximum(apart_km, 1.0), 0.0)
        if not weight.any():
            break
        step_km = (weight[:, None] * flat_km).sum(axis=0) / weight.sum()
        place = np.asarray(local_to_latlon_deg(place, step_km[0], step_km[1]), dtype=np.float64)
        if float(np.linalg.norm(step_km)) < 1e-3:
            break
    return place

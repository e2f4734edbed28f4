"""The temperature of a model's softmax over a gallery, fitted by a proper score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from jaxtyping import Float64

from geoloc.errors import DataError
from geoloc.evaluation.answered import AnsweredSplit
from geoloc.evaluation.mass_profile import ring_masses

Objective = Literal["answer", "nearest"]
RADII_KM: tuple[float, ...] = (25.0, 200.0, 750.0, 2500.0)

LEAST_REACH = 0.9
"""A radius takes part in a fit where this share of the truths has a gallery place so near."""

MOST_QUERIES = 20_000
"""One number needs no more images, and each is compared with every place some thirty times."""

_OCTAVES = 5
_ROUNDS = 3
_TINY = 1e-30
# Nearer than places of a gallery usually are; wide enough for the cosine of the angle to tell.
_SAME_PLACE_KM = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureFit:
    """A temperature, and what it does to the score that it was fitted by.

    Attributes:
        objective: which score (`log_losses`).
        radii_km: the radii of that score; none for ``nearest``.
        trained_scale: the model's own factor on the cosine.
        scale: the fitted factor.
        queries: how many images it was fitted on.
        trained_loss: mean log loss at the trained scale, in nats.
        loss: mean log loss at the fitted scale.
        at_bound: the fit ran into the end of the search, 32 times the trained scale or a 32nd of
            it: the softmax tells too little (or all), and no temperature mends it.
    """

    objective: Objective
    radii_km: tuple[float, ...]
    trained_scale: float
    scale: float
    queries: int
    trained_loss: float
    loss: float
    at_bound: bool

    @property
    def temperature(self) -> float:
        """What the trained logits are divided by: above 1 the model was too sure of itself."""
        return self.trained_scale / self.scale

    def to_json(self) -> dict[str, Any]:
        """The fit as a mapping that `json` can write."""
        told = asdict(self)
        return {"temperature": self.temperature, **told, "radii_km": list(self.radii_km)}


def fit_temperature(
    split: AnsweredSplit,
    *,
    trained_scale: float,
    objective: Objective = "answer",
    radii_km: Sequence[float] = RADII_KM,
    most_queries: int = MOST_QUERIES,
    seed: int = 0,
) -> TemperatureFit:
    """The factor on the cosine with the lowest mean log loss on a split.

    ``answer`` takes the radii that the gallery can resolve on this split (`LEAST_REACH`), the
    largest if it can resolve none.

    Args:
        split: images that the model was not trained on, with its answers.
        trained_scale: the model's own factor on the cosine.
        objective: see `log_losses`.
        radii_km: of the events.
        most_queries: of a larger split so many images, drawn at random, are fitted on.
        seed: of that draw.

    Raises:
        DataError: the split is empty.
    """
    if not len(split):
        raise DataError("a temperature cannot be fitted on no images")
    if len(split) > most_queries:
        drawn = np.random.default_rng(seed).permutation(len(split))[:most_queries]
        split = split.rows(np.sort(drawn))
    resolved = tuple(radius for radius in sorted(radii_km) if split.reach(radius) >= LEAST_REACH)
    used = () if objective == "nearest" else resolved or (max(radii_km),)

    def loss(scales: Sequence[float]) -> Float64[np.ndarray, " scale"]:
        return log_losses(split, scales, objective=objective, radii_km=used)

    scale, at_bound = search_scale(loss, start=trained_scale)
    before, after = loss([trained_scale, scale]).tolist()
    return TemperatureFit(
        objective=objective,
        radii_km=used,
        trained_scale=trained_scale,
        scale=scale,
        queries=len(split),
        trained_loss=before,
        loss=after,
        at_bound=at_bound,
    )


def log_losses(
    split: AnsweredSplit,
    scales: Sequence[float],
    *,
    objective: Objective,
    radii_km: Sequence[float] = RADII_KM,
) -> Float64[np.ndarray, " scale"]:
    """Mean log loss of the softmax at several scales, in nats; both are proper scores.

    ``answer``: of the yes-or-no forecasts "the true place lies within r km of the answer", whose
    probability is the softmax mass of the places within r km of the answer; mean over radii. The
    answer does not depend on the scale, so the events do not either.
    ``nearest``: of the forecast "this place of the gallery is the one nearest to the true
    place", minus the logarithm of that place's probability.

    The tempting third, minus the logarithm of the mass within r km of the **true** place, is not
    proper for the softmax: those events overlap, and the forecast that wins is sharper than the
    truth (docs/calibration.md). Probabilities below 1e-30 count as 1e-30.

    Source: Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and
    estimation", section 3; temperature scaling: Guo et al. 2017.
    """
    query, place, places_deg = split.query, split.place, split.gallery_deg
    if objective == "nearest":
        mass = ring_masses(
            query,
            split.nearest_deg,
            place,
            places_deg,
            scales=scales,
            edges_km=np.array([_SAME_PLACE_KM]),
        )
        return -np.log(mass[:, :, 0].clip(_TINY)).mean(axis=1)
    edges_km = np.array(sorted(radii_km), dtype=np.float64)
    mass = ring_masses(query, split.answer_deg, place, places_deg, scales=scales, edges_km=edges_km)
    inside = np.cumsum(mass, axis=2)[:, :, :-1]
    # Summed from outside: one minus a sum would lose what little lies there.
    outside = np.cumsum(mass[:, :, ::-1], axis=2)[:, :, -2::-1]
    happened = split.distance_km[:, None] <= edges_km
    return -np.log(np.where(happened, inside, outside).clip(_TINY)).mean(axis=(1, 2))


def search_scale(
    loss: Callable[[Sequence[float]], Float64[np.ndarray, " scale"]], *, start: float
) -> tuple[float, bool]:
    """The scale of least loss within five octaves of a start, and whether it stands at their end.

    Several scales are asked at once, since that costs one pass over queries and places: octaves
    first, then eighths of the gap around the best, twice, then the vertex of a parabola through
    the best three, over the logarithm of the scale.
    """
    log_scale = np.log2(start) + np.arange(-_OCTAVES, _OCTAVES + 1.0)
    value = loss(np.exp2(log_scale).tolist())
    best = int(value.argmin())
    if best in (0, len(value) - 1):
        return float(np.exp2(log_scale[best])), True
    for _ in range(_ROUNDS - 1):
        log_scale = np.linspace(log_scale[best - 1], log_scale[best + 1], 9)
        value = loss(np.exp2(log_scale).tolist())
        best = min(max(int(value.argmin()), 1), len(value) - 2)
    low, middle, high = value[best - 1 : best + 2].tolist()
    bend = low - 2 * middle + high
    shift = 0.5 * (low - high) / bend if bend > 0 else 0.0
    step = log_scale[best + 1] - log_scale[best]
    return float(np.exp2(log_scale[best] + min(max(shift, -1.0), 1.0) * step)), False

"""Whether probabilities mean what they say: reliability by radius, before and after calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64

from geoloc.errors import DataError
from geoloc.evaluation.answered import AnsweredSplit
from geoloc.evaluation.mass_profile import ring_masses
from geoloc.evaluation.resampling import RowMeasure, block_intervals, spatial_blocks
from geoloc.evaluation.temperature import RADII_KM

_TINY = 1e-30
_CHANCE_DRAWS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityBin:
    """Images of like confidence.

    Attributes:
        confidence: their mean probability.
        outcome: the share for which the event happened.
        count: how many they are.
    """

    confidence: float
    outcome: float
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How well the probability of "the true place lies within r km of the answer" is calibrated.

    Intervals are 95 % by spatial blocks; None where there are too few blocks.

    Attributes:
        radius_km: r.
        count: number of images.
        confidence: mean probability.
        outcome: share for which the event happened.
        reach: share of true places with a place of the gallery within r: where it is low, no
            temperature can help.
        ece: expected calibration error, the mean over images of |confidence - outcome| of their
            bin (Naeini, Cooper and Hauskrecht 2015).
        ece_interval: of it.
        ece_by_chance: its mean were the probabilities exactly right: the floor for this many
            images (consistency resampling, Bröcker and Smith 2007).
        brier: mean squared difference of probability and outcome.
        brier_interval: of it.
        log_loss: mean minus log probability of what happened, in nats.
        log_loss_interval: of it.
        bins: of equal count, by rising confidence.
    """

    radius_km: float
    count: int
    confidence: float
    outcome: float
    reach: float
    ece: float
    ece_interval: tuple[float, float] | None
    ece_by_chance: float
    brier: float
    brier_interval: tuple[float, float] | None
    log_loss: float
    log_loss_interval: tuple[float, float] | None
    bins: tuple[ReliabilityBin, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as a mapping that `json` can write."""
        return asdict(self)


def split_reliability(
    split: AnsweredSplit,
    scale: float,
    *,
    radii_km: Sequence[float] = RADII_KM,
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[Reliability, ...]:
    """Reliability of a softmax on a split, one for each radius.

    Args:
        split: images with their answers and true places.
        scale: factor on the cosine.
        radii_km: of the events.
        bins: how many bins of equal count.
        resamples: of blocks, for the intervals.
        seed: of the draws.
    """
    edges_km = np.array(sorted(radii_km), dtype=np.float64)
    mass = ring_masses(
        split.query,
        split.answer_deg,
        split.place,
        split.gallery_deg,
        scales=[scale],
        edges_km=edges_km,
    )[0]
    within = np.cumsum(mass, axis=1).clip(0.0, 1.0)
    block = spatial_blocks(split.true_deg)
    return tuple(
        reliability(
            within[:, at],
            split.distance_km <= radius_km,
            block,
            radius_km=radius_km,
            reach=split.reach(radius_km),
            bins=bins,
            resamples=resamples,
            seed=seed,
        )
        for at, radius_km in enumerate(edges_km.tolist())
    )


def reliability(
    probability: Float64[np.ndarray, " row"],
    happened: Bool[np.ndarray, " row"],
    block: Int64[np.ndarray, " row"],
    *,
    radius_km: float,
    reach: float = 1.0,
    bins: int = 15,
    resamples: int = 1000,
    seed: int = 0,
) -> Reliability:
    """Reliability of the probabilities of one event.

    Args:
        probability: what was said of each image.
        happened: whether it was so.
        block: the spatial block of each image.
        radius_km: see `Reliability`.
        reach: see `Reliability`.
        bins: how many bins of equal count; fewer where there are fewer images.
        resamples: of blocks, for the intervals.
        seed: of the draws.

    Raises:
        DataError: there is no image.
    """
    if not len(probability):
        raise DataError("reliability cannot be measured on no images")
    outcome = happened.astype(np.float64)
    of_what_happened = np.where(happened, probability, 1.0 - probability).clip(_TINY)
    losses = {"brier": (probability - outcome) ** 2, "log_loss": -np.log(of_what_happened)}
    intervals = _mean_intervals(losses, block, resamples=resamples, seed=seed)
    chunks = _equal_counts(probability, bins)
    generator = np.random.default_rng(seed)
    return Reliability(
        radius_km=radius_km,
        count=len(probability),
        confidence=float(probability.mean()),
        outcome=float(outcome.mean()),
        reach=reach,
        ece=_ece(probability - outcome, chunks),
        ece_interval=_ece_interval(
            probability - outcome, chunks, block, resamples=resamples, generator=generator
        ),
        ece_by_chance=_ece_by_chance(probability, chunks, generator),
        brier=float(losses["brier"].mean()),
        brier_interval=intervals.get("brier"),
        log_loss=float(losses["log_loss"].mean()),
        log_loss_interval=intervals.get("log_loss"),
        bins=tuple(
            ReliabilityBin(
                confidence=float(probability[chunk].mean()),
                outcome=float(outcome[chunk].mean()),
                count=len(chunk),
            )
            for chunk in chunks
        ),
    )


def _equal_counts(probability: np.ndarray, bins: int) -> list[np.ndarray]:
    """Rows by rising probability, in bins whose counts differ by one at most."""
    order = np.argsort(probability, kind="stable")
    return np.array_split(order, min(bins, len(order)))


def _ece(gap: np.ndarray, chunks: Sequence[np.ndarray]) -> float:
    return float(sum(abs(gap[chunk].sum()) for chunk in chunks) / len(gap))


def _ece_by_chance(
    probability: np.ndarray, chunks: Sequence[np.ndarray], generator: np.random.Generator
) -> float:
    drawn = (generator.random(len(probability)) < probability for _ in range(_CHANCE_DRAWS))
    return float(np.mean([_ece(probability - each, chunks) for each in drawn]))


def _ece_interval(
    gap: np.ndarray,
    chunks: Sequence[np.ndarray],
    block: np.ndarray,
    *,
    resamples: int,
    generator: np.random.Generator,
) -> tuple[float, float] | None:
    """The ECE of draws of whole blocks, the bins as they are."""
    known, member = np.unique(block, return_inverse=True)
    if len(known) < 2 or resamples < 1:
        return None
    share = np.full(len(known), 1.0 / len(known))
    times = generator.multinomial(len(known), share, size=resamples).astype(np.float64)
    gaps = np.stack([np.bincount(member[c], gap[c], minlength=len(known)) for c in chunks])
    count = times @ np.bincount(member, minlength=len(known))
    low, high = np.percentile(np.abs(times @ gaps.T).sum(axis=1) / count, [2.5, 97.5])
    return float(low), float(high)


def _mean_intervals(
    values: dict[str, np.ndarray], block: np.ndarray, *, resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    every = np.ones(len(block), dtype=np.bool_)
    measures = {key: RowMeasure(value=value, counted=every) for key, value in values.items()}
    drawn = block_intervals(measures, np.zeros(len(block)), block, resamples=resamples, seed=seed)
    return {key: (drawn[key][0], drawn[key][1]) for key in values if key in drawn}

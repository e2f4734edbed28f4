"""Conformal radius: how far around an answer the true place lies, with a stated probability."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from jaxtyping import Float64, Int64, Shaped

from geoloc.errors import ConfigError, DataError
from geoloc.evaluation.mass_profile import HALF_TURN_KM, MassProfile

ScoreName = Literal["constant", "scaled", "mass"]
SCORES: tuple[ScoreName, ...] = get_args(ScoreName)
LEVELS: tuple[float, ...] = (0.5, 0.8, 0.9, 0.95)
LEAST_GROUP = 100
ALL = "all"

# What is added to a softmax's mean distance, so that a softmax all on one place still has a width.
_LEAST_SPREAD_KM = 25.0


def conformal_scores(
    name: ScoreName, profile: MassProfile, distance_km: Float64[np.ndarray, " query"]
) -> Float64[np.ndarray, " query"]:
    """How surprising each error is: the score whose quantile makes the radius.

    ``constant``: the error itself, so that every image has the same radius. ``scaled``: the error
    over 25 km plus the mean distance of the softmax from the answer (a normalised residual;
    Papadopoulos et al. 2008, Lei et al. 2018, section 5.2). ``mass``: the softmax mass that lies
    nearer to the answer than the true place (the generalised inverse quantile of Romano, Sesia
    and Candès 2020, for rings around the answer).

    Args:
        name: of the score.
        profile: of the same queries, around their answers.
        distance_km: from answer to true place.
    """
    match name:
        case "constant":
            return distance_km
        case "scaled":
            return distance_km / (_LEAST_SPREAD_KM + profile.mean_km())
        case "mass":
            return profile.mass_within(distance_km)


def radii_km(
    name: ScoreName, profile: MassProfile, threshold: float
) -> Float64[np.ndarray, " query"]:
    """The radius around each answer within which the score does not exceed a threshold, in km.

    At most half a turn of the Earth, which holds every place; that too where the threshold is
    infinite.
    """
    match name:
        case "constant":
            radius = np.full(len(profile), threshold)
        case "scaled":
            radius = threshold * (_LEAST_SPREAD_KM + profile.mean_km())
        case "mass":
            radius = profile.radius_holding(threshold)
    return np.minimum(radius, HALF_TURN_KM)


def conformal_threshold(
    score: Float64[np.ndarray, " row"],
    level: float,
    *,
    block: Int64[np.ndarray, " row"] | None = None,
) -> float:
    """The value that the score of a new image does not exceed with probability `level` or more.

    Without blocks that holds for a new image exchangeable with these: the ceil((n + 1) level)-th
    smallest score (Vovk, Gammerman and Shafer 2005; Lei et al. 2018, theorem 2.2). With blocks it
    holds for an image of a **new block** exchangeable with these blocks, however alike the images
    of one block are: the quantile of the blocks' distributions of scores, pooled with equal
    weights (Dunn, Wasserman and Ramdas 2023, section 3.1), one more block of infinite scores
    among them, which makes it hold for any number of blocks (Lee, Barber and Willett 2023,
    "Distribution-free inference with hierarchical data", theorem 1). With one image a block the
    two are the same.

    Returns:
        The threshold; infinite where there are too few images (blocks) to promise the level.

    Raises:
        DataError: there is no score.
        ValueError: level is not between 0 and 1.
    """
    if not len(score):
        raise DataError("a conformal radius needs at least one image with a known place")
    if not 0 < level < 1:
        raise ValueError(f"level must lie between 0 and 1, not {level}")
    order = np.argsort(score, kind="stable")
    if block is None:
        weight = np.full(len(score), 1.0 / (len(score) + 1))
    else:
        _, member, count = np.unique(block, return_inverse=True, return_counts=True)
        weight = 1.0 / (count[member] * (len(count) + 1.0))
    reached = np.cumsum(weight[order])
    # A sum that misses the level by rounding alone has reached it.
    at = int(np.searchsorted(reached, level - 1e-9))
    return float(score[order[at]]) if at < len(score) else math.inf


def familiar_score(
    best_score: Float64[np.ndarray, " row"], *, alarms: float = 0.05
) -> float | None:
    """The score that a new image exchangeable with these stays below with probability `alarms`.

    The floor((n + 1) alarms)-th smallest: a one-sided conformal test of "this image is such as
    those" (Vovk, Gammerman and Shafer 2005; as a test for outliers Bates et al. 2023, section 2).

    Args:
        best_score: the highest cosine of each of n images with a gallery's places.
        alarms: share of such images that may be taken for strangers.

    Returns:
        The score; None where there are too few images for so few alarms.
    """
    rank = int((len(best_score) + 1) * alarms)
    return float(np.sort(best_score)[rank - 1]) if rank >= 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConformalRadius:
    """Thresholds of one score for several levels, for all images and for groups of them.

    Groups are known when a question is asked (the continent of the **answer**), so that within
    each group the level holds too (Mondrian conformal prediction, Vovk et al. 2005, section 4.5).
    A group with fewer than `least_group` images takes the thresholds of all.

    Attributes:
        score: what is thresholded.
        levels: ascending.
        thresholds: for each group a threshold a level; the group ``all`` is always there.
        counts: number of images behind each group's thresholds.
        blocks: number of blocks, where a new image is thought to lie in a new block; else None.
    """

    score: ScoreName
    levels: tuple[float, ...]
    thresholds: Mapping[str, tuple[float, ...]]
    counts: Mapping[str, int]
    blocks: int | None = None

    @classmethod
    def fit(
        cls,
        score: ScoreName,
        profile: MassProfile,
        distance_km: Float64[np.ndarray, " query"],
        *,
        levels: Sequence[float] = LEVELS,
        group: Shaped[np.ndarray, " query"] | None = None,
        block: Int64[np.ndarray, " query"] | None = None,
        least_group: int = LEAST_GROUP,
    ) -> ConformalRadius:
        """Thresholds from images that the model was not trained on.

        Args:
            score: what is thresholded.
            profile: of the images, around their answers.
            distance_km: from answer to true place.
            levels: probabilities of the radii.
            group: of each image, known without its true place; None makes no groups.
            block: see `conformal_threshold`.
            least_group: images (and blocks, tenfold fewer) that a group needs.

        Raises:
            DataError: there is no image.
        """
        value = conformal_scores(score, profile, distance_km)
        members = {ALL: np.ones(len(value), dtype=np.bool_)}
        for name in sorted({str(each) for each in group} if group is not None else set[str]()):
            inside = np.asarray(group == name)
            enough = block is None or len(np.unique(block[inside])) >= least_group / 10
            if inside.sum() >= least_group and enough:
                members[name] = inside
        ordered = tuple(sorted(levels))
        return cls(
            score=score,
            levels=ordered,
            thresholds={
                name: tuple(
                    conformal_threshold(
                        value[inside], level, block=None if block is None else block[inside]
                    )
                    for level in ordered
                )
                for name, inside in members.items()
            },
            counts={name: int(inside.sum()) for name, inside in members.items()},
            blocks=None if block is None else len(np.unique(block)),
        )

    def radius_km(
        self,
        profile: MassProfile,
        level: float,
        *,
        group: Shaped[np.ndarray, " query"] | None = None,
    ) -> Float64[np.ndarray, " query"]:
        """The radius around each answer that holds the true place with probability `level`.

        Args:
            profile: of the images, around their answers, at the scale of the fit.
            level: one of `levels`.
            group: of each image; None takes the thresholds of all.

        Raises:
            ConfigError: there are no thresholds for that level.
        """
        if level not in self.levels:
            known = ", ".join(f"{each:g}" for each in self.levels)
            raise ConfigError(f"no radius of level {level:g}: calibrated are {known}")
        at = self.levels.index(level)
        radius = radii_km(self.score, profile, self.thresholds[ALL][at])
        for name in set(self.thresholds) - {ALL} if group is not None else set[str]():
            own = radii_km(self.score, profile, self.thresholds[name][at])
            radius = np.where(np.asarray(group == name), own, radius)
        return radius

    def to_json(self) -> dict[str, Any]:
        """A mapping that `json` can write; an infinite threshold is null."""
        return {
            "score": self.score,
            "levels": list(self.levels),
            "thresholds": {
                name: [each if math.isfinite(each) else None for each in values]
                for name, values in self.thresholds.items()
            },
            "counts": dict(self.counts),
            "blocks": self.blocks,
        }

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> ConformalRadius:
        """What `to_json` wrote.

        Raises:
            KeyError, TypeError, ValueError: it is something else.
        """
        if told["score"] not in SCORES:
            raise ValueError(f"unknown score {told['score']!r}")
        thresholds = {
            str(name): tuple(math.inf if each is None else float(each) for each in values)
            for name, values in told["thresholds"].items()
        }
        levels = tuple(float(level) for level in told["levels"])
        if ALL not in thresholds or any(len(each) != len(levels) for each in thresholds.values()):
            raise ValueError("the thresholds do not fit the levels")
        return cls(
            score=told["score"],
            levels=levels,
            thresholds=thresholds,
            counts={str(name): int(count) for name, count in told["counts"].items()},
            blocks=None if told["blocks"] is None else int(told["blocks"]),
        )

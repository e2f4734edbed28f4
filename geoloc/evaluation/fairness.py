"""Fairness of errors: who is served worst, how unequally, which countries are guessed too often.

Intervals come from draws of whole spatial blocks of the true places: basic ones, since what is
measured here is mostly too large where it is noisy (`Estimate.basic`, `Estimate.spread`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64

from geoloc.evaluation.country_ratios import CountryRatio, country_ratios, misplaced
from geoloc.evaluation.group_draws import Estimate, GroupDraws
from geoloc.evaluation.inequality import gini, worst_mean
from geoloc.evaluation.metrics import geoscore
from geoloc.evaluation.strata import MIN_COUNT, StratumLabels

WORST_SHARE = 0.1
_Statistic: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Of values and weights along the last axis."""
_Interval: TypeAlias = Callable[[float, np.ndarray], Estimate]

_GRADES = 1000
"""Images are drawn in so many grades of equal count, which moves no figure by 1e-4 of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fairness:
    """Who is served worst, how unequally, and which countries are guessed too often.

    GeoScore is out of 5000 (`metrics.geoscore`). A country or continent takes part with at least
    `MIN_COUNT` images; each country counts once, however many images it has.

    Attributes:
        countries: how many take part.
        gini_images: Gini index of GeoScore over images.
        gini_countries: over the mean GeoScores of countries; None below two countries.
        worst_images: mean GeoScore of the worst tenth of images.
        worst_images_km: every tenth image is farther off than this.
        worst_countries: mean GeoScore of the worst tenth of countries, one at least.
        worst_country_names: those countries, the worst first, with their mean GeoScores.
        best_continent, worst_continent: by mean GeoScore; None below two continents.
        continent_gap: their difference in GeoScore; the names held fixed in the draws.
        ratios: predicted to true for every country that occurs, by falling count of the truth.
        misplaced: least share of the images whose predicted country would have to change for
            countries to be predicted as often as they are true (total variation); the open sea is
            a country of its own here.
        predicted_at_sea: share of predictions farther than 25 km from any coast.
    """

    countries: int
    gini_images: Estimate
    gini_countries: Estimate | None
    worst_images: Estimate
    worst_images_km: Estimate
    worst_countries: Estimate | None
    worst_country_names: Mapping[str, float]
    best_continent: str | None
    worst_continent: str | None
    continent_gap: Estimate | None
    ratios: tuple[CountryRatio, ...]
    misplaced: Estimate
    predicted_at_sea: float

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON objects."""

        def told(estimate: Estimate | None) -> dict[str, Any] | None:
            return None if estimate is None else estimate.to_json()

        return {
            "min_count": MIN_COUNT,
            "worst_share": WORST_SHARE,
            "countries": self.countries,
            "gini_images": told(self.gini_images),
            "gini_countries": told(self.gini_countries),
            "worst_images": told(self.worst_images),
            "worst_images_km": told(self.worst_images_km),
            "worst_countries": told(self.worst_countries),
            "worst_country_names": dict(self.worst_country_names),
            "best_continent": self.best_continent,
            "worst_continent": self.worst_continent,
            "continent_gap": told(self.continent_gap),
            "ratios": [ratio.to_json() for ratio in self.ratios],
            "misplaced": told(self.misplaced),
            "predicted_at_sea": self.predicted_at_sea,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FairnessLabels:
    """Where the true and the predicted places lie.

    Attributes:
        country: of each true place, as strata have it.
        continent: of each true place.
        true_country: ISO code of each true place by the same source as the predicted ones; None at
            sea.
        predicted_country: ISO code of each predicted place.
    """

    country: StratumLabels
    continent: StratumLabels
    true_country: np.ndarray
    predicted_country: np.ndarray


def fairness(
    distance_km: Float64[np.ndarray, " row"], draws: GroupDraws, labels: FairnessLabels
) -> Fairness:
    """Measure all of it.

    Args:
        distance_km: errors.
        draws: of the blocks of the true places.
        labels: where the places lie.
    """
    score = geoscore(distance_km)
    land = _Groups.of(score, labels.country, draws)
    best, worst, gap = _gap(_Groups.of(score, labels.continent, draws))
    grades = _Grades.of(distance_km, draws)
    there, guessed = labels.true_country, labels.predicted_country
    return Fairness(
        countries=len(land.names),
        gini_images=Estimate.basic(float(gini(score)), gini(grades.score, grades.count)),
        gini_countries=land.estimate(gini, Estimate.spread, fewest=2),
        worst_images=Estimate.basic(
            float(worst_mean(score, WORST_SHARE)),
            worst_mean(grades.score, WORST_SHARE, grades.count),
        ),
        worst_images_km=Estimate.basic(
            float(np.quantile(distance_km, 1.0 - WORST_SHARE)), grades.worst_km()
        ),
        worst_countries=land.estimate(_worst_tenth, Estimate.basic, fewest=1),
        worst_country_names=land.worst(),
        best_continent=best,
        worst_continent=worst,
        continent_gap=gap,
        ratios=country_ratios(there, guessed, draws),
        misplaced=misplaced(there, guessed, draws),
        predicted_at_sea=float(np.mean([name is None for name in guessed])),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Groups:
    """Mean scores of the groups that have enough images, and in each draw."""

    names: tuple[str, ...]
    mean: Float64[np.ndarray, " group"]
    drawn: Float64[np.ndarray, "draw group"]
    there: Float64[np.ndarray, "draw group"]

    @classmethod
    def of(cls, score: np.ndarray, labels: StratumLabels, draws: GroupDraws) -> _Groups:
        count = np.bincount(labels.code[labels.code >= 0], minlength=len(labels.names))
        kept = np.flatnonzero(count >= MIN_COUNT)
        number = np.full(len(labels.names) + 1, -1, dtype=np.int64)  # the last stands for -1
        number[kept] = np.arange(len(kept))
        code = number[labels.code]
        everyone = np.ones(len(score))
        counted = code >= 0
        total = np.bincount(code[counted], score[counted], minlength=len(kept))
        drawn_count = draws.sums(everyone, code, len(kept))
        drawn = draws.sums(score, code, len(kept)) / np.maximum(drawn_count, 1.0)
        return cls(
            names=tuple(labels.names[each] for each in kept),
            mean=total / np.maximum(count[kept], 1),
            drawn=drawn,
            there=(drawn_count > 0).astype(np.float64),
        )

    def estimate(
        self, statistic: _Statistic, interval: _Interval, *, fewest: int
    ) -> Estimate | None:
        """A statistic of the means, each group counting once."""
        if len(self.names) < fewest:
            return None
        value = float(statistic(self.mean, np.ones_like(self.mean)))
        if not np.isfinite(value):
            return None
        return interval(value, statistic(self.drawn, self.there))

    def worst(self) -> dict[str, float]:
        """The worst tenth of the groups, one at least, the worst first."""
        order = np.argsort(self.mean, kind="stable")[: math.ceil(WORST_SHARE * len(self.mean))]
        return {self.names[each]: float(self.mean[each]) for each in order}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Grades:
    """Images sorted by error into grades of equal count: each draw is a sum over grades."""

    count: Float64[np.ndarray, "draw grade"]
    score: Float64[np.ndarray, "draw grade"]
    distance_km: Float64[np.ndarray, "draw grade"]

    @classmethod
    def of(cls, distance_km: np.ndarray, draws: GroupDraws) -> _Grades:
        n = len(distance_km)
        grades = min(n, _GRADES)
        grade = np.empty(n, dtype=np.int64)
        grade[np.argsort(distance_km, kind="stable")] = np.arange(n) * grades // n
        count = draws.sums(np.ones(n), grade, grades)
        filled = np.maximum(count, 1.0)
        return cls(
            count=count,
            score=draws.sums(geoscore(distance_km), grade, grades) / filled,
            distance_km=draws.sums(distance_km, grade, grades) / filled,
        )

    def worst_km(self) -> Float64[np.ndarray, " draw"]:
        """The distance that the worst tenth of each draw exceeds."""
        reached = np.cumsum(self.count, axis=1)
        wanted = (1.0 - WORST_SHARE) * reached[:, -1:]
        position = (reached < wanted).sum(axis=1)
        return np.take_along_axis(self.distance_km, position[:, None], axis=1)[:, 0]


def _worst_tenth(mean: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Mean of the worst tenth of the groups, of one group at least."""
    return worst_mean(mean, max(WORST_SHARE, 1.0 / mean.shape[-1]), there)


def _gap(groups: _Groups) -> tuple[str | None, str | None, Estimate | None]:
    if len(groups.names) < 2:
        return None, None, None
    best, worst = int(np.argmax(groups.mean)), int(np.argmin(groups.mean))
    both = (groups.there[:, best] > 0) & (groups.there[:, worst] > 0)
    drawn = (groups.drawn[:, best] - groups.drawn[:, worst])[both]
    gap = Estimate.basic(float(groups.mean[best] - groups.mean[worst]), drawn)
    return groups.names[best], groups.names[worst], gap

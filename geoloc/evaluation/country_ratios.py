"""How often a country is guessed against how often it is true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from geoloc.evaluation.group_draws import MIN_DRAWN_BLOCKS, Estimate, GroupDraws


@dataclass(frozen=True, slots=True, kw_only=True)
class CountryRatio:
    """How often a country is the answer against how often it is the truth.

    Attributes:
        country: ISO 3166-1 alpha-2.
        true_count: images whose true place lies in it.
        predicted_count: images whose predicted place lies in it.
        ratio: predicted over true; above 1 it is guessed too often; None where it is never true.
    """

    country: str
    true_count: int
    predicted_count: int
    ratio: Estimate | None

    def to_json(self) -> dict[str, Any]:
        """The ratio as JSON objects."""
        return {
            "country": self.country,
            "true_count": self.true_count,
            "predicted_count": self.predicted_count,
            "ratio": None if self.ratio is None else self.ratio.to_json(),
        }


def country_ratios(
    true_country: np.ndarray, predicted_country: np.ndarray, draws: GroupDraws
) -> tuple[CountryRatio, ...]:
    """The ratio of every country that is true or predicted, by falling count of the truth.

    Percentile intervals; none for a country in fewer than five blocks, which many draws leave out.

    Args:
        true_country: of each row, None at sea.
        predicted_country: likewise.
        draws: of the blocks of the true places.
    """
    true, predicted, names = _codes(true_country, predicted_country)
    land = len(names) - 1  # the last is the sea
    count = [np.bincount(code, minlength=land + 1) for code in (true, predicted)]
    everyone = np.ones(len(true))
    drawn = [draws.sums(everyone, code, land + 1) for code in (true, predicted)]
    spread = np.bincount(np.unique(np.stack([true, draws.member]), axis=1)[0], minlength=land + 1)
    found: list[CountryRatio] = []
    for each in sorted(range(land), key=lambda c: (-count[0][c], -count[1][c], names[c])):
        ratio = None
        if count[0][each]:
            there = drawn[0][:, each] > 0
            known = there if spread[each] >= MIN_DRAWN_BLOCKS else np.zeros_like(there)
            ratio = Estimate.percentile(
                float(count[1][each] / count[0][each]),
                drawn[1][known, each] / drawn[0][known, each],
            )
        found.append(
            CountryRatio(
                country=names[each],
                true_count=int(count[0][each]),
                predicted_count=int(count[1][each]),
                ratio=ratio,
            )
        )
    return tuple(found)


def misplaced(
    true_country: np.ndarray, predicted_country: np.ndarray, draws: GroupDraws
) -> Estimate:
    """Total variation between the true and the predicted shares of countries, sea included.

    Half the sum of absolute differences of shares: the least part of the images whose predicted
    country would have to change for every country to be predicted as often as it is true.
    """
    true, predicted, names = _codes(true_country, predicted_country)
    everyone = np.ones(len(true))

    def distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.asarray(0.5 * np.abs(a - b).sum(axis=-1) / a.sum(axis=-1))

    value = distance(*(np.bincount(code, minlength=len(names)) for code in (true, predicted)))
    drawn = distance(*(draws.sums(everyone, code, len(names)) for code in (true, predicted)))
    return Estimate.spread(float(value), drawn)


def _codes(
    true_country: np.ndarray, predicted_country: np.ndarray
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Both as numbers of one list of names, whose last is the sea."""
    code, names = pd.factorize(np.concatenate([true_country, predicted_country]), sort=True)
    code = np.where(code < 0, len(names), code).astype(np.int64)
    return code[: len(true_country)], code[len(true_country) :], [*map(str, names), ""]

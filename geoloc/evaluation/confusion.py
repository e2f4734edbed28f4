"""Which countries are taken for which: counts of true against predicted country."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.evaluation.administrative import AREAS_SOURCE
from geoloc.places import Areas

AT_SEA = "sea"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mistake:
    """One country taken for another.

    Attributes:
        true, predicted: the two, by code (`AT_SEA` where the prediction lies in no country).
        count: images.
        share: of the true country's images.
    """

    true: str
    predicted: str
    count: int
    share: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CountryConfusion:
    """True against predicted countries, by the polygon that holds each place.

    Attributes:
        code: ISO 3166-1 alpha-2 codes of all countries that are true or predicted, those with most
            images first; the last is `AT_SEA`, which only predictions can be.
        name: their English names.
        count: images by true country (rows) and predicted country (columns).
        unplaced: images whose true place lies in no country; they are not in `count`.
    """

    code: tuple[str, ...]
    name: tuple[str, ...]
    count: Int64[np.ndarray, "true predicted"]
    unplaced: int

    def mistakes(self, most: int) -> list[Mistake]:
        """The `most` commonest mistakes, most images first, then by code."""
        wrong = self.count.copy()
        np.fill_diagonal(wrong, 0)
        total = self.count.sum(axis=1)
        found = [
            Mistake(
                true=self.code[row],
                predicted=self.code[column],
                count=int(wrong[row, column]),
                share=float(wrong[row, column] / total[row]),
            )
            for row, column in zip(*np.nonzero(wrong), strict=True)
        ]
        return sorted(found, key=lambda each: (-each.count, each.true, each.predicted))[:most]

    def shares(self) -> Float64[np.ndarray, "true predicted"]:
        """Each row as shares of the true country's images; zero where it has none."""
        total = self.count.sum(axis=1, keepdims=True)
        return self.count / np.maximum(total, 1)

    def to_json(self) -> dict[str, Any]:
        """Objects of JSON; the matrix as its entries that are not zero."""
        entries = [
            {
                "true": self.code[row],
                "predicted": self.code[column],
                "count": int(self.count[row, column]),
            }
            for row, column in zip(*np.nonzero(self.count), strict=True)
        ]
        return {
            "source": AREAS_SOURCE,
            "country": [
                {"code": code, "name": name, "true": int(true), "predicted": int(predicted)}
                for code, name, true, predicted in zip(
                    self.code,
                    self.name,
                    self.count.sum(axis=1),
                    self.count.sum(axis=0),
                    strict=True,
                )
            ],
            "unplaced": self.unplaced,
            "entries": entries,
        }


def country_confusion(
    true_deg: Float64[np.ndarray, "row 2"], pred_deg: Float64[np.ndarray, "row 2"], areas: Areas
) -> CountryConfusion | None:
    """Count which country is answered for images of which country.

    None where no true place lies in a country.

    Args:
        true_deg: true places.
        pred_deg: predicted places.
        areas: polygons of countries.

    Raises:
        CoordinateError: a place is not finite or out of range.
    """
    truth, guess = areas.locate(true_deg), areas.locate(pred_deg)
    placed = np.array([code is not None for code in truth.country_code], dtype=bool)
    if not placed.any():
        return None
    names = {AT_SEA: "at sea"}
    for table in (truth, guess):
        names |= {c: n for c, n in zip(table.country_code, table.country, strict=True) if c}
    true = truth.country_code[placed].astype(str)
    predicted = np.array([code or AT_SEA for code in guess.country_code[placed]], dtype=str)
    known = {code: int((true == code).sum()) for code in {*true.tolist(), *predicted.tolist()}}
    code = [*sorted(known.keys() - {AT_SEA}, key=lambda each: (-known[each], each)), AT_SEA]
    place = {each: at for at, each in enumerate(code)}
    count = np.zeros((len(code), len(code)), dtype=np.int64)
    rows = np.array([place[each] for each in true])
    columns = np.array([place[each] for each in predicted])
    np.add.at(count, (rows, columns), 1)
    return CountryConfusion(
        code=tuple(code),
        name=tuple(names[each] for each in code),
        count=count,
        unplaced=int((~placed).sum()),
    )

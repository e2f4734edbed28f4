"""Which administrative labels a place gets, by gazetteer and by polygon."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int64

from geoloc.evaluation.predictions import PredictionTable
from geoloc.places import Areas, Gazetteer

AREAS_SOURCE = "Natural Earth 10 m, first-level areas; coast within 25 km counted to the land"

NOT_IN_GAZETTEER = -1
MISSING = -2


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LevelCodes:
    """The strings of one level over the whole gazetteer, as numbers: equal strings, equal numbers.

    Attributes:
        names: the strings, all different.
        of_city: for each city of the gazetteer, which of them it has.
    """

    names: Any
    of_city: Int64[np.ndarray, " city"]

    def of(self, label: np.ndarray) -> Int64[np.ndarray, " row"]:
        """The numbers of labels; `NOT_IN_GAZETTEER` where no city has one, `MISSING` for None."""
        code = self.names.get_indexer(label).astype(np.int64)
        unknown = np.flatnonzero(code == NOT_IN_GAZETTEER)
        code[unknown[~labelled(label[unknown])]] = MISSING
        return code


@functools.lru_cache(maxsize=4)
def level_codes(gazetteer: Gazetteer) -> Mapping[str, LevelCodes]:
    """The strings of each level of a gazetteer as numbers, made once."""
    codes: dict[str, LevelCodes] = {}
    for level, names in gazetteer.levels(np.arange(len(gazetteer))).items():
        of_city, different = pd.factorize(names)
        codes[level] = LevelCodes(
            names=pd.Index(different, dtype=object), of_city=of_city.astype(np.int64)
        )
    return codes


def labelled(label: np.ndarray) -> np.ndarray:
    """Which rows have a label."""
    return np.asarray(pd.notna(label), dtype=bool)


def area_accuracy(table: PredictionTable, areas: Areas) -> dict[str, Any]:
    """Accuracy of country and region by polygon, over the rows whose true place is in one.

    A region is told by its ISO 3166-2 code, or by its name where it has none, within its country.
    A prediction in no area (the open sea) is wrong.
    """
    truth = areas.locate(table.true_deg)
    guess = areas.locate(table.pred_deg)
    told: dict[str, Any] = {"source": AREAS_SOURCE}
    for level, true, pred in (
        ("country", np.asarray(truth.country_code), np.asarray(guess.country_code)),
        ("region", _region(truth), _region(guess)),
    ):
        known = labelled(true)
        count = int(known.sum())
        told[level] = {
            "count": count,
            "accuracy": float((true[known] == pred[known]).mean()) if count else None,
        }
    return told


def _region(located: Any) -> np.ndarray:
    """One string a region, country first; None outside every area."""
    rows = zip(located.country_code, located.region_code, located.region, strict=True)
    names: list[str | None] = []
    for land, code, name in rows:
        region = code or name
        names.append(f"{land}/{region}" if land and region else None)
    return np.array(names, dtype=object)

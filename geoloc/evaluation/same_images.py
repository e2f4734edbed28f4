"""Tables of predictions of the same images, brought into one order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd

from geoloc.errors import DataError
from geoloc.evaluation.predictions import PredictionTable
from geoloc.geodesy import great_circle_km

_SAME_PLACE_KM = 0.01


def same_images(tables: Mapping[str, PredictionTable]) -> dict[str, PredictionTable]:
    """The tables with their rows in one order, and the labels that any of them knows.

    Raises:
        DataError: they do not hold the same keys, or not the same true place or label for one; the
            message counts the rows and names a key.
    """
    first, reference = next(iter(tables.items()))
    order: dict[str, np.ndarray] = {}
    for name, table in tables.items():
        at = pd.Index(table.key, dtype=object).get_indexer(pd.Index(reference.key, dtype=object))
        missing = np.flatnonzero(at < 0)
        extra = np.flatnonzero(~np.isin(np.arange(len(table)), at))
        if len(missing) or len(extra):
            raise DataError(_unlike(first, name, reference.key[missing], table.key[extra]))
        apart_km = great_circle_km(reference.true_deg, table.true_deg[at])
        if len(moved := np.flatnonzero(apart_km > _SAME_PLACE_KM)):
            raise DataError(
                f"{first} and {name} disagree on {len(moved):,} of {len(table):,} true places, "
                f"first of key {reference.key[moved[0]]!r}, by {apart_km[moved[0]]:.3g} km"
            )
        order[name] = at
    label = _labels({name: (table, order[name]) for name, table in tables.items()})
    return {
        name: replace(reference, pred_deg=table.pred_deg[order[name]], label=label)
        for name, table in tables.items()
    }


def _labels(tables: Mapping[str, tuple[PredictionTable, np.ndarray]]) -> dict[str, np.ndarray]:
    """The labels of each level that any table knows, in one order."""
    told: dict[str, tuple[str, np.ndarray]] = {}
    for name, (table, order) in tables.items():
        for level, label in table.label.items():
            mine = label[order]
            owner, known = told.setdefault(level, (name, mine))
            if len(apart := np.flatnonzero(mine != known)):
                raise DataError(
                    f"{owner} and {name} disagree on the {level} of {len(apart):,} images, "
                    f"first of key {table.key[order[apart[0]]]!r}: "
                    f"{known[apart[0]]!r} and {mine[apart[0]]!r}"
                )
    return {level: label for level, (_, label) in told.items()}


def _unlike(first: str, second: str, missing: np.ndarray, extra: np.ndarray) -> str:
    told: list[str] = []
    if len(missing):
        told.append(f"{len(missing):,} keys of {first} are not in {second}, such as {missing[0]!r}")
    if len(extra):
        told.append(f"{len(extra):,} keys of {second} are not in {first}, such as {extra[0]!r}")
    return "; ".join(told) + ": only predictions of the same images can be compared in pairs"

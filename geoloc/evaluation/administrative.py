"""Which administrative labels a place gets, by gazetteer and by polygon."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from geoloc.evaluation.predictions import PredictionTable
from geoloc.evaluation.protocols import EvaluationProtocol
from geoloc.places import Areas, Gazetteer

AREAS_SOURCE = "Natural Earth 10 m, first-level areas; coast within 25 km counted to the land"


def gazetteer_labels(
    latlon_deg: np.ndarray, protocol: EvaluationProtocol
) -> Mapping[str, np.ndarray]:
    """The strings of each level for places, by the protocol's look-up; none without one."""
    if protocol.admin_metric is None:
        return {}
    gazetteer = Gazetteer.load()
    levels = gazetteer.levels(gazetteer.nearest(latlon_deg, metric=protocol.admin_metric))
    return {level: np.asarray(names, dtype=object) for level, names in levels.items()}


def labelled(label: np.ndarray) -> np.ndarray:
    """Which rows have a label."""
    return np.fromiter((name is not None for name in label), dtype=bool, count=len(label))


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

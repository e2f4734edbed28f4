"""From a table of predictions to its scores under a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from geoloc.evaluation.administrative import area_accuracy, gazetteer_labels, labelled
from geoloc.evaluation.metrics import (
    accuracy_within,
    geoscore,
    mean_of,
    median_of,
    nearest_place_index,
)
from geoloc.evaluation.predictions import PredictionTable, prediction_table
from geoloc.evaluation.protocols import EvaluationProtocol, protocol_named
from geoloc.evaluation.resampling import BLOCK_KM, RowMeasure, block_intervals, spatial_blocks
from geoloc.places import Areas

RESAMPLES = 500
# How tables spell a label that is not there; OSV-5M's own write the first.
_SPELT_MISSING = ("NaN", "nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a table of predictions scores under one protocol.

    Attributes:
        protocol: its name.
        count: rows scored; every one of them is in the distance metrics.
        metrics: the protocol's own keys; accuracies are fractions.
        summary: mean_km, median_km and geoscore in the protocol's distance.
        labelled: how many rows have a label, for each level.
        ceilings: ``perfect_prediction`` (what the true places would score) and, with a gallery,
            ``gallery`` (the best that any choice among its places could score).
        intervals: bootstrap intervals of the metrics, with how they were made.
        definition: the protocol in words.
        areas: accuracy by polygon, where asked for.
    """

    protocol: str
    count: int
    metrics: Mapping[str, float]
    summary: Mapping[str, float]
    labelled: Mapping[str, int]
    ceilings: Mapping[str, Mapping[str, float]]
    intervals: Mapping[str, Any]
    definition: Mapping[str, object]
    areas: Mapping[str, Any] | None = field(default=None)

    def to_json(self) -> dict[str, Any]:
        """The scores as one JSON object; every number in it is finite."""
        told: dict[str, Any] = {
            "protocol": self.protocol,
            "count": self.count,
            "metrics": dict(self.metrics),
            "summary": dict(self.summary),
            "labelled": dict(self.labelled),
            "ceilings": {name: dict(ceiling) for name, ceiling in self.ceilings.items()},
            "intervals": dict(self.intervals),
            "definition": dict(self.definition),
        }
        if self.areas is not None:
            told["areas"] = dict(self.areas)
        return told


def score_predictions(
    frame: pd.DataFrame,
    protocol: EvaluationProtocol | str,
    *,
    columns: Mapping[str, str] | None = None,
    gallery_latlon_deg: Float64[np.ndarray, "place 2"] | None = None,
    areas: Areas | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Scores:
    """Score predictions; the order of the rows does not matter.

    Args:
        frame: columns key, true_lat_deg, true_lon_deg, pred_lat_deg, pred_lon_deg, and unique_*
            for the administrative levels where they are there.
        protocol: one of `PROTOCOLS`, or its name.
        columns: our names to the frame's own, where they differ.
        gallery_latlon_deg: the places that could be answered, for the gallery's ceiling.
        areas: polygons, for accuracy of country and region by polygon.
        resamples: draws of the bootstrap; 0 for no intervals.
        seed: of the bootstrap.

    Raises:
        ConfigError: there is no protocol of that name.
        DataError: a column is missing, the table is empty, a key is missing or repeated.
        CoordinateError: a place is not finite or out of range; the row and its key are named.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    table = prediction_table(frame, columns=columns)
    if protocol.skip_missing:
        table = _without_spelt_missing(table)
    distance_km = protocol.distance_km(table.true_deg, table.pred_deg)
    levels = gazetteer_labels(table.pred_deg, protocol) if table.label else {}
    measures = distance_measures(distance_km, protocol) | level_measures(table, levels, protocol)
    return Scores(
        protocol=protocol.name,
        count=len(table),
        metrics=_means(measures),
        summary=_summary(distance_km),
        labelled={level: int(labelled(label).sum()) for level, label in table.label.items()},
        ceilings=_ceilings(table, protocol, gallery_latlon_deg),
        intervals=_intervals(table, measures, distance_km, resamples=resamples, seed=seed),
        definition=protocol.definition(),
        areas=None if areas is None else area_accuracy(table, areas),
    )


def distance_measures(
    distance_km: Float64[np.ndarray, " row"], protocol: EvaluationProtocol
) -> dict[str, RowMeasure]:
    """The protocol's measures that follow from the distances alone, by their official keys."""
    everyone = np.ones(len(distance_km), dtype=bool)
    values: dict[str, np.ndarray] = {}
    if protocol.mean_keys is not None:
        mean_key, game_key = protocol.mean_keys
        values = {mean_key: distance_km, game_key: geoscore(distance_km)}
    for radius in protocol.thresholds_km:
        within = accuracy_within(distance_km, radius, strict=protocol.strict)
        values[f"Accuracy_{radius:g}_km_radius"] = within.astype(np.float64)
    return {key: RowMeasure(value=value, counted=everyone) for key, value in values.items()}


def level_measures(
    table: PredictionTable, levels: Mapping[str, np.ndarray], protocol: EvaluationProtocol
) -> dict[str, RowMeasure]:
    """Whether each row's level is right; a missing label is never right."""
    measures: dict[str, RowMeasure] = {}
    for level, label in table.label.items():
        if level in levels:
            known = labelled(label)
            right = known & (label == levels[level]).astype(bool)
            counted = known if protocol.skip_missing else np.ones(len(table), dtype=bool)
            measures[f"Accuracy_{level}"] = RowMeasure(
                value=right.astype(np.float64), counted=counted
            )
    return measures


def _without_spelt_missing(table: PredictionTable) -> PredictionTable:
    """The table with None for every label that says in words that there is none."""
    label = {level: names.copy() for level, names in table.label.items()}
    for names in label.values():
        names[np.isin(names.astype(str), _SPELT_MISSING)] = None
    return replace(table, label=label)


def _means(measures: Mapping[str, RowMeasure]) -> dict[str, float]:
    """The metrics; a level without one labelled row has none."""
    means = {key: measure.mean() for key, measure in measures.items()}
    return {key: mean for key, mean in means.items() if mean is not None}


def _summary(distance_km: np.ndarray) -> dict[str, float]:
    return {
        "mean_km": mean_of(distance_km),
        "median_km": median_of(distance_km),
        "geoscore": mean_of(geoscore(distance_km)),
    }


def _ceilings(
    table: PredictionTable, protocol: EvaluationProtocol, gallery_deg: np.ndarray | None
) -> dict[str, dict[str, float]]:
    zero = np.zeros(len(table))
    truth = gazetteer_labels(table.true_deg, protocol) if table.label else {}
    perfect = distance_measures(zero, protocol) | level_measures(table, truth, protocol)
    ceilings = {"perfect_prediction": _means(perfect)}
    if gallery_deg is not None:
        nearest = gallery_deg[nearest_place_index(table.true_deg, gallery_deg)]
        distance_km = protocol.distance_km(table.true_deg, nearest)
        best = distance_measures(distance_km, protocol)
        best |= _reachable_levels(table, gallery_deg, protocol)
        ceilings["gallery"] = _means(best) | _summary(distance_km)
    return ceilings


def _reachable_levels(
    table: PredictionTable, gallery_deg: np.ndarray, protocol: EvaluationProtocol
) -> dict[str, RowMeasure]:
    """Whether any place of the gallery would have got the row's label right."""
    offered = gazetteer_labels(gallery_deg, protocol) if table.label else {}
    best: dict[str, np.ndarray] = {}
    for level, label in table.label.items():
        if level in offered:
            names = set(offered[level].tolist())
            best[level] = np.array(
                [name if name in names else None for name in label], dtype=object
            )
    return level_measures(table, best, protocol)


def _intervals(
    table: PredictionTable,
    measures: Mapping[str, RowMeasure],
    distance_km: np.ndarray,
    *,
    resamples: int,
    seed: int,
) -> dict[str, Any]:
    block = spatial_blocks(table.true_deg)
    return {
        "method": "plain percentile bootstrap over spatial blocks of the true places",
        "level": 0.95,
        "block_km": BLOCK_KM,
        "blocks": len(np.unique(block)),
        "resamples": resamples,
        "seed": seed,
        "values": block_intervals(measures, distance_km, block, resamples=resamples, seed=seed),
    }

"""From a table of predictions to its scores under a protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from geoloc.evaluation.administrative import area_accuracy
from geoloc.evaluation.block_variance import BlockVariance
from geoloc.evaluation.error_correlation import (
    block_warning,
    correlation_length_km,
    told_blocks,
)
from geoloc.evaluation.metrics import geoscore, mean_of, median_of, nearest_place_index
from geoloc.evaluation.predictions import PredictionTable, prediction_table
from geoloc.evaluation.protocols import EvaluationProtocol, protocol_named
from geoloc.evaluation.resampling import (
    BLOCK_KM,
    METHOD,
    RowMeasure,
    block_intervals,
    spatial_blocks,
)
from geoloc.evaluation.row_measures import MeasuredRows, distance_measures
from geoloc.places import Areas

RESAMPLES = 500


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

    def told_intervals(self) -> str:
        """In words where the intervals come from, and any warning; empty without intervals."""
        told = self.intervals
        if not told.get("values"):
            return ""
        return told_blocks(told)


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
    table = prediction_table(frame, columns=columns)
    (scores,) = score_table(
        table,
        [protocol],
        gallery_latlon_deg=gallery_latlon_deg,
        areas=areas,
        resamples=resamples,
        seed=seed,
    )
    return scores


def score_table(
    table: PredictionTable,
    protocols: Sequence[EvaluationProtocol | str],
    *,
    gallery_latlon_deg: Float64[np.ndarray, "place 2"] | None = None,
    areas: Areas | None = None,
    resamples: int = RESAMPLES,
    block_km: float = BLOCK_KM,
    seed: int = 0,
) -> list[Scores]:
    """Score predictions under several protocols, looking each place up once for all of them.

    Args:
        table: the predictions.
        protocols: some of `PROTOCOLS`, or their names.
        gallery_latlon_deg: the places that could be answered, for the gallery's ceiling.
        areas: polygons, for accuracy of country and region by polygon.
        resamples: draws of the bootstrap; 0 for no intervals.
        block_km: side of the bootstrap's blocks.
        seed: of the bootstrap.

    Raises:
        ConfigError: there is no protocol of a name.
    """
    chosen = [protocol_named(each) if isinstance(each, str) else each for each in protocols]
    rows = MeasuredRows(table)
    bootstrap = None
    if resamples > 0:
        bootstrap = _Bootstrap(
            block=spatial_blocks(table.true_deg, block_km=block_km),
            variance=BlockVariance(table.true_deg, block_km=block_km),
            block_km=block_km,
            resamples=resamples,
            seed=seed,
        )
        first_km = rows.distance_km(chosen[0])
        reach = correlation_length_km(table.true_deg, first_km, block_km=block_km, seed=seed)
        bootstrap = replace(bootstrap, correlation_km=reach)
    by_area = None if areas is None else area_accuracy(table, areas)
    scores = [_scores(rows, each, gallery_latlon_deg, bootstrap) for each in chosen]
    return [replace(each, areas=by_area) for each in scores]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Bootstrap:
    """How intervals are made, the same for every protocol."""

    block: Int64[np.ndarray, " row"]
    variance: BlockVariance
    block_km: float
    resamples: int
    seed: int
    correlation_km: float | None = None

    def told(
        self, measures: Mapping[str, RowMeasure], distance_km: Float64[np.ndarray, " row"]
    ) -> dict[str, Any]:
        """The intervals and how they were made, as JSON can hold it."""
        values = block_intervals(
            measures,
            distance_km,
            self.block,
            variance=self.variance,
            resamples=self.resamples,
            seed=self.seed,
        )
        return {
            "method": METHOD,
            "level": 0.95,
            "block_km": self.block_km,
            "blocks": len(np.unique(self.block)),
            "resamples": self.resamples,
            "seed": self.seed,
            "correlation_length_km": self.correlation_km,
            "warning": block_warning(self.correlation_km, self.block_km),
            "values": values,
        }


def _scores(
    rows: MeasuredRows,
    protocol: EvaluationProtocol,
    gallery_deg: np.ndarray | None,
    bootstrap: _Bootstrap | None,
) -> Scores:
    distance_km, measures = rows.distance_km(protocol), rows.measures(protocol)
    ceilings = {"perfect_prediction": _means(rows.perfect(protocol))}
    if gallery_deg is not None:
        ceilings["gallery"] = _gallery_ceiling(rows, protocol, gallery_deg)
    return Scores(
        protocol=protocol.name,
        count=len(rows.table),
        metrics=_means(measures),
        summary=_summary(distance_km),
        labelled=rows.labelled(protocol),
        ceilings=ceilings,
        intervals={} if bootstrap is None else bootstrap.told(measures, distance_km),
        definition=protocol.definition(),
    )


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


def _gallery_ceiling(
    rows: MeasuredRows, protocol: EvaluationProtocol, gallery_deg: np.ndarray
) -> dict[str, float]:
    true_deg = rows.table.true_deg
    nearest = gallery_deg[nearest_place_index(true_deg, gallery_deg)]
    distance_km = protocol.distance_km(true_deg, nearest)
    best = distance_measures(distance_km, protocol) | rows.reachable_levels(gallery_deg, protocol)
    return _means(best) | _summary(distance_km)

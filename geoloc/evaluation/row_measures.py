"""What protocols measure on each row of a table, each look-up made once however many ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.evaluation.administrative import MISSING, LevelCodes, level_codes
from geoloc.evaluation.metrics import accuracy_within, geoscore
from geoloc.evaluation.predictions import PredictionTable
from geoloc.evaluation.protocols import EvaluationProtocol
from geoloc.evaluation.resampling import RowMeasure
from geoloc.places import Gazetteer

# How tables spell a label that is not there; OSV-5M's own write the first.
_SPELT_MISSING = ("NaN", "nan")


class MeasuredRows:
    """A table of predictions, and what protocols have looked up in it so far.

    Attributes:
        table: the predictions.
    """

    def __init__(self, table: PredictionTable) -> None:
        self.table = table
        self._distance: dict[Callable[..., np.ndarray], np.ndarray] = {}
        self._city: dict[tuple[str, str], np.ndarray] = {}
        self._label: dict[tuple[str, bool], np.ndarray] = {}

    def distance_km(self, protocol: EvaluationProtocol) -> Float64[np.ndarray, " row"]:
        """The error of each row by the protocol's distance."""
        metric = protocol.distance_km
        if metric not in self._distance:
            self._distance[metric] = metric(self.table.true_deg, self.table.pred_deg)
        return self._distance[metric]

    def measures(self, protocol: EvaluationProtocol) -> dict[str, RowMeasure]:
        """The protocol's measures of the predictions, by their official keys."""
        told = distance_measures(self.distance_km(protocol), protocol)
        return told | self._levels(protocol, "pred")

    def perfect(self, protocol: EvaluationProtocol) -> dict[str, RowMeasure]:
        """The protocol's measures, had the true place been the answer to every row."""
        told = distance_measures(np.zeros(len(self.table)), protocol)
        return told | self._levels(protocol, "true")

    def reachable_levels(
        self, gallery_deg: Float64[np.ndarray, "place 2"], protocol: EvaluationProtocol
    ) -> dict[str, RowMeasure]:
        """Whether any place of a gallery would have got the row's label right."""
        if protocol.admin_metric is None or not self.table.label:
            return {}
        offered = Gazetteer.load().nearest(gallery_deg, metric=protocol.admin_metric)
        best: dict[str, np.ndarray] = {}
        for level, codes in self._codes().items():
            is_offered = np.zeros(len(codes.names), dtype=bool)
            is_offered[codes.of_city[offered]] = True
            label = self._labels(level, codes, protocol)
            best[level] = (label >= 0) & is_offered[label]
        return self._level_measures(best, protocol)

    def labelled(self, protocol: EvaluationProtocol) -> dict[str, int]:
        """How many rows have a label, for each level that the table knows."""
        return {
            level: int((self._labels(level, codes, protocol) != MISSING).sum())
            for level, codes in self._codes().items()
        }

    def _levels(
        self, protocol: EvaluationProtocol, which: Literal["true", "pred"]
    ) -> dict[str, RowMeasure]:
        if protocol.admin_metric is None or not self.table.label:
            return {}
        city = self._cities(which, protocol.admin_metric)
        right = {
            level: self._labels(level, codes, protocol) == codes.of_city[city]
            for level, codes in self._codes().items()
        }
        return self._level_measures(right, protocol)

    def _level_measures(
        self, right: Mapping[str, np.ndarray], protocol: EvaluationProtocol
    ) -> dict[str, RowMeasure]:
        """Whether each row's level is right; a missing label is never right."""
        measures: dict[str, RowMeasure] = {}
        for level, codes in self._codes().items():
            counted = np.ones(len(self.table), dtype=bool)
            if protocol.skip_missing:
                counted = self._labels(level, codes, protocol) != MISSING
            value = right[level].astype(np.float64)
            measures[f"Accuracy_{level}"] = RowMeasure(value=value, counted=counted)
        return measures

    def _codes(self) -> dict[str, LevelCodes]:
        codes = level_codes(Gazetteer.load()) if self.table.label else {}
        return {level: codes[level] for level in self.table.label}

    def _cities(
        self, which: Literal["true", "pred"], metric: Literal["raw_degrees", "sphere"]
    ) -> Int64[np.ndarray, " row"]:
        if (which, metric) not in self._city:
            places = self.table.true_deg if which == "true" else self.table.pred_deg
            self._city[which, metric] = Gazetteer.load().nearest(places, metric=metric)
        return self._city[which, metric]

    def _labels(
        self, level: str, codes: LevelCodes, protocol: EvaluationProtocol
    ) -> Int64[np.ndarray, " row"]:
        """Each row's label as a number; where missing ones are skipped, also those spelt so."""
        if (level, False) not in self._label:
            label = codes.of(self.table.label[level])
            unknown = np.flatnonzero(label < 0)
            spelt = np.isin(self.table.label[level][unknown].astype(str), _SPELT_MISSING)
            self._label[level, False], self._label[level, True] = label, label.copy()
            self._label[level, True][unknown[spelt]] = MISSING
        return self._label[level, protocol.skip_missing]


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

"""One look at all errors of a table: strata, fairness, and how far errors go together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float64

from geoloc.evaluation.error_field import FEWEST_IMAGES, ErrorField, error_fields
from geoloc.evaluation.error_text import analysis_markdown
from geoloc.evaluation.fairness import Fairness, FairnessLabels, fairness
from geoloc.evaluation.group_draws import GroupDraws
from geoloc.evaluation.predictions import prediction_table
from geoloc.evaluation.protocols import EvaluationProtocol, protocol_named
from geoloc.evaluation.resampling import BLOCK_KM, spatial_blocks
from geoloc.evaluation.strata import (
    MIN_BLOCKS,
    MIN_COUNT,
    RowScores,
    StrataTable,
    Stratum,
    StratumLabels,
    strata_table,
)
from geoloc.evaluation.strata_labels import StrataSources, chosen_strata, stratum_labels
from geoloc.places import Areas

SCHEMA_VERSION = 1
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorAnalysis:
    """Strata, fairness and the error field of a table of predictions.

    Attributes:
        protocol: name of the protocol whose distance and radii are used.
        count: images.
        definition: the protocol in words and numbers.
        overall: what all images score.
        strata: one table a question.
        fairness: who is served worst.
        fields: the error field in ``log_km`` and in ``geoscore``; none for fewer than 100 images,
            or where all errors are equal.
        training: ``places`` and ``drawn_from`` (None where these are all) of the training places;
            None where none were given.
        resampling: how intervals were drawn.
    """

    protocol: str
    count: int
    definition: Mapping[str, Any]
    overall: Stratum
    strata: tuple[StrataTable, ...]
    fairness: Fairness
    fields: tuple[ErrorField, ...]
    training: Mapping[str, int | None] | None
    resampling: Mapping[str, Any]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON objects; every number is finite, what is not known is None."""
        return {
            "schema_version": SCHEMA_VERSION,
            "protocol": self.protocol,
            "count": self.count,
            "definition": dict(self.definition),
            "overall": self.overall.to_json(),
            "strata": [table.to_json() for table in self.strata],
            "fairness": self.fairness.to_json(),
            "error_fields": [field.to_json() for field in self.fields],
            "training": None if self.training is None else dict(self.training),
            "resampling": dict(self.resampling),
        }

    def to_markdown(self, *, most_rows: int = 20) -> str:
        """Tables that read well in a terminal and as Markdown.

        Args:
            most_rows: rows that a table shows, the largest strata; what is left out is said.
        """
        return analysis_markdown(self.to_json(), most_rows=most_rows)


def analyse_errors(
    frame: pd.DataFrame,
    protocol: EvaluationProtocol | str,
    *,
    training_latlon_deg: Float64[np.ndarray, "place 2"] | None = None,
    training_drawn_from: int | None = None,
    by: Sequence[str] | None = None,
    block_km: float = BLOCK_KM,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> ErrorAnalysis:
    """Look at all errors of a table of predictions; the order of its rows does not matter.

    Args:
        frame: as `score_predictions` takes it, with any columns of metadata beside.
        protocol: whose distance and radii to use, or its name.
        training_latlon_deg: places of the training set.
        training_drawn_from: how many there were before they were thinned to those.
        by: questions (see `stratum_labels`); by default country, continent, region, the two of
            training places where those are given, and the columns of OSV-5M that are there.
        block_km: side of the blocks of the bootstrap.
        resamples: draws of the bootstrap; 0 for no intervals.
        seed: of the draws and of the sampled pairs.

    Raises:
        ConfigError: there is no such protocol or question.
        DataError: a column is missing, the table is empty, a key is missing or repeated.
        CoordinateError: a place is not finite or out of range; the row and its key are named.
    """
    protocol = protocol_named(protocol) if isinstance(protocol, str) else protocol
    table = prediction_table(frame)
    known = StrataSources(
        frame=frame,
        true_deg=table.true_deg,
        located=Areas.load().locate(table.true_deg),
        training_deg=training_latlon_deg,
    )
    asked = chosen_strata(by, frame, training=training_latlon_deg is not None)
    labels = {each: stratum_labels(each, known) for each in asked}
    distance_km = protocol.distance_km(table.true_deg, table.pred_deg)
    block = spatial_blocks(table.true_deg, block_km=block_km)
    scores = RowScores.under(
        protocol, distance_km, table.true_deg, block_km=block_km, resamples=resamples, seed=seed
    )
    draws = GroupDraws.of(block, resamples=resamples, seed=seed)
    served = _served(known, labels, table.pred_deg)
    return ErrorAnalysis(
        protocol=protocol.name,
        count=len(table),
        definition=protocol.definition(),
        overall=scores.stratum("all images", np.arange(len(table))),
        strata=tuple(strata_table(scores, each) for each in labels.values()),
        fairness=fairness(distance_km, draws, served),
        fields=_fields(table.true_deg, distance_km, block_km=block_km, seed=seed),
        training=_training(training_latlon_deg, training_drawn_from),
        resampling=_resampling(draws, block_km=block_km, resamples=resamples, seed=seed),
    )


def _served(
    known: StrataSources, labels: Mapping[str, StratumLabels], pred_deg: np.ndarray
) -> FairnessLabels:
    return FairnessLabels(
        country=labels.get("country") or stratum_labels("country", known),
        continent=labels.get("continent") or stratum_labels("continent", known),
        true_country=known.located.country_code,
        predicted_country=Areas.load().locate(pred_deg).country_code,
    )


def _resampling(
    draws: GroupDraws, *, block_km: float, resamples: int, seed: int
) -> dict[str, object]:
    return {
        "method": "bootstrap over spatial blocks of the true places",
        "level": 0.95,
        "block_km": block_km,
        "blocks": draws.blocks,
        "resamples": resamples,
        "seed": seed,
        "small_below_images": MIN_COUNT,
        "small_below_blocks": MIN_BLOCKS,
    }


def _fields(
    true_deg: np.ndarray, distance_km: np.ndarray, *, block_km: float, seed: int
) -> tuple[ErrorField, ...]:
    if len(distance_km) < FEWEST_IMAGES or distance_km.min() == distance_km.max():
        return ()
    return error_fields(true_deg, distance_km, block_km=block_km, seed=seed)


def _training(places: np.ndarray | None, drawn_from: int | None) -> dict[str, int | None] | None:
    return None if places is None else {"places": len(places), "drawn_from": drawn_from}

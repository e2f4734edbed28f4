"""Evaluation: predictions, what they score under named protocols, and how to read it."""

from geoloc.evaluation.baselines import baseline_places, baseline_scores, best_constant_place
from geoloc.evaluation.evaluate import evaluate_split, place_recall
from geoloc.evaluation.metrics import (
    accuracy_within,
    geoscore,
    mean_of,
    median_of,
    nearest_place_index,
    recall_at_k,
)
from geoloc.evaluation.predictions import (
    LEVELS,
    PredictionTable,
    prediction_table,
    read_predictions,
    write_predictions,
)
from geoloc.evaluation.protocols import PROTOCOLS, EvaluationProtocol, protocol_named
from geoloc.evaluation.report import EvaluationReport, ReportRow, scores_text
from geoloc.evaluation.resampling import block_intervals, spatial_blocks
from geoloc.evaluation.scoring import Scores, score_predictions
from geoloc.evaluation.terminal import terminal_table

__all__ = [
    "LEVELS",
    "PROTOCOLS",
    "EvaluationProtocol",
    "EvaluationReport",
    "PredictionTable",
    "ReportRow",
    "Scores",
    "accuracy_within",
    "baseline_places",
    "baseline_scores",
    "best_constant_place",
    "block_intervals",
    "evaluate_split",
    "geoscore",
    "mean_of",
    "median_of",
    "nearest_place_index",
    "place_recall",
    "prediction_table",
    "protocol_named",
    "read_predictions",
    "recall_at_k",
    "score_predictions",
    "scores_text",
    "spatial_blocks",
    "terminal_table",
    "write_predictions",
]

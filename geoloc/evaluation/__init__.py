"""Evaluation: predictions, what they score under named protocols, and how to read it."""

from geoloc.evaluation.baselines import (
    LEAST_MEAN,
    LEAST_MEDIAN,
    RANDOM_PLACE,
    baseline_places,
    baseline_scores,
    best_constant_place,
    score_guesses,
)
from geoloc.evaluation.comparison import Comparison, RowErrors, compare, metric_values
from geoloc.evaluation.error_analysis import ErrorAnalysis, analyse_errors
from geoloc.evaluation.error_field import ErrorField, error_fields
from geoloc.evaluation.evaluate import evaluate_split, place_recall
from geoloc.evaluation.fairness import Fairness, fairness
from geoloc.evaluation.metrics import (
    accuracy_within,
    geoscore,
    mean_of,
    median_of,
    nearest_place_index,
    recall_at_k,
)
from geoloc.evaluation.predictions import (
    LABEL_COLUMNS,
    LEVELS,
    PredictionTable,
    prediction_table,
    read_predictions,
    write_predictions,
)
from geoloc.evaluation.protocols import PROTOCOLS, EvaluationProtocol, protocol_named
from geoloc.evaluation.report import EvaluationReport, ReportRow, reports_json, scores_text
from geoloc.evaluation.resampling import block_intervals, spatial_blocks
from geoloc.evaluation.scoring import Scores, score_predictions
from geoloc.evaluation.strata import StrataTable, Stratum
from geoloc.evaluation.strata_labels import METADATA_COLUMNS
from geoloc.evaluation.terminal import terminal_table

__all__ = [
    "LABEL_COLUMNS",
    "LEAST_MEAN",
    "LEAST_MEDIAN",
    "LEVELS",
    "METADATA_COLUMNS",
    "PROTOCOLS",
    "RANDOM_PLACE",
    "Comparison",
    "ErrorAnalysis",
    "ErrorField",
    "EvaluationProtocol",
    "EvaluationReport",
    "Fairness",
    "PredictionTable",
    "ReportRow",
    "RowErrors",
    "Scores",
    "StrataTable",
    "Stratum",
    "accuracy_within",
    "analyse_errors",
    "baseline_places",
    "baseline_scores",
    "best_constant_place",
    "block_intervals",
    "compare",
    "error_fields",
    "evaluate_split",
    "fairness",
    "geoscore",
    "mean_of",
    "median_of",
    "metric_values",
    "nearest_place_index",
    "place_recall",
    "prediction_table",
    "protocol_named",
    "read_predictions",
    "recall_at_k",
    "reports_json",
    "score_guesses",
    "score_predictions",
    "scores_text",
    "spatial_blocks",
    "terminal_table",
    "write_predictions",
]

"""Evaluation: predictions, what they score under named protocols, and how to read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoloc.on_demand import import_on_demand

if TYPE_CHECKING:
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
    from geoloc.evaluation.pairing import PairedComparison, PairedDifference, compare_tables
    from geoloc.evaluation.predictions import (
        LABEL_COLUMNS,
        LEVELS,
        PredictionTable,
        prediction_table,
        read_predictions,
        write_predictions,
    )
    from geoloc.evaluation.protocols import PROTOCOLS, EvaluationProtocol, protocol_named
    from geoloc.evaluation.report import EvaluationReport, ReportRow, reports_json
    from geoloc.evaluation.resampling import block_intervals, spatial_blocks
    from geoloc.evaluation.same_images import same_images
    from geoloc.evaluation.score_report import ScoredFile, ScoreReport, scores_text
    from geoloc.evaluation.scoring import Scores, score_predictions, score_table
    from geoloc.evaluation.strata import StrataTable, Stratum
    from geoloc.evaluation.strata_labels import METADATA_COLUMNS
    from geoloc.evaluation.terminal import terminal_table
    from geoloc.evaluation.truth import ANSWER_COLUMNS, Unmatched, read_truth, with_truth
else:
    import_on_demand(__name__)

__all__ = [
    "ANSWER_COLUMNS",
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
    "PairedComparison",
    "PairedDifference",
    "PredictionTable",
    "ReportRow",
    "RowErrors",
    "ScoreReport",
    "ScoredFile",
    "Scores",
    "StrataTable",
    "Stratum",
    "Unmatched",
    "accuracy_within",
    "analyse_errors",
    "baseline_places",
    "baseline_scores",
    "best_constant_place",
    "block_intervals",
    "compare",
    "compare_tables",
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
    "read_truth",
    "recall_at_k",
    "reports_json",
    "same_images",
    "score_guesses",
    "score_predictions",
    "score_table",
    "scores_text",
    "spatial_blocks",
    "terminal_table",
    "with_truth",
    "write_predictions",
]

"""Training: read `step.py` first; the trainer goes around it."""

from __future__ import annotations

from geoloc.training.cell_task import CellTask, cell_targets
from geoloc.training.checkpoint import (
    Checkpoint,
    find_fault,
    find_latest,
    has_checkpoints,
    load_checkpoint,
    save_checkpoint,
)
from geoloc.training.json_lines import JsonLinesSink, SampleTrace
from geoloc.training.optimization import OptimizerSettings, learning_rate_factor
from geoloc.training.pair_tiles import PairTiling
from geoloc.training.seeding import seed_everything, step_generator
from geoloc.training.settings import (
    Best,
    KeepsTensors,
    TrainerSettings,
    TrainingData,
    TrainingResult,
    Validation,
)
from geoloc.training.step import (
    Compared,
    Objective,
    StepOutcome,
    contrastive_step,
    frozen_features,
    trained_embeddings,
)
from geoloc.training.telemetry import (
    ProgressSink,
    SampleSink,
    ScalarSink,
    TensorBoardSink,
    WandbSink,
)
from geoloc.training.trainer import Trainer

__all__ = [
    "Best",
    "CellTask",
    "Checkpoint",
    "Compared",
    "JsonLinesSink",
    "KeepsTensors",
    "Objective",
    "OptimizerSettings",
    "PairTiling",
    "ProgressSink",
    "SampleSink",
    "SampleTrace",
    "ScalarSink",
    "StepOutcome",
    "TensorBoardSink",
    "Trainer",
    "TrainerSettings",
    "TrainingData",
    "TrainingResult",
    "Validation",
    "WandbSink",
    "cell_targets",
    "contrastive_step",
    "find_fault",
    "find_latest",
    "frozen_features",
    "has_checkpoints",
    "learning_rate_factor",
    "load_checkpoint",
    "save_checkpoint",
    "seed_everything",
    "step_generator",
    "trained_embeddings",
]

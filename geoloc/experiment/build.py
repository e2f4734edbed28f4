"""From a configuration to the objects of the rooms below."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields

import torch

from geoloc.errors import ConfigError
from geoloc.experiment.loading import config_hash, resume_hash
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import (
    ExperimentConfig,
    NegativesSection,
    TrainingSection,
)
from geoloc.losses import (
    PairLoss,
    contrastive_loss,
    graded_contrastive_loss,
    sigmoid_loss,
)
from geoloc.models import (
    DualEncoder,
    ImageEncoderSpec,
    LocationEncoderSpec,
    ModelSpec,
    build_model,
    load_matching,
)
from geoloc.models.geoclip import load_location_encoder
from geoloc.negatives import (
    BatchAndQueue,
    EpochExpectation,
    FeatureBank,
    PlaceQueue,
    RuleSettings,
    build_rule,
)
from geoloc.ranks import Ranks
from geoloc.regions import Geocells
from geoloc.training import (
    CellTask,
    JsonLinesSink,
    Objective,
    OptimizerSettings,
    PairTiling,
    SampleTrace,
    ScalarSink,
    TensorBoardSink,
    TrainerSettings,
    WandbSink,
    frozen_features,
    trained_embeddings,
)

Say = Callable[[str], None]


def model_spec(config: ExperimentConfig) -> ModelSpec:
    """The architecture that the configuration describes.

    Raises:
        DataError: its geocells cannot be read.
    """
    model = config.model
    image, location = model.image_encoder, model.location_encoder
    return ModelSpec(
        image_encoder=ImageEncoderSpec(
            kind=image.kind,
            name=image.name,
            weights=image.weights,
            image_size=image.image_size,
            width=image.width,
        ),
        location_encoder=LocationEncoderSpec(
            sigmas=location.sigmas, hidden=location.hidden, features=location.features
        ),
        embedding_dim=model.embedding_dim,
        head_hidden=model.head_hidden,
        init_temperature=model.init_temperature,
        init_logit_bias=model.init_logit_bias,
        frozen_backbone=model.frozen_backbone,
        cells=None if config.cells.file is None else len(Geocells.load(config.cells.file)),
        seed=config.seed,
    )


def build_dual_encoder(config: ExperimentConfig, *, say: Say) -> DualEncoder:
    """The model at the start of training, with the location encoder's weights if some are named.

    Raises:
        CheckpointError: weights cannot be had or do not fit.
    """
    model = build_model(model_spec(config))
    section = config.model.location_encoder
    if section.weights is not None:
        # Branches are matched by their sigma: a list of sigmas may have grown in the middle.
        trained = load_location_encoder(section.weights, sigmas=section.sigmas, seed=config.seed)
        load_matching(model.location_encoder, trained.state_dict())
        say(f"location encoder: weights from {section.weights}")
    return model


def choose_device(config: ExperimentConfig) -> str:
    """The device that the configuration asks for.

    Raises:
        ConfigError: it asks for a GPU and there is none.
    """
    match config.training.device:
        case "auto":
            return "cuda" if torch.cuda.is_available() else "cpu"
        case "cuda":
            if not torch.cuda.is_available():
                raise ConfigError("training.device=cuda, but torch sees no GPU here")
            return "cuda"
        case "cpu":
            return "cpu"


def rule_settings(section: NegativesSection) -> RuleSettings:
    """What rules take as near, far, alike and hard."""
    return RuleSettings(**{each.name: getattr(section, each.name) for each in fields(RuleSettings)})


def pair_tiling(section: TrainingSection, ranks: Ranks) -> PairTiling:
    """The loss that the configuration names, and how its pair matrix is taken."""
    losses: dict[str, PairLoss] = {
        "contrastive": contrastive_loss,
        "graded": graded_contrastive_loss,
        "sigmoid": sigmoid_loss,
    }
    return PairTiling(
        loss=losses[section.loss],
        both_ways=section.direction == "symmetric",
        pairs=section.pairs_at_once,
        ranks=ranks,
    )


def compared_dim(section: NegativesSection, model: DualEncoder) -> int | None:
    """Length of the features that pairs are judged by; None where no pair is."""
    if not section.needs_fit:
        return None
    frozen = section.features == "frozen"
    return model.image_encoder.feature_dim if frozen else model.embedding_dim


def build_objective(
    config: ExperimentConfig,
    device: str,
    *,
    feature_dim: int | None = None,
    expectation: EpochExpectation | None = None,
    bank: FeatureBank | None = None,
    ranks: Ranks | None = None,
) -> Objective:
    """Candidates, rule and loss of a step.

    Args:
        config: the experiment.
        device: where the queue lives.
        feature_dim: length of the features that a queue keeps beside places (`compared_dim`); None
            keeps places alone, which is all that a rule without a fit needs.
        expectation: where the sampler publishes its fits; None where nothing is fitted.
        bank: keeps the features of each batch for the next fit; None where samples can be read
            again.
        ranks: the processes of the run; None for one alone.
    """
    section, together = config.negatives, ranks or Ranks()
    queue = None
    if section.queue:
        queue = PlaceQueue(section.queue, feature_dim=feature_dim, device=device)
    return Objective(
        source=BatchAndQueue(queue, together),
        rule=build_rule(section.rule, rule_settings(section)),
        expectation=expectation,
        bank=bank,
        compared=frozen_features if section.features == "frozen" else trained_embeddings,
        tiling=pair_tiling(config.training, together),
        batch_noise_m=section.batch_noise_m,
        queue_noise_m=section.queue_noise_m,
        cells=_cell_task(config, together),
    )


def _cell_task(config: ExperimentConfig, ranks: Ranks) -> CellTask | None:
    section = config.cells
    if section.file is None:
        return None
    return CellTask(
        cells=Geocells.load(section.file),
        weight=section.weight,
        smoothing_km=section.smoothing_km,
        ranks=ranks,
    )


def trainer_settings(config: ExperimentConfig, device: str) -> TrainerSettings:
    """How a run goes."""
    training = config.training
    precision = training.precision
    if precision == "auto":
        precision = "bf16" if device == "cuda" else "fp32"
    return TrainerSettings(
        epochs=training.epochs,
        seed=config.seed,
        optimizer=OptimizerSettings(**config.optimizer.model_dump()),
        accumulate=training.accumulate,
        precision=precision,
        device=device,
        checkpoint_every_steps=training.checkpoint_every_steps,
        keep_last=training.keep_checkpoints,
        log_every_steps=training.log_every_steps,
        max_nonfinite_steps=training.max_bad_steps,
        config_hash=resume_hash(config),
        stall_warning_s=training.stall_warning_s,
    )


def build_sinks(
    config: ExperimentConfig, run: RunDirectory, ranks: Ranks | None = None
) -> list[ScalarSink]:
    """Where logged values go: a JSON-lines file, TensorBoard, and on request a trace and W&B.

    Each process traces its own samples; the rest is the main one's.
    """
    rank = 0 if ranks is None else ranks.rank
    sinks: list[ScalarSink] = []
    if config.training.trace_samples:
        own = f"samples-rank{rank}.jsonl" if rank else "samples.jsonl"
        sinks.append(SampleTrace(run.path / own))
    if rank:
        return sinks
    sinks += [JsonLinesSink(run.path / "metrics.jsonl"), TensorBoardSink(run.tensorboard)]
    project = config.training.wandb_project
    if project is not None:
        run_id = f"{config.name}-{config_hash(config)[:8]}"
        sinks.append(WandbSink(run.path / "wandb", project=project, run_id=run_id))
    return sinks

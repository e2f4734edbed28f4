"""One training run from a configuration to a finished run folder."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime

import torch

from geoloc.errors import CheckpointError
from geoloc.experiment.build import (
    Say,
    build_dual_encoder,
    build_objective,
    build_sinks,
    choose_device,
    compared_dim,
    model_spec,
    trainer_settings,
)
from geoloc.experiment.galleries import (
    EVEN_LAND,
    TRAINING_PLACES,
    gallery_named,
)
from geoloc.experiment.kept_cells import keep_cells
from geoloc.experiment.prepare_data import ensure_earth_tiles
from geoloc.experiment.prepared_run import PreparedRun, prepare_run
from geoloc.experiment.processes import joined_processes
from geoloc.experiment.run_directory import RunDirectory, held, open_run
from geoloc.experiment.schema import ExperimentConfig
from geoloc.models import DualEncoder, ModelSpec, load_model, save_model
from geoloc.ranks import Ranks
from geoloc.training import (
    ProgressSink,
    Trainer,
    TrainingResult,
    seed_everything,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """How a run ended.

    Attributes:
        run: its folder.
        summary: one line for a person; empty on all processes but the first.
        interrupted_by: number of the signal that stopped it after saving; None when it finished.
    """

    run: RunDirectory
    summary: str
    interrupted_by: int | None = None


def train_run(config: ExperimentConfig, *, say: Say) -> TrainOutcome:
    """Train what the configuration describes, or go on with it; write model and galleries.

    Raises:
        ConfigError: the run folder holds another run, or the settings contradict each other.
        DataError: data are missing or damaged beyond what is allowed.
        CheckpointError: weights cannot be had, or a checkpoint cannot be saved.
        TrainingError: the loss is not finite, or what is logged cannot be written.
    """
    with joined_processes(config) as ranks:
        if not ranks.is_main:
            return replace(_train(config, ranks, say=lambda _: None), summary="")
        with held(RunDirectory(path=config.run_dir)):
            return _train(config, ranks, say=say)


def _train(config: ExperimentConfig, ranks: Ranks, *, say: Say) -> TrainOutcome:
    with ranks.main_first():
        run = open_run(config) if ranks.is_main else RunDirectory(path=config.run_dir)
    if run.finished:
        return TrainOutcome(run=run, summary=f"{run.path} is finished already")
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    with ranks.main_first():
        ensure_earth_tiles(config, say=say)
        if ranks.is_main:
            keep_cells(run, config)
    device = choose_device(config)
    seed_everything(config.seed, device=device)
    spec = model_spec(config)
    model = build_dual_encoder(config, say=say)
    prepared = prepare_run(config, run, model, ranks, spec=spec, device=device, say=say)
    result = _fit(config, run, model, prepared, ranks=ranks, device=device, say=say)
    if result.interrupted is not None:
        return TrainOutcome(
            run=run, summary=f"stopped at step {result.step:,}", interrupted_by=result.interrupted
        )
    if ranks.is_main:
        outcome = _finish(config, run, model, result, spec=spec, device=device, say=say)
    else:
        outcome = TrainOutcome(run=run, summary="")
    # A launcher may end all processes when the first of them ends.
    ranks.wait()
    return outcome


def _fit(
    config: ExperimentConfig,
    run: RunDirectory,
    model: DualEncoder,
    prepared: PreparedRun,
    *,
    ranks: Ranks,
    device: str,
    say: Say,
) -> TrainingResult:
    settings = trainer_settings(config, device)
    progress = ProgressSink()
    sinks = [*build_sinks(config, run, ranks), *([progress] if ranks.is_main else [])]
    objective = build_objective(
        config,
        device,
        feature_dim=compared_dim(config.negatives, model),
        expectation=prepared.expectation,
        bank=prepared.bank,
        ranks=ranks,
    )
    trainer = Trainer(
        model,
        prepared.data,
        objective,
        settings=settings,
        folder=run.path,
        sinks=sinks,
        validation=prepared.validation,
    )
    if prepared.diary is not None:
        prepared.diary.tell(sinks, lambda: trainer.step)
    progress.expect(trainer.total_steps)
    try:
        step = trainer.restore()
        if step is not None:
            say(f"going on from step {step:,} of {trainer.total_steps or 'many'}")
        else:
            say(f"training {config.name} on {device}: {trainer.total_steps or 'many'} steps")
        return trainer.run()
    finally:
        for sink in sinks:
            sink.close()


def _finish(
    config: ExperimentConfig,
    run: RunDirectory,
    model: DualEncoder,
    result: TrainingResult,
    *,
    spec: ModelSpec,
    device: str,
    say: Say,
) -> TrainOutcome:
    """Write the model that queries use and its galleries; only then is the run finished."""
    if result.best is None:
        save_model(run.model, model, spec)
    try:
        chosen = load_model(run.model, device=device)
    except CheckpointError as error:
        raise CheckpointError(f"training is done, but its model cannot be read: {error}") from error
    say("encoding galleries")
    for name in (TRAINING_PLACES, EVEN_LAND):
        gallery_named(name, run, config, chosen, device=device)
    best = result.best
    run.update_record(
        {
            "finished": True,
            "ended": datetime.now(UTC).isoformat(timespec="seconds"),
            "steps": result.step,
            "skipped_steps": result.skipped_steps,
            "best": None
            if best is None
            else {"metric": best.metric, "value": best.value, "step": best.step},
            "default_gallery": TRAINING_PLACES,
        }
    )
    told = "" if best is None else f"; best validation {best.metric} {best.value:.4g}"
    return TrainOutcome(run=run, summary=f"{run.path}: {result.step:,} steps{told}")

"""One training run from a configuration to a finished run folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import torch
from jaxtyping import Float64

from geoloc.batch import GeoBatch
from geoloc.data.feature_cache import FeatureBatches
from geoloc.errors import CheckpointError
from geoloc.experiment.build import (
    Say,
    build_dual_encoder,
    build_objective,
    build_sinks,
    choose_device,
    compared_dim,
    model_spec,
    plain_stream,
    trainer_settings,
    training_stream,
)
from geoloc.experiment.galleries import (
    EVEN_LAND,
    TRAINING_PLACES,
    gallery_named,
    keep_training_places,
    training_places,
)
from geoloc.experiment.prepare_data import ensure_earth_tiles, features_of, thin
from geoloc.experiment.refit_diary import RefitDiary
from geoloc.experiment.run_directory import RunDirectory, held, open_run
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.training_batches import cached_batches, streamed_batches
from geoloc.experiment.validate import validator
from geoloc.models import DualEncoder, load_model, save_model
from geoloc.negatives import EpochExpectation, FeatureBank
from geoloc.training import (
    ProgressSink,
    Trainer,
    TrainingData,
    TrainingResult,
    Validation,
    seed_everything,
)

_LOWER_IS_BETTER = {"median_km"}


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOutcome:
    """How a run ended.

    Attributes:
        run: its folder.
        summary: one line for a person.
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
        TrainingError: the loss is not finite.
    """
    with held(RunDirectory(path=config.run_dir)):
        return _train(config, say=say)


def _train(config: ExperimentConfig, *, say: Say) -> TrainOutcome:
    run = open_run(config)
    if run.finished:
        return TrainOutcome(run=run, summary=f"{run.path} is finished already")
    if config.training.threads is not None:
        torch.set_num_threads(config.training.threads)
    ensure_earth_tiles(config, say=say)
    device = choose_device(config)
    seed_everything(config.seed, device=device)
    model = build_dual_encoder(config, say=say)
    prepared = _prepared(config, run, model, device=device, say=say)
    result = _fit(config, run, model, prepared, device=device, say=say)
    if result.interrupted is not None:
        return TrainOutcome(
            run=run, summary=f"stopped at step {result.step:,}", interrupted_by=result.interrupted
        )
    return _finish(config, run, model, result, device=device, say=say)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    """What a run is trained with.

    Attributes:
        data: batches.
        validation: what is measured after epochs.
        expectation: where the sampler publishes its fits.
        diary: writes down what each refit found; None where nothing is fitted or to be reported.
        bank: what samples of a stream looked like, for the next fit.
    """

    data: TrainingData
    validation: Validation | None
    expectation: EpochExpectation = field(default_factory=EpochExpectation)
    diary: RefitDiary | None = None
    bank: FeatureBank | None = None


def _prepared(
    config: ExperimentConfig, run: RunDirectory, model: DualEncoder, *, device: str, say: Say
) -> _Prepared:
    """Batches to train on, and what is measured after epochs."""
    source = config.data.validation
    if config.data.cache_features:
        return _prepared_from_cache(config, run, model, device=device, say=say)
    data: TrainingData
    data = stream = training_stream(config, model.preset, say=say)
    bank = FeatureBank() if config.negatives.needs_fit else None
    expectation, diary = EpochExpectation(), _diary(config, run)
    if bank is not None:
        on_refit = None if diary is None else diary.note
        data = streamed_batches(config, stream, bank, expectation, device=device, on_refit=on_refit)
    validation = None
    if source is not None:
        held_out = plain_stream(config, model.preset, source)
        places = training_places(run, config)
        validation = _validation(
            config, run, batches=lambda: held_out.epoch(0), places=places, device=device
        )
    return _Prepared(
        data=data, validation=validation, expectation=expectation, diary=diary, bank=bank
    )


def _diary(config: ExperimentConfig, run: RunDirectory) -> RefitDiary | None:
    section = config.negatives
    return RefitDiary(config, run) if section.needs_fit and section.report else None


def _prepared_from_cache(
    config: ExperimentConfig, run: RunDirectory, model: DualEncoder, *, device: str, say: Say
) -> _Prepared:
    cache = features_of(config, model, config.data.train, device=device, say=say)
    kept = thin(cache.latlon_deg, limit=config.evaluation.gallery_places, seed=config.seed)
    keep_training_places(run, kept, total=len(cache))
    expectation, diary = EpochExpectation(), _diary(config, run)
    section = config.negatives
    bank = FeatureBank() if section.needs_fit and section.features == "bank" else None
    data = cached_batches(
        config,
        cache,
        model,
        expectation,
        device=device,
        on_refit=None if diary is None else diary.note,
        bank=bank,
    )
    validation = None
    if config.data.validation is not None:
        held_out = features_of(config, model, config.data.validation, device=device, say=say)
        size = config.evaluation.batch_size
        validation = _validation(
            config,
            run,
            batches=lambda: FeatureBatches(held_out, size, shuffle=False).epoch(0),
            places=cache.latlon_deg,
            device=device,
        )
    return _Prepared(
        data=data, validation=validation, expectation=expectation, diary=diary, bank=bank
    )


def _validation(
    config: ExperimentConfig,
    run: RunDirectory,
    *,
    batches: Callable[[], Iterable[GeoBatch]],
    places: Float64[np.ndarray, "place 2"],
    device: str,
) -> Validation:
    """Measures after epochs and keeps the best model where queries look for it."""
    metric = config.training.best_metric

    def keep(best: DualEncoder, measured: Mapping[str, float]) -> None:
        save_model(run.model, best, model_spec(config), {"validation": dict(measured)})

    return Validation(
        measure=validator(batches, places, device=device, seed=config.seed),
        every_epochs=config.training.validate_every_epochs,
        metric=metric,
        higher_is_better=metric not in _LOWER_IS_BETTER,
        on_best=keep,
    )


def _fit(
    config: ExperimentConfig,
    run: RunDirectory,
    model: DualEncoder,
    prepared: _Prepared,
    *,
    device: str,
    say: Say,
) -> TrainingResult:
    settings = trainer_settings(config, device)
    progress = ProgressSink()
    sinks = [*build_sinks(config, run), progress]
    objective = build_objective(
        config,
        device,
        feature_dim=compared_dim(config.negatives, model),
        expectation=prepared.expectation,
        bank=prepared.bank,
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
    device: str,
    say: Say,
) -> TrainOutcome:
    """Write the model that queries use and its galleries; only then is the run finished."""
    if result.best is None:
        save_model(run.model, model, model_spec(config))
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

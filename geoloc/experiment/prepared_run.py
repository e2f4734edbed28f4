"""What a run is trained with, from its configuration: batches, validation, and what fits need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64

from geoloc.batch import GeoBatch
from geoloc.data.feature_batches import FeatureBatches
from geoloc.experiment.build import Say
from geoloc.experiment.prepare_data import features_of, thin
from geoloc.experiment.refit_diary import RefitDiary
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.streams import plain_stream, training_stream
from geoloc.experiment.training_batches import cached_batches, streamed_batches
from geoloc.experiment.training_places import keep_training_places, training_places
from geoloc.experiment.validate import validator
from geoloc.models import DualEncoder, ModelSpec, save_model
from geoloc.negatives import EpochExpectation, FeatureBank
from geoloc.ranks import Ranks
from geoloc.training import TrainingData, Validation

_LOWER_IS_BETTER = {"median_km"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedRun:
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


def prepare_run(
    config: ExperimentConfig,
    run: RunDirectory,
    model: DualEncoder,
    ranks: Ranks,
    *,
    spec: ModelSpec,
    device: str,
    say: Say,
) -> PreparedRun:
    """Batches to train on, and what is measured after epochs.

    Features are computed by all processes together; other files that all need are made by the
    main one while the others wait.

    Raises:
        DataError: data are missing or damaged beyond what is allowed.
        MismatchError: a semivariogram is to be fitted to another split than training.
    """
    source = config.data.validation
    if config.data.cache_features:
        return _prepared_from_cache(config, run, model, ranks, spec=spec, device=device, say=say)
    data: TrainingData
    # The order of samples is that of the run's beginning, with however many workers it goes on.
    strands = run.config().data.workers
    data = stream = training_stream(config, model.preset, say=say, ranks=ranks, strands=strands)
    bank = FeatureBank() if config.negatives.needs_fit else None
    expectation, diary = EpochExpectation(), _diary(config, run, ranks)
    if bank is not None:
        on_refit = None if diary is None else diary.note
        data = streamed_batches(
            config, stream, bank, expectation, device=device, on_refit=on_refit, ranks=ranks
        )
    validation = None
    if source is not None:
        held_out = plain_stream(config, model.preset, source)
        with ranks.main_first():
            places = training_places(run, config)
        validation = _validation(
            config,
            run,
            spec=spec,
            batches=lambda: held_out.epoch(0),
            places=places,
            device=device,
        )
    return PreparedRun(
        data=data, validation=validation, expectation=expectation, diary=diary, bank=bank
    )


def _diary(config: ExperimentConfig, run: RunDirectory, ranks: Ranks) -> RefitDiary | None:
    section = config.negatives
    wanted = section.needs_fit and section.report and ranks.is_main
    return RefitDiary(config, run) if wanted else None


def _prepared_from_cache(
    config: ExperimentConfig,
    run: RunDirectory,
    model: DualEncoder,
    ranks: Ranks,
    *,
    spec: ModelSpec,
    device: str,
    say: Say,
) -> PreparedRun:
    source, views = config.data.train, config.data.cached_views
    cache = features_of(config, model, source, device=device, say=say, ranks=ranks, views=views)
    kept = thin(cache.latlon_deg, limit=config.evaluation.gallery_places, seed=config.seed)
    if ranks.is_main:
        keep_training_places(run, kept, total=len(cache))
    expectation, diary = EpochExpectation(), _diary(config, run, ranks)
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
        ranks=ranks,
    )
    validation = None
    if config.data.validation is not None:
        held_out = features_of(
            config, model, config.data.validation, device=device, say=say, ranks=ranks
        )
        size = config.evaluation.batch_size
        validation = _validation(
            config,
            run,
            spec=spec,
            batches=lambda: FeatureBatches(held_out, size, shuffle=False).epoch(0),
            places=cache.latlon_deg,
            device=device,
        )
    return PreparedRun(
        data=data, validation=validation, expectation=expectation, diary=diary, bank=bank
    )


def _validation(
    config: ExperimentConfig,
    run: RunDirectory,
    *,
    spec: ModelSpec,
    batches: Callable[[], Iterable[GeoBatch]],
    places: Float64[np.ndarray, "place 2"],
    device: str,
) -> Validation:
    """Measures after epochs and keeps the best model where queries look for it."""
    metric = config.training.best_metric

    def keep(best: DualEncoder, measured: Mapping[str, float]) -> None:
        save_model(run.model, best, spec, {"validation": dict(measured)})

    return Validation(
        measure=validator(batches, places, device=device, seed=config.seed),
        every_epochs=config.training.validate_every_epochs,
        metric=metric,
        higher_is_better=metric not in _LOWER_IS_BETTER,
        on_best=keep,
    )

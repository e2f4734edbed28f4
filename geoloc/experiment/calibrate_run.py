"""Calibration of a run: fitted on its validation split, measured on its test splits."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from geoloc.errors import ConfigError
from geoloc.evaluation.answered import (
    AnsweredSplit,
    answer_split,
    refuse_shared_samples,
    split_fingerprint,
)
from geoloc.evaluation.calibration_file import Calibration
from geoloc.evaluation.calibration_report import (
    CalibrationReport,
    CalibrationTest,
    check_calibration,
    fit_calibration,
)
from geoloc.evaluation.conformal import ScoreName
from geoloc.evaluation.temperature import Objective, TemperatureFit
from geoloc.experiment.build import Say
from geoloc.experiment.embed_run import embed_source
from geoloc.experiment.galleries import TRAINING_PLACES, gallery_named
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.split_names import splits_asked
from geoloc.experiment.trained_run import TrainedRun, open_trained_run
from geoloc.retrieval import Embedded, Gallery
from geoloc.viz import draw_reliability


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationRequest:
    """What to calibrate; whatever is left empty is as the run's configuration says.

    Attributes:
        run_folder: the run.
        validation: shards to fit on.
        tests: shards to measure on, each as ``SHARDS`` or ``NAME=SHARDS``.
        gallery: name or folder; by default the run's own default.
        level: of the radius that answers are given with.
        score: of the conformal radius.
        objective: that the temperature is fitted by.
        block_km: side of the blocks, for radii that hold in new blocks.
        workers: decoding processes.
        device: ``auto``, ``cpu`` or ``cuda``.
        backbone_weights: see `open_trained_run`.
    """

    run_folder: Path
    validation: str | None = None
    tests: tuple[str, ...] = ()
    gallery: str | None = None
    level: float = 0.9
    score: ScoreName = "mass"
    objective: Objective = "answer"
    block_km: float | None = None
    workers: int | None = None
    device: str = "auto"
    backbone_weights: Path | None = None


def calibrate_run(request: CalibrationRequest, *, say: Say) -> tuple[CalibrationReport, Path]:
    """Fit, measure, and write RUN/calibration/GALLERY/calibration.json and reliability.png.

    Returns:
        What was measured, and the folder.

    Raises:
        CheckpointError: the run has not finished, or its model cannot be read.
        ConfigError: no validation split, one that is a test or the training split too, an unknown
            gallery or device, or a level or block size out of range.
        DataError: the shards cannot be used, or test samples are among those fitted on.
        MismatchError: the gallery is another model's.
    """
    if not 0 < request.level < 1:
        raise ConfigError(f"--level {request.level:g}: it must lie between 0 and 1, such as 0.9")
    if request.block_km is not None and not request.block_km > 0:
        raise ConfigError(f"--block-km {request.block_km:g}: it must be above 0")
    trained = open_trained_run(
        request.run_folder, device=request.device, backbone_weights=request.backbone_weights
    )
    tests = splits_asked(request.tests, trained.config)
    source = _validation(request, tests, trained.config)
    name = request.gallery or trained.run.read_record().get("default_gallery") or TRAINING_PLACES
    gallery = gallery_named(
        str(name), trained.run, trained.config, trained.model, device=trained.device
    )
    at = _Calibrating(trained=trained, gallery=gallery, request=request, say=say)
    fitted, embedded = at.fit(source)
    measured = tuple(at.check(fitted, embedded, name=n, source=s) for n, s in tests.items())
    report = _report(fitted, measured, trained.run.read_record())
    folder = trained.run.calibration / gallery.name
    report.calibration.save(folder)
    draw_reliability(
        {test.split: (test.trained, test.calibrated) for test in measured},
        folder / "reliability.png",
        title=f"{trained.config.name}: does its softmax over {gallery.name} mean what it says?",
    )
    return report, folder


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fitted:
    calibration: Calibration
    temperature: TemperatureFit
    validation: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calibrating:
    """What fitting and measuring share."""

    trained: TrainedRun
    gallery: Gallery
    request: CalibrationRequest
    say: Say

    @property
    def scale(self) -> float:
        return float(self.trained.model.scale().detach())

    def answered(self, source: str) -> tuple[Embedded, AnsweredSplit]:
        embedded, _ = embed_source(self.trained, source, workers=self.request.workers)
        return embedded, answer_split(embedded, self.gallery, device=self.trained.device)

    def fit(self, source: str) -> tuple[_Fitted, Embedded]:
        self.say(f"fitting on {source}")
        embedded, split = self.answered(source)
        calibration, temperature = fit_calibration(
            split,
            self.gallery,
            trained_scale=self.scale,
            level=self.request.level,
            score=self.request.score,
            objective=self.request.objective,
            block_km=self.request.block_km,
        )
        validation = {
            "source": source,
            "count": len(embedded),
            "fingerprint": split_fingerprint(embedded),
            "block_km": self.request.block_km,
        }
        fitted = _Fitted(calibration=calibration, temperature=temperature, validation=validation)
        return fitted, embedded

    def check(
        self, fitted: _Fitted, validation: Embedded, *, name: str, source: str
    ) -> CalibrationTest:
        self.say(f"measuring on {name}: {source}")
        embedded, split = self.answered(source)
        known = str(fitted.validation["source"])
        refuse_shared_samples(validation, embedded, fitted_on=known, name=name)
        return check_calibration(
            fitted.calibration,
            split,
            trained_scale=self.scale,
            name=name,
            source=source,
            fingerprint=split_fingerprint(embedded),
        )


def _report(
    fitted: _Fitted, tests: tuple[CalibrationTest, ...], record: dict[str, Any]
) -> CalibrationReport:
    measured = {
        "validation": fitted.validation,
        "temperature": fitted.temperature.to_json(),
        "tests": [test.to_json() for test in tests],
        "run": record,
    }
    return CalibrationReport(
        calibration=replace(fitted.calibration, measured=measured),
        temperature=fitted.temperature,
        validation=fitted.validation,
        tests=tests,
    )


def _validation(
    request: CalibrationRequest, tests: dict[str, str], config: ExperimentConfig
) -> str:
    """The shards to fit on, once it is known that nothing is measured or trained on them."""
    source = request.validation or config.data.validation
    if source is None:
        raise ConfigError(
            "the run names no validation split (data.validation): give --validation SHARDS"
        )
    if _same(source, config.data.train):
        raise ConfigError(
            f"--validation {source} is the training split: a model is surer of what it has seen, "
            "so fit on images that it has not"
        )
    for name, other in {**config.data.tests, **tests}.items():
        if _same(source, other):
            raise ConfigError(
                f"--validation {source} is the test split {name}: what is fitted on a test split "
                "cannot be measured on it; name other shards"
            )
    return source


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()

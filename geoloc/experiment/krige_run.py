"""`geoloc krige`: a semivariogram, its checks, and kriged values as files and pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from geoloc.artifacts import write_json
from geoloc.experiment.build import Say
from geoloc.experiment.krige_curve import KrigeCurve, fit_curve, with_errors
from geoloc.experiment.krige_data import KrigeData, read_krige_data
from geoloc.experiment.krige_output import (
    Estimated,
    kriged_path,
    own_steps,
    refuse_columns,
    write_kriged,
    write_validation,
)
from geoloc.experiment.krige_picture import draw_run
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.experiment.krige_targets import Targets, find_targets
from geoloc.experiment.krige_validation import (
    BLOCKS,
    HELD_OUT,
    LEFT_OUT,
    TARGETS,
    KrigeScores,
    krige_folds,
    krige_method,
    krige_scores,
    noise_of,
)
from geoloc.experiment.loading import section_hash
from geoloc.experiment.run_directory import software
from geoloc.geostatistics import (
    KrigedSteps,
    KrigingMethod,
    krige_by_step,
    leave_one_out_by_step,
)
from geoloc.geostatistics.files import variogram_tree
from geoloc.viz import draw_variogram

RESULT, CURVE, PICTURE, CHECKS = "result.json", "variogram.png", "kriged.png", "validation.csv"
SCHEMA_VERSION = 1
_FEWEST_FOR_FOLDS = 10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrigeResult:
    """What came of it.

    Attributes:
        data: the stations.
        curve: the semivariogram and its model.
        targets: how many.
        scores: by the kind of check.
        block: side of the blocks that were left out, in km or the unit of the plane; None without.
        notes: what was done or left out, in sentences.
        files: written.
    """

    data: KrigeData
    curve: KrigeCurve
    targets: int
    scores: dict[str, KrigeScores]
    block: float | None
    notes: tuple[str, ...]
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Checks:
    """Estimates of what was measured, by the kind of check, and what they are compared with."""

    found: dict[str, KrigedSteps]
    fold: Int64[np.ndarray, " station"] | None
    block: float | None
    notes: tuple[str, ...]


def run_krige(config: KrigeConfig, *, out: Path, say: Say) -> KrigeResult:
    """Fit, check, krige, and write OUT/result.json, the kriged values, and the pictures.

    Raises:
        ConfigError: keys contradict one another, or a package is missing.
        CoordinateError: a place is out of range.
        DataError: the stations or targets cannot be used.
    """
    data = read_krige_data(config)
    curve = with_errors(fit_curve(data.stations, config))
    targets = find_targets(config, data)
    refuse_columns(config, data, targets)
    method = krige_method(config, curve)
    steps = data.stations.value.shape[1]
    say(f"{data.name}: {len(data.stations):,} stations, {steps:,} step{'s' * (steps != 1)} of time")
    checks = _checks(config, data, curve, method)
    fewest = config.kriging.fewest
    stations = data.stations
    kriged = krige_by_step(stations.places, stations.value, targets.places, method, fewest=fewest)
    pairs = {kind: (each, stations.value) for kind, each in checks.found.items()}
    scores = {kind: krige_scores(*each) for kind, each in pairs.items()}
    noise = noise_of(method)
    if data.held_out is not None:
        hidden = data.held_out
        there = krige_by_step(stations.places, stations.value, hidden.places, method, fewest=fewest)
        pairs[HELD_OUT] = (there, hidden.value)
        scores[HELD_OUT] = krige_scores(there, hidden.value, noise=noise)
    against = _against_table(targets, stations.places, kriged)
    if against is not None:
        pairs[TARGETS] = against
        scores[TARGETS] = krige_scores(*against, noise=noise)
    files = (out / RESULT, kriged_path(config, out), out / PICTURE)
    estimated = Estimated(config=config, data=data, targets=targets, kriged=kriged)
    write_kriged(files[1], estimated)
    if checks.found:
        files = (*files, out / CHECKS)
        write_validation(files[-1], data, checks.found, checks.fold)
    notes = (*data.notes, *checks.notes)
    if curve.variogram is not None:
        files = (*files, out / CURVE)
        draw_variogram(
            curve.variogram, files[-1], fit=curve.fit, title=f"Semivariogram of {data.name}"
        )
    draw_run(files[2], estimated, curve, pairs)
    result = KrigeResult(
        data=data,
        curve=curve,
        targets=len(targets),
        scores=scores,
        block=checks.block,
        notes=notes,
        files=files,
    )
    write_json(files[0], _json(config, result, kriged))
    return result


def _checks(
    config: KrigeConfig, data: KrigeData, curve: KrigeCurve, method: KrigingMethod
) -> _Checks:
    stations, wanted, fewest = data.stations, config.validation, config.kriging.fewest
    found: dict[str, KrigedSteps] = {}
    notes: list[str] = []
    together = int(np.isfinite(stations.value).sum(axis=0).max(initial=0))
    if wanted.leave_one_out and together > max(2, fewest):
        found[LEFT_OUT] = leave_one_out_by_step(
            stations.places, stations.value, method, fewest=fewest + 1
        )
    elif wanted.leave_one_out:
        notes.append(f"{together} stations measure together: too few to leave one out")
    if not wanted.folds:
        return _Checks(found=found, fold=None, block=None, notes=tuple(notes))
    if together < _FEWEST_FOR_FOLDS or curve.variogram is None:
        notes.append(f"{together} stations measure together: too few to leave blocks out")
        return _Checks(found=found, fold=None, block=None, notes=tuple(notes))
    block = wanted.block or float(curve.variogram.bins.edges[-1]) / 2.0
    found[BLOCKS], fold = krige_folds(config, stations, block=block)
    return _Checks(found=found, fold=fold, block=block, notes=tuple(notes))


def _against_table(
    targets: Targets, stations: np.ndarray, kriged: KrigedSteps
) -> tuple[KrigedSteps, np.ndarray] | None:
    """Estimates at rows of a table that has the number itself; None without three of them.

    Rows at a station are no check: what was measured there has gone into the estimate.
    """
    if targets.truth is None:
        return None
    known = {tuple(place) for place in stations.tolist()}
    new = np.array([tuple(place) not in known for place in targets.places.tolist()])
    truth = np.where(new, targets.truth, np.nan)
    value, variance = kriged.value, kriged.variance
    if targets.step is not None:
        value, variance = (own_steps(targets, each)[:, None] for each in (value, variance))
    if (np.isfinite(value[:, 0]) & np.isfinite(truth)).sum() < 3:
        return None
    found = KrigedSteps(value=value, variance=variance, data=kriged.data[:1])
    return found, truth[:, None]


def _json(config: KrigeConfig, result: KrigeResult, kriged: KrigedSteps) -> dict[str, Any]:
    data, curve = result.data, result.curve
    value = data.stations.value
    spread = float(np.nanstd(value))
    return {
        "schema_version": SCHEMA_VERSION,
        "provenance": {
            **software(),
            "config_hash": section_hash(config),
            "config": config.model_dump(mode="json"),
        },
        "measured": data.name,
        "unit": data.unit,
        "stations": len(data.stations),
        "values": int(np.isfinite(value).sum()),
        "mean": float(np.nanmean(value)),
        "standard_deviation": spread,
        "time": data.time_labels(),
        "data_of_each_step": kriged.data.tolist(),
        "targets": result.targets,
        "variogram": None if curve.variogram is None else variogram_tree(curve.variogram),
        "fit": curve.fit.to_json(),
        "fit_given": curve.given,
        "scores": {kind: each.to_json() for kind, each in result.scores.items()},
        "block": result.block,
        "notes": list(result.notes),
        "files": [file.name for file in result.files],
    }

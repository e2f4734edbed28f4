"""`geoloc spacetime`: predict a space-time field, measure against the truth, write and draw it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoloc.artifacts import write_json
from geoloc.data.sample_table import write_frame
from geoloc.experiment.build import Say
from geoloc.experiment.loading import section_hash
from geoloc.experiment.run_directory import software
from geoloc.experiment.spacetime_data import SpaceTimeData, space_time_data
from geoloc.experiment.spacetime_methods import (
    FULL,
    KRIGING,
    SEVERAL,
    Estimate,
    Estimates,
    estimate_all,
)
from geoloc.experiment.spacetime_predict import FieldFacts, keep_model, prediction_frame
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.geostatistics import Variogram, interval_coverage, measure_agreement
from geoloc.spacetime import (
    SpaceTimeModel,
    Stations,
    fit_structure,
    flatness,
    mean_variogram,
)
from geoloc.viz import SpaceTimePicture, draw_space_time

RESULT, PICTURE = "result.json", "spacetime.png"
MODEL, PREDICTIONS = "model", "predictions.parquet"
SCHEMA_VERSION = 1
LEVEL = 0.9
"""Probability of the intervals whose coverage is measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodRow:
    """How near one method came, over all held-out places and all steps.

    Attributes:
        name: of the method.
        mae: mean absolute error, in the field's unit, against the values as measured.
        rmse: root mean square error, likewise.
        r2: squared correlation.
        signal_rmse: against the field without noise, where that is known.
        flatness: semivariance of the errors at the shortest lags over that at the longest.
        error_structure: model of the errors' semivariogram; ``nugget`` where none is left.
        coverage: share of the truth within intervals of 90 %; None where a method has none.
        seconds: fit and prediction.
    """

    name: str
    mae: float
    rmse: float
    r2: float
    signal_rmse: float | None
    flatness: float
    error_structure: str
    coverage: float | None
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceTimeResult:
    """What a run found.

    Attributes:
        rows: one a method.
        told: facts about the field, the bases and the model.
        out: folder of `RESULT`, `PICTURE`, `PREDICTIONS` and `MODEL`.
    """

    rows: tuple[MethodRow, ...]
    told: dict[str, Any]
    out: Path

    def row(self, name: str) -> MethodRow:
        """The row of one method."""
        return next(row for row in self.rows if row.name == name)


def run_space_time(config: SpaceTimeConfig, *, out: Path, say: Say) -> SpaceTimeResult:
    """Predict by every method, compare, and write the result, its picture and the model.

    Raises:
        ConfigError: a setting is impossible for this field, or a package is missing.
        DataError: the field cannot be read, or lacks values.
        TrainingError: a network came to nothing.
    """
    out.mkdir(parents=True, exist_ok=True)
    data = space_time_data(config)
    say(f"{data.name}: {len(data.stations)} stations, {len(data.held_out)} places held out")
    estimates = estimate_all(config, data, say)
    errors = {
        name: _errors(data, each.values, estimates.model)
        for name, each in estimates.by_name.items()
    }
    rows = tuple(_row(name, each, errors[name], data) for name, each in estimates.by_name.items())
    result = SpaceTimeResult(rows=rows, told=_told(config, data, estimates), out=out)
    write_json(out / RESULT, _json(config, result))
    draw_space_time(_picture(data, estimates, errors), out / PICTURE)
    _keep(config, data, estimates, out)
    return result


def _errors(data: SpaceTimeData, values: Tensor, model: SpaceTimeModel) -> Variogram:
    """The semivariogram of a method's errors at the places held out.

    Where nothing was measured an error is taken to be the mean one of its place.
    """
    error = torch.where(data.measured, data.held_out.values - values, torch.nan)
    error = torch.where(data.measured, error, error.nanmean(dim=1, keepdim=True))
    left = Stations(sites=data.held_out.sites, values=error)
    return mean_variogram(left, model.settings.bins)


def _keep(config: SpaceTimeConfig, data: SpaceTimeData, estimates: Estimates, out: Path) -> None:
    """Write the predictions at the places held out, and the model."""
    facts = FieldFacts(
        name=data.name,
        unit=data.unit,
        time_day=data.time_day,
        dated=data.dated,
        altitude=config.altitude,
        provenance=_provenance(config),
    )
    names, truth = np.arange(len(data.held_out)), _truth(data)
    sites, found = data.held_out.sites, estimates.prediction
    write_frame(prediction_frame(names, sites, facts, found, truth=truth), out / PREDICTIONS)
    keep_model(estimates.model, facts, out / MODEL)


def _truth(data: SpaceTimeData) -> Tensor:
    """What was measured at the places held out; nan where nothing was."""
    return torch.where(data.measured, data.held_out.values, torch.nan)


def _row(name: str, found: Estimate, errors: Variogram, data: SpaceTimeData) -> MethodRow:
    truth = _truth(data)
    agreement = measure_agreement(found.values, truth)
    signal = None if data.signal is None else measure_agreement(found.values, data.signal).rmse
    structure = fit_structure(errors)
    covered = None
    if found.variance is not None:
        error, variance = (found.values - truth)[data.measured], found.variance[data.measured]
        covered = interval_coverage(error[None], variance[None], LEVEL)
    return MethodRow(
        name=name,
        mae=agreement.mae,
        rmse=agreement.rmse,
        r2=agreement.r2,
        signal_rmse=signal,
        flatness=flatness(errors),
        error_structure=structure.model if structure.has_structure else "nugget",
        coverage=covered,
        seconds=found.seconds,
    )


def _told(config: SpaceTimeConfig, data: SpaceTimeData, estimates: Estimates) -> dict[str, Any]:
    model = estimates.model
    structure = model.structure
    return {
        "field": data.name,
        "unit": data.unit,
        "stations": len(data.stations),
        "held_out": len(data.held_out),
        "steps": data.stations.values.shape[1],
        "components": len(model.basis),
        "variance_share": float(model.basis.share.sum()),
        "gaps": {
            "share": data.missing,
            "components": data.filled_by,
            "rmse": data.rmse_of_gaps,
        },
        "residuals": {
            "kriged": config.residuals.kriged if structure.has_structure else "none",
            "structure": structure.to_json(),
        },
        "best_epochs": [each.best_epoch for each in model.ensemble.diaries],
        "epochs": [len(each.validation) for each in model.ensemble.diaries],
        "level": LEVEL,
    }


def _json(config: SpaceTimeConfig, result: SpaceTimeResult) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "name": config.name,
        **result.told,
        "methods": [asdict(row) for row in result.rows],
        "config": config.model_dump(mode="json"),
        "provenance": _provenance(config),
    }


def _provenance(config: SpaceTimeConfig) -> dict[str, Any]:
    return {**software(), "seed": config.seed, "config_hash": section_hash(config)}


def _picture(
    data: SpaceTimeData, estimates: Estimates, errors: dict[str, Variogram]
) -> SpaceTimePicture:
    truth, found = _truth(data), estimates.by_name
    # a place and a step that are neither the best nor the worst
    wrong = (found[FULL].values - truth).abs()
    place, step = _middle(wrong.nanmean(dim=1)), _middle(wrong.nanmean(dim=0))
    width = estimates.prediction.half_width(LEVEL)

    def numbers(values: Tensor) -> np.ndarray:
        return values.numpy()

    return SpaceTimePicture(
        name=data.name,
        unit=data.unit,
        on_earth=data.held_out.sites.metric == "great_circle",
        stations=numbers(data.stations.sites.places),
        station_values=numbers(data.stations.values[:, step]),
        places=numbers(data.held_out.sites.places),
        truth=numbers(truth),
        predicted=numbers(found[FULL].values),
        half_width=numbers(width),
        rival=numbers(found[KRIGING].values),
        place=place,
        step=step,
        time_day=data.time_day,
        dated=data.dated,
        errors={
            "kriging per step": errors[KRIGING],
            "EOF + networks": errors[SEVERAL],
            "EOF + networks + kriged residuals": errors[FULL],
        },
    )


def _middle(wrong: Tensor) -> int:
    """The number of the error in the middle, of those that are known."""
    order = torch.where(torch.isnan(wrong), torch.inf, wrong).argsort()
    return int(order[int((~torch.isnan(wrong)).sum()) // 2])

"""A downscaling from its configuration: learn, run by itself on the test series, be judged."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from geoloc.artifacts import write_arrays, write_json, write_text
from geoloc.downscaling import (
    DiffusionDownscaler,
    DownscalingSettings,
    Judgement,
    RegressionDownscaler,
    Scales,
    Structure,
    Yardstick,
    coarsen,
    fit_diffusion,
    fit_encoder,
    fit_regression,
    interpolate,
    judge,
    structure_of,
    tiling_of,
)
from geoloc.experiment.downscale_apply import keep_downscaler
from geoloc.experiment.downscale_text import downscaling_table
from geoloc.experiment.downscaling_fields import DownscalingFields, fields_of
from geoloc.experiment.downscaling_schema import DownscalingConfig
from geoloc.experiment.loading import section_hash
from geoloc.experiment.run_directory import software
from geoloc.geostatistics import wasserstein_distance, white_noise_bound
from geoloc.inference.devices import usable_device
from geoloc.training.seeding import step_generator
from geoloc.viz.downscaling_figure import Panel, draw_downscaling

SCHEMA_VERSION = 1
BICUBIC, REGRESSION = "bicubic", "plain U-Net"
FIELDS = "fields.npz"
"""The test series: truth, coarse, bicubic, plain_unet, draws (a member first), draws_apart."""
DRAW, MEAN, ALONE = "diffusion, one draw", "diffusion, mean of draws", "diffusion, steps apart"

_STORED = {"bicubic": BICUBIC, "plain_unet": REGRESSION, "draws_apart": ALONE}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Estimates:
    """What the methods made of the test series, and what they learnt.

    Attributes:
        by_method: estimates, on the CPU.
        draws: of the diffusion, member by member.
        diffusion: that drew them.
        regression: the plain U-Net.
    """

    by_method: Mapping[str, Tensor]
    draws: Tensor
    diffusion: DiffusionDownscaler
    regression: RegressionDownscaler


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DownscalingResult:
    """What came of it.

    Attributes:
        fields: learnt from and tested on.
        estimates: of the test series, by method.
        judgements: of them.
        truth: structure of the test series.
        seconds: of the parts of the work.
    """

    fields: DownscalingFields
    estimates: Mapping[str, Tensor]
    judgements: Mapping[str, Judgement]
    truth: Structure
    seconds: Mapping[str, float]


def run_downscaling(
    config: DownscalingConfig, *, out: Path, say: Callable[[str], object]
) -> DownscalingResult:
    """Learn, estimate and judge.

    Writes result.json, table.txt, downscaling.png, `FIELDS`, and a folder for each downscaler.

    Args:
        config: all settings.
        out: folder of the results; made when absent.
        say: told what is being done.

    Raises:
        ConfigError: settings that contradict one another, or a package or a device that is
            missing.
        DataError: fields that cannot be used.
    """
    seconds: dict[str, float] = {}
    out.mkdir(parents=True, exist_ok=True)

    def timed(what: str, work: Callable[[], Any]) -> Any:
        say(what)
        began = time.perf_counter()
        found = work()
        seconds[what] = time.perf_counter() - began
        return found

    fields = timed("fields", lambda: fields_of(config))
    made = estimate_fields(config, fields, timed)
    estimates = made.by_method
    size = [int(side) for side in fields.test.shape[-2:]]
    yardstick = Yardstick.of_pixels(*size, bins=config.judge.bins, pairs=config.judge.pairs)
    truth = structure_of(fields.test, yardstick)
    judgements = timed(
        "judge",
        lambda: {
            name: judge(estimate, fields.test, yardstick, true_structure=truth)
            for name, estimate in estimates.items()
        },
    )
    result = DownscalingResult(
        fields=fields, estimates=estimates, judgements=judgements, truth=truth, seconds=seconds
    )
    write_json(out / "result.json", _as_json(config, result))
    write_text(out / "table.txt", downscaling_table(judgements) + "\n")
    draw_downscaling(_panel(result), out / "downscaling.png")
    _keep(config, fields, made, out)
    return result


def estimate_fields(
    config: DownscalingConfig,
    fields: DownscalingFields,
    timed: Callable[[str, Callable[[], Any]], Any],
) -> Estimates:
    """Train all methods on the same fields and let each estimate the test series.

    Args:
        config: all settings.
        fields: learnt from and tested on.
        timed: does a named part of the work.

    Raises:
        ConfigError: a tile does not fit the fields, or a package or a device is missing.
    """
    device = usable_device(config.device)
    settings = DownscalingSettings(**config.networks.model_dump())
    for each in (fields.fine, fields.test):
        tiling_of(each, settings)
    long, fine = fields.coarse.to(device), fields.fine.to(device)
    seen = coarsen(fields.test, settings.factor).to(device)
    scales = Scales.of(fine, settings.factor)

    def chance(part: str) -> torch.Generator:
        return step_generator(config.seed, 0, f"downscaling {part}")

    encoder = timed(
        "transfer encoder",
        lambda: fit_encoder(long, settings, scales, generator=chance("encoder")),
    )
    regression = timed(
        "plain U-Net", lambda: fit_regression(fine, settings, scales, generator=chance("batches"))
    )
    diffusion = timed(
        "diffusion",
        lambda: fit_diffusion(fine, encoder, settings, scales, generator=chance("batches")),
    )
    members = timed(
        "draws",
        lambda: diffusion.estimate(
            seen, generator=chance("draws"), members=config.judge.members
        ).cpu(),
    )
    alone = timed(
        "draws without the step before",
        lambda: diffusion.estimate(seen, generator=chance("draws"), autoregressive=False)[0].cpu(),
    )
    by_method = {
        BICUBIC: interpolate(seen, settings.factor).cpu(),
        REGRESSION: regression.estimate(seen).cpu(),
        DRAW: members[0],
        MEAN: members.mean(dim=0),
        ALONE: alone,
    }
    return Estimates(by_method=by_method, draws=members, diffusion=diffusion, regression=regression)


def _keep(config: DownscalingConfig, fields: DownscalingFields, made: Estimates, out: Path) -> None:
    """Write the fields of the test and the downscalers."""
    coarse = coarsen(fields.test, config.networks.factor)
    tensors = {"truth": fields.test, "coarse": coarse, "draws": made.draws}
    tensors |= {name: made.by_method[title] for name, title in _STORED.items()}
    if fields.mean is not None:
        tensors["mean"] = fields.mean
    arrays = {name: each.numpy() for name, each in tensors.items()}
    if fields.axes:
        for name in ("latitude_deg", "longitude_deg", "time_day"):
            arrays[name] = np.stack([getattr(each, name) for each in fields.axes])
    write_arrays(out / FIELDS, arrays)
    for name, downscaler in (("diffusion", made.diffusion), ("regression", made.regression)):
        keep_downscaler(downscaler, fields, out / name, _provenance(config))


def _as_json(config: DownscalingConfig, result: DownscalingResult) -> dict[str, Any]:
    fields = result.fields
    return {
        "schema_version": SCHEMA_VERSION,
        "provenance": _provenance(config),
        "field": {"name": fields.name, "unit": fields.unit, "source": fields.source},
        "shapes": {each: list(getattr(fields, each).shape) for each in ("coarse", "fine", "test")},
        "wasserstein_training_to_test": wasserstein_distance(fields.fine, fields.test),
        "white_noise_bound": white_noise_bound(fields.test.shape[1]),
        "truth": _structure_json(result.truth),
        "methods": {name: _judgement_json(each) for name, each in result.judgements.items()},
        "seconds": {part: round(taken, 2) for part, taken in result.seconds.items()},
    }


def _provenance(config: DownscalingConfig) -> dict[str, Any]:
    return {
        **software("diffusers"),
        "seed": config.seed,
        "config_hash": section_hash(config),
        "config": config.model_dump(mode="json"),
    }


def _judgement_json(judgement: Judgement) -> dict[str, Any]:
    told: dict[str, Any] = {**asdict(judgement.agreement), "r2": judgement.agreement.r2}
    for name in ("semivariogram_distance", "acf_gap", "pacf_gap", "lag_rmse_gap", "lag_r2_gap"):
        told[name] = getattr(judgement, name)
    told["wasserstein"] = judgement.wasserstein
    told["rmse_by_step"] = judgement.rmse_by_step.tolist()
    told["spread_by_step"] = [_finite(each) for each in judgement.spread_by_step.tolist()]
    told["structure"] = _structure_json(judgement.structure)
    return {key: _finite(value) for key, value in told.items()}


def _structure_json(structure: Structure) -> dict[str, Any]:
    variogram, fit = structure.variogram, structure.fit
    return {
        "lag_cells": variogram.lag.tolist(),
        "semivariance": variogram.semivariance.tolist(),
        "spherical": {
            "nugget": fit.nugget,
            "sill": fit.sill,
            "effective_range": _finite(fit.effective_range),
            "flags": list(fit.flags),
        },
        "acf": structure.acf.tolist(),
        "pacf": structure.pacf.tolist(),
        "lag_rmse": structure.lag_rmse.tolist(),
        "lag_r2": [_finite(each) for each in structure.lag_r2.tolist()],
    }


def _finite(value: Any) -> Any:
    """JSON has no nan: null."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def _panel(result: DownscalingResult) -> Panel:
    shown = (BICUBIC, REGRESSION, DRAW, MEAN)
    test = result.fields.test
    factor = test.shape[-1] // result.fields.coarse.shape[-1]
    fields = {"coarse": coarsen(test, factor), **{name: result.estimates[name] for name in shown}}
    turned = slice(None, None, -1 if result.fields.south_first else 1)
    return Panel(
        title=f"{result.fields.name}: the last of {test.shape[1]} steps",
        unit=result.fields.unit,
        fields={
            name: each[0, -1].numpy()[turned] for name, each in (*fields.items(), ("truth", test))
        },
        truth=result.truth,
        methods={name: result.judgements[name] for name in (*shown, ALONE)},
    )

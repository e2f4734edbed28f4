"""Fields to learn downscaling from and to test it on, simulated or real."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Float64
from torch import Tensor

from geoloc.data.packaged_fields import read_field
from geoloc.downscaling import coarsen, drifting_fields
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.downscaling_schema import (
    SIMULATED,
    DownscalingConfig,
    RealFieldSection,
    SimulatedFieldSection,
)
from geoloc.training.seeding import step_generator


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FieldAxes:
    """Where and when the cells of a series of fields are.

    Attributes:
        latitude_deg: of the rows.
        longitude_deg: of the columns.
        time_day: of the steps.
    """

    latitude_deg: Float64[np.ndarray, " row"]
    longitude_deg: Float64[np.ndarray, " column"]
    time_day: Float64[np.ndarray, " time"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DownscalingFields:
    """What is learnt from, and what is kept for the test.

    Attributes:
        name: of the field.
        unit: of its values.
        source: where it comes from.
        coarse: long coarse series, for the transfer encoder.
        fine: fine series, for the networks.
        test: fine series that none has seen.
        south_first: whether the first row is the southernmost; pictures turn it round.
        axes: of each test series; none of simulated ones.
        mean: fine field that was taken from all steps, where anomalies are learnt.
    """

    name: str
    unit: str
    source: str
    coarse: Float32[Tensor, "long long_time row column"]
    fine: Float32[Tensor, "series time fine_row fine_column"]
    test: Float32[Tensor, "test test_time fine_row fine_column"]
    south_first: bool = False
    axes: tuple[FieldAxes, ...] = ()
    mean: Float32[Tensor, "fine_row fine_column"] | None = None


def fields_of(config: DownscalingConfig) -> DownscalingFields:
    """Draw, or read and cut, the fields that a configuration asks for.

    Raises:
        ConfigError: the field is unknown, its package is missing, or it is too small or too short
            for what is asked.
        DataError: the field cannot be read, or not be cut into whole coarse cells.
    """
    factor = config.networks.factor
    if config.source == SIMULATED:
        return _simulated(config.simulated, factor, seed=config.seed)
    return _real(config.source, config.real, factor, seed=config.seed)


def _simulated(section: SimulatedFieldSection, factor: int, *, seed: int) -> DownscalingFields:
    def drawn(series: int, steps: int, stream: str) -> Tensor:
        found = drifting_fields(
            lambda lag: torch.exp(-lag / section.scale_cells),
            size=section.size,
            steps=steps,
            series=series,
            persistence=section.persistence,
            drift_cells=section.drift_cells,
            generator=step_generator(seed, 0, f"downscaling {stream}"),
        )
        return found.to(torch.float32)

    return DownscalingFields(
        name="simulated field",
        unit="1",
        source=f"exponential covariance, scale {section.scale_cells:g} cells",
        coarse=coarsen(drawn(section.coarse_series, section.coarse_steps, "coarse"), factor),
        fine=drawn(section.fine_series, section.fine_steps, "fine"),
        test=drawn(section.test_series, section.test_steps, "test"),
    )


def _real(source: str, section: RealFieldSection, factor: int, *, seed: int) -> DownscalingFields:
    read = read_field(source)
    values = torch.from_numpy(read.values)
    latitude, longitude = read.latitude_deg, read.longitude_deg
    if section.window is not None:
        row, column, rows, columns = section.window
        values = values[:, row : row + rows, column : column + columns]
        latitude, longitude = latitude[row : row + rows], longitude[column : column + columns]
        if values.shape[1:] != (rows, columns):
            raise ConfigError(f"the window {section.window} reaches beyond {read.values.shape[1:]}")
    _refuse_gaps(values, read.name)
    # regions are cut from what there is; a field that is held out in time is used to its edges
    side = section.pool * (factor if section.hold_out == "time" else 1)
    _refuse_part_blocks(values, side, read.name)
    values = coarsen(values, section.pool)
    axes = FieldAxes(
        latitude_deg=latitude.reshape(-1, section.pool).mean(axis=1),
        longitude_deg=longitude.reshape(-1, section.pool).mean(axis=1),
        time_day=read.time_day,
    )
    told = {
        "name": read.name,
        "unit": read.unit,
        "source": read.source,
        "south_first": bool(read.latitude_deg[0] < read.latitude_deg[-1]),
    }
    if section.hold_out == "time":
        return DownscalingFields(**told, **_by_time(values, section, factor, axes))
    return DownscalingFields(**told, **_by_space(values, section, factor, (axes, seed)))


def _refuse_gaps(values: Tensor, name: str) -> None:
    missing = int((~torch.isfinite(values)).sum())
    if missing:
        raise DataError(
            f"{name}: {missing:,} of {values.numel():,} values are missing, which networks cannot "
            "learn from: choose a window without gaps (real.window), or fill them"
        )


def _refuse_part_blocks(values: Tensor, side: int, name: str) -> None:
    rows, columns = (int(size) for size in values.shape[1:])
    whole = [size // side * side for size in (rows, columns)]
    if whole != [rows, columns]:
        hint = f", such as real.window=[0, 0, {whole[0]}, {whole[1]}]" if min(whole) else ""
        raise DataError(
            f"{name}: {rows} by {columns} cells cannot be cut into blocks of {side} by {side}: "
            f"choose a window that can{hint}"
        )


def _by_time(
    values: Tensor, section: RealFieldSection, factor: int, axes: FieldAxes
) -> dict[str, Any]:
    last = len(values) - section.test_steps
    first = last - section.fine_steps
    if first < 0:
        raise ConfigError(
            f"{len(values)} steps are too few for {section.fine_steps} to learn from and "
            f"{section.test_steps} to test on"
        )
    mean = values[first:last].mean(dim=0) if section.anomalies else None
    if mean is not None:
        values = values - mean
    return {
        "coarse": coarsen(values[None, :last], factor),
        "fine": values[None, first:last],
        "test": values[None, last:],
        "axes": (replace(axes, time_day=axes.time_day[last:]),),
        "mean": mean,
    }


def _by_space(
    values: Tensor, section: RealFieldSection, factor: int, where: tuple[FieldAxes, int]
) -> dict[str, Any]:
    side, (axes, seed) = section.region_cells, where
    rows, columns = (size // side * side for size in values.shape[1:])
    blocks = values[:, :rows, :columns].unfold(1, side, side).unfold(2, side, side)
    regions = blocks.permute(1, 2, 0, 3, 4).flatten(0, 1)
    if len(regions) <= section.test_regions:
        raise ConfigError(
            f"a field of {len(regions)} regions of {side} cells a side leaves none to learn from "
            f"beside {section.test_regions} to test on"
        )
    order = torch.randperm(len(regions), generator=step_generator(seed, 0, "downscaling regions"))
    tested, rest = order[: section.test_regions], regions[order[section.test_regions :]]

    def axes_of(number: int) -> FieldAxes:
        row, column = (side * each for each in divmod(number, columns // side))
        return replace(
            axes,
            latitude_deg=axes.latitude_deg[row : row + side],
            longitude_deg=axes.longitude_deg[column : column + side],
        )

    return {
        "coarse": coarsen(rest, factor),
        "fine": rest,
        "test": regions[tested],
        "axes": tuple(axes_of(number) for number in tested.tolist()),
    }

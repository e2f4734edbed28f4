"""Fields to learn downscaling from and to test it on, simulated or real."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float32
from torch import Tensor

from geoloc.data.packaged_fields import read_field
from geoloc.downscaling import coarsen, drifting_fields
from geoloc.errors import ConfigError
from geoloc.experiment.downscaling_schema import (
    SIMULATED,
    DownscalingConfig,
    RealFieldSection,
    SimulatedFieldSection,
)
from geoloc.training.seeding import step_generator


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
    """

    name: str
    unit: str
    source: str
    coarse: Float32[Tensor, "long long_time row column"]
    fine: Float32[Tensor, "series time fine_row fine_column"]
    test: Float32[Tensor, "test test_time fine_row fine_column"]
    south_first: bool = False


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
    if section.window is not None:
        row, column, rows, columns = section.window
        values = values[:, row : row + rows, column : column + columns]
        if values.shape[1:] != (rows, columns):
            raise ConfigError(f"the window {section.window} reaches beyond {read.values.shape[1:]}")
    values = coarsen(values, section.pool)
    cut = _by_time if section.hold_out == "time" else _by_space
    coarse, fine, test = cut(values, section, factor, seed)
    return DownscalingFields(
        name=read.name,
        unit=read.unit,
        source=read.source,
        coarse=coarse,
        fine=fine,
        test=test,
        south_first=bool(read.latitude_deg[0] < read.latitude_deg[-1]),
    )


def _by_time(
    values: Tensor, section: RealFieldSection, factor: int, _: int
) -> tuple[Tensor, Tensor, Tensor]:
    last = len(values) - section.test_steps
    first = last - section.fine_steps
    if first < 0:
        raise ConfigError(
            f"{len(values)} steps are too few for {section.fine_steps} to learn from and "
            f"{section.test_steps} to test on"
        )
    if section.anomalies:
        values = values - values[first:last].mean(dim=0)
    return coarsen(values[None, :last], factor), values[None, first:last], values[None, last:]


def _by_space(
    values: Tensor, section: RealFieldSection, factor: int, seed: int
) -> tuple[Tensor, Tensor, Tensor]:
    side = section.region_cells
    rows, columns = (size // side * side for size in values.shape[1:])
    blocks = values[:, :rows, :columns].unfold(1, side, side).unfold(2, side, side)
    regions = blocks.permute(1, 2, 0, 3, 4).flatten(0, 1)
    if len(regions) <= section.test_regions:
        raise ConfigError(
            f"a field of {len(regions)} regions of {side} cells a side leaves none to learn from "
            f"beside {section.test_regions} to test on"
        )
    order = torch.randperm(len(regions), generator=step_generator(seed, 0, "downscaling regions"))
    test, rest = regions[order[: section.test_regions]], regions[order[section.test_regions :]]
    return coarsen(rest, factor), rest, test

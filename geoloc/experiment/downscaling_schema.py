"""The configuration of a downscaling: fields, networks, and what they are judged by."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoloc.experiment.schema import Count, CountOrZero, Positive, Section, Share

SIMULATED = "simulated"
_BELOW_ONE = Field(ge=0.0, lt=1.0)


class SimulatedFieldSection(Section):
    """Fields that drift, fade and are renewed, with an exponential covariance.

    `size`: cells on a side. `scale_cells`: of the covariance, which falls as exp(-lag / scale).
    `persistence`: correlation of a drifting value with itself a step later. `drift_cells`: rows and
    columns a step. The coarse series are others than the fine ones, and so are the test series.
    """

    size: Count = 64
    scale_cells: Positive = 12.0
    persistence: Annotated[float, _BELOW_ONE] = 0.95
    drift_cells: tuple[float, float] = (0.6, 1.1)
    coarse_series: Count = 16
    coarse_steps: Count = 128
    fine_series: Count = 8
    fine_steps: Count = 64
    test_series: Count = 1
    test_steps: Annotated[int, Field(ge=3)] = 40


class RealFieldSection(Section):
    """How a real field is cut.

    `window`: first row, first column, rows and columns that are used; null is the whole field.
    `pool`: cells along a side that are averaged first. `hold_out`: ``time`` tests on the last
    `test_steps`, has fine fields for the `fine_steps` before, and coarse ones for all before the
    test; ``space`` cuts the field into squares of `region_cells` and tests on `test_regions` of
    them, drawn at random. `anomalies`: whether the mean over the fine training steps is taken from
    every cell first (in ``time`` only).
    """

    window: tuple[CountOrZero, CountOrZero, Count, Count] | None = None
    pool: Count = 1
    hold_out: Literal["time", "space"] = "time"
    fine_steps: Count = 100
    test_steps: Annotated[int, Field(ge=3)] = 40
    region_cells: Count = 60
    test_regions: Count = 6
    anomalies: bool = False

    @model_validator(mode="after")
    def _agree(self) -> RealFieldSection:
        if self.anomalies and self.hold_out == "space":
            raise ValueError("the mean of regions that are held out is not known: anomalies: false")
        return self


class NetworksSection(Section):
    """`geoloc.downscaling.DownscalingSettings`, key by key; its page explains them."""

    factor: Count = 4
    lags: Count = 8
    encoder_width: Count = 16
    encoder_tile: Count = 16
    encoder_steps: Count = 600
    widths: tuple[Count, ...] = (24, 48)
    tile: Count = 32
    stride: Count = 16
    steps: Count = 900
    batch: Count = 8
    learning_rate: Positive = 2e-3
    sampling_steps: Count = 8
    forget: Share = 0.1
    blur: Annotated[float, Field(ge=0.0)] = 0.1
    conserve: bool = True


class JudgeSection(Section):
    """`members`: draws whose mean is judged beside one. `bins`, `pairs`: of semivariograms."""

    members: Count = 6
    bins: Count = 24
    pairs: Count = 30_000


class DownscalingConfig(Section):
    """`source`: ``simulated``, or a field as `geoloc.data.packaged_fields.read_field` names it."""

    name: str
    seed: int = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    source: str = SIMULATED
    simulated: SimulatedFieldSection = Field(default_factory=SimulatedFieldSection)
    real: RealFieldSection = Field(default_factory=RealFieldSection)
    networks: NetworksSection = Field(default_factory=NetworksSection)
    judge: JudgeSection = Field(default_factory=JudgeSection)

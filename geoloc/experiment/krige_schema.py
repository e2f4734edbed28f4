"""Every key of a run of `geoloc krige`, with its unit and its default."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoloc.experiment.schema import Count, CountOrZero, Positive, Section
from geoloc.experiment.sections import NotNegative

ModelName = Literal["nugget", "exponential", "spherical", "gaussian", "stable", "matern", "cubic"]


class SampledSection(Section):
    """Of a gridded field: where its stations stand, so that the truth elsewhere is known.

    `places` even by area on land between `south_deg` and `north_deg`; `stations` of them, drawn
    with `seed`, are known, all others are held out. `step`: which step of time, from 1; null for
    all.
    """

    places: Count = 2000
    stations: Count = 300
    south_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = -56.0
    north_deg: Annotated[float, Field(ge=-90.0, le=90.0)] = 72.0
    step: Count | None = None
    seed: CountOrZero = 0


class GivenSection(Section):
    """A model that is known, in place of a fit; formulas and ranges are those of R's gstat."""

    model: ModelName = "spherical"
    partial_sill: NotNegative
    scale: Positive
    nugget: NotNegative = 0.0
    shape: Positive | None = None


class CurveSection(Section):
    """The semivariogram, pooled over all steps of time, and its model.

    `models`: of several the best by AIC. `classes`: of lag, of about equal numbers of pairs.
    `max_lag`: in km, or the unit of the plane; null for half of the greatest lag. `nugget`:
    whether to fit one. `lag_metric`: what the model takes for lag on the sphere.
    """

    models: tuple[ModelName, ...] = ("nugget", "exponential", "spherical", "stable")
    classes: Annotated[int, Field(ge=3)] = 12
    max_lag: Positive | None = None
    nugget: bool = True
    lag_metric: Literal["chord", "great_circle"] = "chord"
    given: GivenSection | None = None


class MethodSection(Section):
    """How to krige: see `geoloc.geostatistics.KrigingMethod`.

    `mean`: null for ordinary kriging, a number for simple. `neighbours`: null for all stations.
    `fewest`: stations that a step of time needs.
    """

    mean: float | None = None
    neighbours: Count | None = None
    at_data: Literal["exact", "filtered"] = "exact"
    fewest: Count = 3


class ValidationSection(Section):
    """Cross-validation. `folds` of whole blocks with sides of `block`; 0 for none.

    `leave_one_out` keeps the variogram of all stations; each fold has one of its own, from the
    other folds. `block`: in km, or the unit of the plane; null for half of
    the longest lag of the semivariogram.
    """

    leave_one_out: bool = True
    folds: Annotated[int, Field(ge=0)] = 5
    block: Positive | None = None
    seed: CountOrZero = 0

    @model_validator(mode="after")
    def _several(self) -> ValidationSection:
        if self.folds == 1:
            raise ValueError("folds: two at least, or 0 for none")
        return self


class GridSection(Section):
    """A grid of targets: cells with sides of `step`, in degrees or the unit of the plane.

    From `south` to `north` and `west` to `east` (bottom, top, left, right in the plane); null is
    where the stations end, and a twentieth more. A box over the antimeridian has `west` above
    `east`. `step`: null for a hundredth of the longer side.
    """

    step: Positive | None = None
    south: float | None = None
    north: float | None = None
    west: float | None = None
    east: float | None = None


class KrigeConfig(Section):
    """Stations, how to krige them, how to check it, and where to.

    `source`: a table (.csv, .parquet), or a gridded field (`geoloc.data.packaged_fields`).
    `column`: the number of a table. `time`: its column of times. `name`, `unit`: what is measured,
    for the picture. `metric`: latitude and longitude, or x and y. `lag_unit`: of x and y.
    `repeated`: rows of one place and time are an error, or one with their mean. `targets`: a table
    of places; null for the grid. `write`: null for .npz of a grid, and what `targets` is of a
    table.
    """

    source: str
    column: str | None = None
    time: str | None = None
    name: str | None = None
    unit: str = ""
    metric: Literal["great_circle", "euclidean"] = "great_circle"
    lag_unit: Literal["km", "m", "pixel", "step"] = "km"
    repeated: Literal["error", "mean"] = "error"
    sampled: SampledSection = SampledSection()
    variogram: CurveSection = CurveSection()
    kriging: MethodSection = MethodSection()
    validation: ValidationSection = ValidationSection()
    grid: GridSection = GridSection()
    targets: Path | None = None
    write: Literal["npz", "csv", "parquet"] | None = None

    @model_validator(mode="after")
    def _agree(self) -> KrigeConfig:
        if not self.variogram.models:
            raise ValueError("variogram.models: name at least one")
        if self.metric == "great_circle" and self.lag_unit != "km":
            raise ValueError("lag_unit is of x and y (metric: euclidean); on the Earth it is km")
        if not self.sampled.south_deg < self.sampled.north_deg:
            raise ValueError("sampled.south_deg must be south of sampled.north_deg")
        return self

"""The configuration of `geoloc cluster`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoloc.experiment.schema import Count, CountOrZero, Positive, Section

NotNegative = Annotated[float, Field(ge=0.0)]


class WorldSection(Section):
    """A drawn world with a known answer (see `regime_world`), where no table is named.

    `kind`: a series of steps, places in a square of 100 x 100, or places on the sphere.
    """

    kind: Literal["time", "plane", "sphere"] = "time"
    count: Count = 1000
    regimes: Count = 5
    patches: Count = 10
    features: Count = 5
    mean_spread: NotNegative = 0.5
    seed: CountOrZero = 0


class TableSection(Section):
    """A CSV or Parquet file of observations, one a row.

    `features`: columns to cluster by. `places`: columns of the place: latitude and longitude in
    degrees for great circles, else one to three coordinates; none for the number of the row.
    `label`: a column of known labels; an empty cell, or none, for unknown. `standardise`: whether
    features are brought to mean 0 and variance 1.
    """

    path: Path
    features: tuple[str, ...] = Field(min_length=1)
    places: tuple[str, ...] = Field(default=(), max_length=3)
    label: str | None = None
    standardise: bool = True


class ClusteringSection(Section):
    """How clusters are made; see `geoloc.regions.ClusterSettings`."""

    metric: Literal["great_circle", "euclidean"] = "euclidean"
    unit: Literal["km", "m", "pixel", "day", "step"] = "step"
    neighbours: Annotated[int, Field(ge=2)] = 30
    sparsity: NotNegative = 0.01
    distance: Literal["embedding", "exact"] = "embedding"
    eps: Positive = 0.3
    min_samples: Count = 20
    weight: NotNegative = 0.5
    margin: float = 0.3
    lag_classes: Count = 50
    max_lag: Positive | None = None
    flat_share: Positive = 0.01
    compared: Annotated[int, Field(ge=2)] | None = None
    variogram_pairs: Count = 20_000_000
    seed: CountOrZero = 0


class TuningSection(Section):
    """Values to try, in every combination; `known` labels, drawn at random, choose among them.

    All other labels judge. `seed`: of the draw.
    """

    known: Annotated[int, Field(ge=2)] = 200
    seed: CountOrZero = 0
    eps: tuple[Positive, ...] = (0.2, 0.3, 0.4)
    weight: tuple[NotNegative, ...] = (0.5, 1.0)
    margin: tuple[float, ...] = (0.0, 0.2, 0.4, 0.6)
    min_samples: tuple[Count, ...] = (20,)

    @model_validator(mode="after")
    def _something_to_try(self) -> TuningSection:
        if not (self.eps and self.weight and self.margin and self.min_samples):
            raise ValueError("name at least one eps, weight, margin and min_samples to try")
        return self


class ClusterConfig(Section):
    """Metric-constrained clusters of the rows of a table, or of a drawn world.

    `table`: null for `world`. `tuning`: null takes `clustering` as it is.
    """

    name: str
    table: TableSection | None = None
    world: WorldSection = WorldSection()
    clustering: ClusteringSection = ClusteringSection()
    tuning: TuningSection | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"

    @model_validator(mode="after")
    def _lags_that_exist(self) -> ClusterConfig:
        sphere = self.clustering.metric == "great_circle"
        if sphere and self.clustering.unit not in ("km", "m"):
            raise ValueError("clustering.metric great_circle: clustering.unit is km or m")
        if self.table is None and sphere != (self.world.kind == "sphere"):
            raise ValueError("world.kind sphere goes with clustering.metric great_circle")
        if self.table is not None and sphere and len(self.table.places) != 2:
            raise ValueError("table.places: name the columns of latitude and longitude")
        if self.table is not None and self.tuning is not None and self.table.label is None:
            raise ValueError("tuning needs table.label, a column of known labels")
        return self

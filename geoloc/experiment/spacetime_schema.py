"""SpaceTimeConfig: which field, which stations, which model, and what it is compared with."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from geoloc.experiment.schema import Count, Positive, Section, Share
from geoloc.spacetime import Residuals, Trunk


class SimulatedSection(Section):
    """A simulated field on a square: maps times series; see `geoloc.spacetime.simulate_field`.

    `noise`: standard deviation of what is added; the field's own is 1. `persistence`: coefficient
    of the first and of the last series.
    """

    steps: Annotated[int, Field(ge=2)] = 1008
    bases: Count = 20
    width_km: Positive = 100.0
    scales_km: Annotated[tuple[Positive, ...], Field(min_length=1)] = (10.0, 17.0, 24.0, 30.0)
    persistence: tuple[Share, Share] = (0.5, 0.95)
    noise: Annotated[float, Field(ge=0.0)] = 0.1


class BasesSection(Section):
    """How many temporal bases are kept.

    `keep`: share keeps the fewest with `variance_share` of the variance, noise those that stand out
    of white noise, count keeps `components`.
    """

    keep: Literal["share", "noise", "count"] = "share"
    variance_share: Annotated[float, Field(gt=0.0, le=1.0)] = 0.95
    components: Count | None = None

    @model_validator(mode="after")
    def _no_idle_count(self) -> BasesSection:
        if (self.keep == "count") != (self.components is not None):
            raise ValueError("bases.components goes with keep: count, and keep: count needs it")
        return self


class SpaceTimeNetworkSection(Section):
    """The coefficient networks; `members` of them, each fitted without one part of the stations.

    `sigmas` and `frequencies`: of the trunks fourier and location_encoder; see
    `geoloc.spacetime.NetworkShape`.
    """

    trunk: Trunk = "dense"
    hidden: Annotated[tuple[Count, ...], Field(min_length=1)] = (100, 100, 100, 100, 100)
    sigmas: Annotated[tuple[Positive, ...], Field(min_length=1)] = (1.0,)
    frequencies: Count = 64
    epochs: Annotated[int, Field(ge=2)] = 300
    batch: Count = 128
    learning_rate: Positive = 5e-3
    patience: Count = 100
    members: Annotated[int, Field(ge=2)] = 3


class ResidualsSection(Section):
    """Kriging of what the networks leave, and the lags that all semivariograms are measured at.

    `max_lag_km`: null is half the greatest lag between stations.
    """

    kriged: Residuals = "steps"
    classes: Annotated[int, Field(ge=3)] = 25
    max_lag_km: Positive | None = None
    neighbours: Count | None = None


class SpaceTimeConfig(Section):
    """A space-time prediction and its rivals.

    `field`: what `geoloc.data.packaged_fields.read_field` takes, or a table of stations (.csv,
    .parquet) with columns latitude and longitude, a `column` of numbers in `unit` and one of times;
    stations and places to predict are cells, or rows' places, drawn at random. None simulates one.
    Missing values of stations are filled before anything else; those of places to predict are not
    judged. `altitude`: the mean altitude around each place is given to the networks, from pvlib's
    map. `stations`: with known series; `held_out`: places to predict, at most. `missing_share`: of
    the stations' values hidden besides, and filled from the others.
    """

    name: str
    field: str | None = None
    column: str = "value"
    time: str | None = "time"
    unit: str = "1"
    simulated: SimulatedSection = SimulatedSection()
    altitude: bool = False
    stations: Annotated[int, Field(ge=10)] = 3000
    held_out: Annotated[int, Field(ge=10)] = 1000
    missing_share: Annotated[float, Field(ge=0.0, le=0.9)] = 0.0
    bases: BasesSection = BasesSection()
    network: SpaceTimeNetworkSection = SpaceTimeNetworkSection()
    residuals: ResidualsSection = ResidualsSection()
    plain_rows: Count = 512
    seed: int = 0

    @model_validator(mode="after")
    def _altitude_is_of_the_earth(self) -> SpaceTimeConfig:
        if self.altitude and self.field is None:
            raise ValueError("altitude is known on the Earth: name a field, or set altitude: false")
        return self

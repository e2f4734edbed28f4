"""StationSeries: what stations measured, and what else is known of their places and days."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64

from geoloc.errors import DataError
from geoloc.geodesy import validate_latlon


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StationSeries:
    """Values of places at times, nan where nothing was measured, beside covariates.

    Attributes:
        name: of what is measured.
        unit: of the values.
        station: a name for each place.
        latlon_deg: of the places.
        time_day: of the steps, in days since a first of January; rising.
        value: measured; nan where it was not.
        covariate: what is known where no station is needed for it; nan where it is not known.
        covariates: their names.

    Raises:
        DataError: shapes differ, times do not rise, two places have one name, or a value stands
            where a covariate is missing.
        CoordinateError: a place is out of range.
    """

    name: str
    unit: str
    station: tuple[str, ...]
    latlon_deg: Float64[np.ndarray, "place 2"]
    time_day: Float64[np.ndarray, " time"]
    value: Float64[np.ndarray, "place time"]
    covariate: Float64[np.ndarray, "place time covariate"]
    covariates: tuple[str, ...]

    def __post_init__(self) -> None:
        shape = (len(self.station), len(self.time_day), len(self.covariates))
        if self.value.shape != shape[:2] or self.covariate.shape != shape:
            raise DataError(
                f"{self.name}: values {self.value.shape} and covariates {self.covariate.shape} for "
                f"{shape[0]} places, {shape[1]} times and {shape[2]} covariates"
            )
        if len(set(self.station)) < len(self.station):
            raise DataError(f"{self.name}: two places have one name")
        if bool(np.any(np.diff(self.time_day) <= 0)):
            raise DataError(f"{self.name}: its times do not rise")
        validate_latlon(self.latlon_deg)
        lacking = self.known & ~self.usable
        if bool(lacking.any()):
            place, time = (int(each) for each in np.argwhere(lacking)[0])
            which = int(np.flatnonzero(~np.isfinite(self.covariate[place, time]))[0])
            raise DataError(
                f"{self.name}: {self.covariates[which]} of {self.station[place]} is missing beside "
                "a value; fill it, or leave the value out"
            )

    @property
    def known(self) -> Bool[np.ndarray, "place time"]:
        """Where and when something was measured."""
        return np.isfinite(self.value)

    @property
    def usable(self) -> Bool[np.ndarray, "place time"]:
        """Where and when all covariates are known, so that an estimate can be made."""
        return np.asarray(np.isfinite(self.covariate).all(axis=2))

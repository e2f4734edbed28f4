"""Stations: places with what is known of them, and their series."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.errors import DataError
from geoloc.geodesy import validate_latlon
from geoloc.geostatistics.lags import Metric


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Sites:
    """Places where a field is asked for.

    Attributes:
        places: latitude and longitude in degrees, or coordinates on a plane.
        covariates: what else is known of each place, such as its altitude; may have no column.
        metric: ``great_circle`` or ``euclidean``.

    Raises:
        CoordinateError: a place on the Earth is out of range.
        DataError: a covariate is not finite, or there are not as many as places.
    """

    places: Float64[Tensor, "place 2"]
    covariates: Float64[Tensor, "_place covariate"]
    metric: Metric = "great_circle"

    def __post_init__(self) -> None:
        if self.metric == "great_circle":
            validate_latlon(self.places)
        if len(self.covariates) != len(self.places):
            raise DataError(f"{len(self.covariates)} covariates of {len(self.places)} places")
        if not bool(torch.isfinite(self.covariates).all()):
            raise DataError("a covariate is not finite: leave such places out")

    def __len__(self) -> int:
        return len(self.places)

    def at(self, rows: Int64[Tensor, " row"]) -> Sites:
        """Some of the places."""
        return Sites(places=self.places[rows], covariates=self.covariates[rows], metric=self.metric)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stations:
    """Sites with a series each.

    Attributes:
        sites: where they are.
        values: their series, at common times; finite.

    Raises:
        DataError: a value is not finite, or there are not as many series as sites.
    """

    sites: Sites
    values: Float64[Tensor, "place time"]

    def __post_init__(self) -> None:
        if len(self.values) != len(self.sites):
            raise DataError(f"{len(self.values)} series at {len(self.sites)} places")
        if not bool(torch.isfinite(self.values).all()):
            raise DataError("a series has gaps: fill them first (fill_gaps)")

    def __len__(self) -> int:
        return len(self.sites)

    def at(self, rows: Int64[Tensor, " row"]) -> Stations:
        """Some of the stations."""
        return Stations(sites=self.sites.at(rows), values=self.values[rows])

"""Stations and places to predict, of a gridded field or of a simulated one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.data.gridded_field import GriddedField
from geoloc.data.packaged_fields import read_field
from geoloc.errors import ConfigError
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.spacetime import Sites, Stations, fill_gaps, simulate_field

_AROUND_DEG = 0.75


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaceTimeData:
    """What is known, and what is to be found.

    Attributes:
        stations: with their series, gaps filled.
        held_out: places to predict, with the truth.
        signal: the truth there without noise, where it is known.
        name: of the field.
        unit: of its values.
        time_day: of the steps; their numbers for a simulated field.
        filled_by: patterns that filled the gaps; 0 where there were none.
        rmse_of_gaps: of the filled values; None where there were none.
    """

    stations: Stations
    held_out: Stations
    signal: Float64[Tensor, "place time"] | None
    name: str
    unit: str
    time_day: Float64[np.ndarray, " time"]
    filled_by: int = 0
    rmse_of_gaps: float | None = None


def space_time_data(config: SpaceTimeConfig) -> SpaceTimeData:
    """Read or simulate the field, and draw stations and places to predict.

    Raises:
        ConfigError: the field has too few cells, or its package is not installed.
        DataError: a file is missing or no field, or cells lack values.
    """
    whole, signal, told = _simulated(config) if config.field is None else _gridded(config)
    count = config.stations + config.held_out
    if config.stations >= len(whole):
        raise ConfigError(f"{config.stations} stations of {len(whole)} places: none is left over")
    order = torch.randperm(len(whole), generator=torch.Generator().manual_seed(config.seed))
    known, asked = order[: config.stations], order[config.stations : count]
    stations, hidden = whole.at(known), config.missing_share > 0
    filled_by, rmse = 0, None
    if hidden:
        truth, generator = stations.values, torch.Generator().manual_seed(config.seed + 1)
        gap = torch.rand(truth.shape, generator=generator) < config.missing_share
        found = fill_gaps(torch.where(gap, torch.nan, truth), seed=config.seed)
        rmse = float((found.values - truth)[gap].square().mean().sqrt())
        stations, filled_by = Stations(sites=stations.sites, values=found.values), found.components
    return SpaceTimeData(
        stations=stations,
        held_out=whole.at(asked),
        signal=None if signal is None else signal[asked],
        name=told.name,
        unit=told.unit,
        time_day=told.time_day,
        filled_by=filled_by,
        rmse_of_gaps=rmse,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a field is called."""

    name: str
    unit: str
    time_day: Float64[np.ndarray, " time"]


def _simulated(config: SpaceTimeConfig) -> tuple[Stations, Tensor, _Told]:
    wanted = config.simulated
    drawn = simulate_field(
        places=config.stations + config.held_out,
        steps=wanted.steps,
        bases=wanted.bases,
        width_km=wanted.width_km,
        scales_km=wanted.scales_km,
        persistence=wanted.persistence,
        noise=wanted.noise,
        seed=config.seed,
    )
    nothing = drawn.values.new_empty((len(drawn.values), 0))
    sites = Sites(places=drawn.places_km, covariates=nothing, metric="euclidean")
    told = _Told(name="simulated field", unit="1", time_day=np.arange(float(wanted.steps)))
    return Stations(sites=sites, values=drawn.values), drawn.signal, told


def _gridded(config: SpaceTimeConfig) -> tuple[Stations, None, _Told]:
    field = read_field(str(config.field))
    places = field.latlon_deg()
    covariates = np.empty((len(places), 0))
    if config.altitude:
        covariates = _mean_altitude_m(read_field("package:altitude"), places)[:, None]
    sites = Sites(places=torch.from_numpy(places), covariates=torch.from_numpy(covariates))
    series = torch.from_numpy(field.series().T.astype(np.float64))
    told = _Told(name=field.name, unit=field.unit, time_day=field.time_day)
    return Stations(sites=sites, values=series), None, told


def _mean_altitude_m(
    altitude: GriddedField, latlon_deg: Float64[np.ndarray, "place 2"]
) -> Float64[np.ndarray, " place"]:
    """The mean altitude of the square of 1.5 degrees around each place; 0 where the map has none.

    The map has no altitude at sea.
    """
    offset = np.linspace(-_AROUND_DEG, _AROUND_DEG, 9)
    around = np.stack(np.meshgrid(offset, offset, indexing="ij"), axis=-1).reshape(-1, 2)
    near = latlon_deg[:, None] + around
    near[..., 0] = near[..., 0].clip(-90.0, 90.0)
    near[..., 1] = (near[..., 1] + 180.0) % 360.0 - 180.0
    found = np.nan_to_num(altitude.at(near.reshape(-1, 2))[0]).reshape(near.shape[:2])
    return found.mean(axis=1, dtype=np.float64)

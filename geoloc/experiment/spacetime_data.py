"""Stations and places to predict, of a gridded field, of a table or of a simulated field."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float64
from torch import Tensor

from geoloc.data.gridded_field import GriddedField
from geoloc.data.packaged_fields import read_field
from geoloc.data.sample_table import is_table
from geoloc.data.table_series import read_table_series
from geoloc.data.table_values import TableColumns
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.spacetime_schema import SpaceTimeConfig
from geoloc.spacetime import Sites, Stations, fill_gaps, simulate_field

_AROUND_DEG = 0.75
_ALL_PLACES = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpaceTimeData:
    """What is known, and what is to be found.

    Attributes:
        stations: with their series, gaps filled.
        held_out: places to predict, with the truth; straight lines where none was measured.
        measured: where and when there is a truth to be judged by.
        signal: the truth there without noise, where it is known.
        name: of the field.
        unit: of its values.
        time_day: of the steps; their numbers for a simulated field.
        dated: whether `time_day` counts from 1970.
        missing: share of the stations' values that were filled.
        filled_by: patterns that filled the gaps; 0 where there were none.
        rmse_of_gaps: of the filled values where they are known, else of known values held out;
            None where there were none.
    """

    stations: Stations
    held_out: Stations
    measured: Bool[Tensor, "place time"]
    signal: Float64[Tensor, "place time"] | None
    name: str
    unit: str
    time_day: Float64[np.ndarray, " time"]
    dated: bool = False
    missing: float = 0.0
    filled_by: int = 0
    rmse_of_gaps: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Whole:
    """A field at all of its places; nan is missing."""

    sites: Sites
    values: Float64[Tensor, "place time"]
    name: str
    unit: str
    time_day: Float64[np.ndarray, " time"]
    dated: bool = False
    signal: Float64[Tensor, "place time"] | None = None


def space_time_data(config: SpaceTimeConfig) -> SpaceTimeData:
    """Read or simulate the field, and draw stations and places to predict.

    Places without a value are passed over, and steps at which no station has one.

    Raises:
        ConfigError: the field has too few places, or its package is not installed.
        DataError: a file is missing or no field, or the stations have too few values to fill gaps.
    """
    whole = _read(config)
    some = torch.nonzero(torch.isfinite(whole.values).any(dim=1))[:, 0]
    if config.stations >= len(some):
        raise ConfigError(f"{config.stations} stations of {len(some)} places: none is left over")
    drawn = torch.randperm(len(some), generator=torch.Generator().manual_seed(config.seed))
    order = some[drawn]
    known, asked = order[: config.stations], order[config.stations :]
    step = torch.isfinite(whole.values[known]).any(dim=0)
    asked = asked[torch.isfinite(whole.values[asked][:, step]).any(dim=1)][: config.held_out]
    if not len(asked):
        raise DataError(f"{whole.name}: the places left over have no value when a station has one")
    truth = whole.values[asked][:, step]
    filled, gaps = _filled(whole.values[known][:, step], config)
    return SpaceTimeData(
        stations=Stations(sites=whole.sites.at(known), values=filled),
        held_out=Stations(sites=whole.sites.at(asked), values=_lines(truth)),
        measured=torch.isfinite(truth),
        signal=None if whole.signal is None else whole.signal[asked],
        name=whole.name,
        unit=whole.unit,
        time_day=whole.time_day[step.numpy()],
        dated=whole.dated,
        missing=gaps[0],
        filled_by=gaps[1],
        rmse_of_gaps=gaps[2],
    )


def sites_at(latlon_deg: Float64[np.ndarray, "place 2"], *, altitude: bool) -> Sites:
    """Places on the Earth as a model takes them.

    Args:
        latlon_deg: in degrees.
        altitude: whether the mean altitude around each is a covariate.

    Raises:
        ConfigError: altitude is wanted, and its package is not installed.
        CoordinateError: a place is out of range.
    """
    covariates = np.empty((len(latlon_deg), 0))
    if altitude:
        covariates = _mean_altitude_m(read_field("package:altitude"), latlon_deg)[:, None]
    return Sites(places=torch.from_numpy(latlon_deg), covariates=torch.from_numpy(covariates))


def _filled(
    series: Tensor, config: SpaceTimeConfig
) -> tuple[Tensor, tuple[float, int, float | None]]:
    """Series without gaps; the share that was missing, patterns that filled it, and their RMSE."""
    generator = torch.Generator().manual_seed(config.seed + 1)
    hidden = torch.rand(series.shape, generator=generator) < config.missing_share
    gap = hidden | ~torch.isfinite(series)
    if not bool(gap.any()):
        return series, (0.0, 0, None)
    found = fill_gaps(torch.where(gap, torch.nan, series), seed=config.seed)
    known = hidden & torch.isfinite(series)
    rmse = found.rmse[found.components - 1]
    if bool(known.any()):
        rmse = float((found.values - series)[known].square().mean().sqrt())
    return found.values, (float(gap.double().mean()), found.components, rmse)


def _lines(series: Tensor) -> Tensor:
    """Series with straight lines over their gaps."""
    whole, step = series.numpy().copy(), np.arange(series.shape[1])
    for row in whole:
        known = np.isfinite(row)
        row[~known] = np.interp(step[~known], step[known], row[known])
    return torch.from_numpy(whole)


def _read(config: SpaceTimeConfig) -> _Whole:
    if config.field is None:
        return _simulated(config)
    return _tabular(config) if is_table(config.field) else _gridded(config)


def _simulated(config: SpaceTimeConfig) -> _Whole:
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
    return _Whole(
        sites=Sites(places=drawn.places_km, covariates=nothing, metric="euclidean"),
        values=drawn.values,
        signal=drawn.signal,
        name="simulated field",
        unit="1",
        time_day=np.arange(float(wanted.steps)),
    )


def _gridded(config: SpaceTimeConfig) -> _Whole:
    field = read_field(str(config.field))
    return _Whole(
        sites=sites_at(field.latlon_deg(), altitude=config.altitude),
        values=torch.from_numpy(field.series().T.astype(np.float64)),
        name=field.name,
        unit=field.unit,
        time_day=field.time_day,
    )


def _tabular(config: SpaceTimeConfig) -> _Whole:
    path = Path(str(config.field))
    columns = TableColumns(value=config.column, time=config.time)
    series = read_table_series(path, columns, most_places=_ALL_PLACES)
    if series.latlon_deg is None:
        raise DataError(f"{path} has no columns latitude and longitude: stations have a place")
    return _Whole(
        sites=sites_at(series.latlon_deg, altitude=config.altitude),
        values=torch.from_numpy(np.ascontiguousarray(series.values.T)),
        name=path.stem,
        unit=config.unit,
        time_day=series.time,
        dated=series.dated,
    )


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

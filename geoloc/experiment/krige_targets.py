"""Where to krige to: the cells of a grid, or the places of a table."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.data.sample_table import is_table, read_cells
from geoloc.data.table_values import table_numbers, table_places, table_times
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.krige_data import KrigeData
from geoloc.experiment.krige_schema import KrigeConfig
from geoloc.geodesy import longitude_span_deg, wrap_longitude_deg

_CELLS = 100
_AIR = 0.05
_MOST_VALUES = 20_000_000
_WHOLE_DEG = 300.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Targets:
    """Where to krige to.

    Attributes:
        places: of all targets; of a grid row by row, from south to north.
        axes: of a grid: latitudes and longitudes of its cells, or y and x.
        table: of places: the pyarrow table that they stand in.
        step: of a table with times: which step each row is of, -1 for one that no station has.
        truth: of a table that has the number itself: to compare with; nan is missing.
    """

    places: Float64[np.ndarray, "target axis"]
    axes: tuple[Float64[np.ndarray, " row"], Float64[np.ndarray, " column"]] | None = None
    table: Any = None
    step: Int64[np.ndarray, " target"] | None = None
    truth: Float64[np.ndarray, " target"] | None = None

    def __len__(self) -> int:
        return len(self.places)


def find_targets(config: KrigeConfig, data: KrigeData) -> Targets:
    """The targets of a configuration.

    Raises:
        ConfigError: a grid of that kind cannot be, or there are too many targets.
        CoordinateError: a place is out of range.
        DataError: the table cannot be read, or a row has no place.
    """
    if config.targets is None:
        return _grid(config, data)
    found = _of_table(config, data)
    _refuse_many(len(found), data)
    return found


def _refuse_many(count: int, data: KrigeData) -> None:
    steps = data.stations.value.shape[1]
    if count * steps > _MOST_VALUES:
        raise ConfigError(
            f"{count:,} targets at {steps:,} times are more than {_MOST_VALUES:,} values: "
            "make grid.step longer, or ask for fewer places or times"
        )


def _of_table(config: KrigeConfig, data: KrigeData) -> Targets:
    path, plane = config.targets, config.metric == "euclidean"
    assert path is not None
    if not is_table(path) or not path.is_file():
        raise DataError(f"targets {path}: there is no such table (.csv, .parquet)")
    table = read_cells(path)
    places = table_places(table, path, plane=plane, number=config.column)
    if places is None or not len(places):
        wanted = "x and y" if plane else "latitude and longitude"
        raise DataError(f"targets {path}: no columns {wanted}, or no rows")
    if places.shape[1] != data.stations.places.shape[1]:
        raise DataError(f"targets {path}: z stands in one of stations and targets, not in both")
    bad = np.flatnonzero(~np.isfinite(places).all(axis=1))
    if len(bad):
        raise DataError(f"targets {path}, row {int(bad[0]) + 1}: no place: leave such rows out")
    names, step, truth = [str(name) for name in table.column_names], None, None
    if config.time in names and data.time is not None:
        time, dated = table_times(table, config.time, path)
        assert time is not None
        if dated != data.dated:
            raise DataError(f"targets {path}: {config.time} is of another kind than the stations'")
        at = np.searchsorted(data.time, time).clip(max=len(data.time) - 1)
        step = np.where(data.time[at] == time, at, -1).astype(np.int64)
    if config.column in names and (step is not None or data.time is None):
        truth = table_numbers(table, str(config.column), path)
    return Targets(places=places, table=table, step=step, truth=truth)


def _grid(config: KrigeConfig, data: KrigeData) -> Targets:
    sphere, asked = config.metric == "great_circle", config.grid
    if data.stations.places.shape[1] != 2:
        raise ConfigError("a grid is of the plane: with x, y and z name a table of targets")
    low, high = _extent(data.stations.places, sphere=sphere)
    air = _AIR * (high - low)
    south, north = low[0] - air[0], high[0] + air[0]
    west, east = low[1] - air[1], high[1] + air[1]
    if sphere:
        south, north = max(south, -90.0), min(north, 90.0)
        if east - west > _WHOLE_DEG:
            west, east = -180.0, 180.0
    south = south if asked.south is None else asked.south
    north = north if asked.north is None else asked.north
    west = west if asked.west is None else asked.west
    east = east if asked.east is None else asked.east
    if sphere and not (south >= -90.0 and north <= 90.0):
        raise ConfigError(f"grid: latitudes {south:g} to {north:g} are beyond a pole")
    if sphere and east <= west:
        east += 360.0
    if not (south < north and west < east) or (sphere and east - west > 360.0):
        raise ConfigError(
            f"grid: nothing lies between south {south:g} and north {north:g}, west {west:g} and "
            f"east {east:g}: name all four"
        )
    step = asked.step or max(north - south, east - west) / _CELLS
    rows, columns = _middles(south, north, step), _middles(west, east, step)
    # before anything of that size is held
    _refuse_many(len(rows) * len(columns), data)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    if sphere:
        places = np.stack([y.ravel(), wrap_longitude_deg(x.ravel())], axis=1)
    else:
        places = np.stack([x.ravel(), y.ravel()], axis=1)
    return Targets(places=places, axes=(rows, columns))


def _middles(first: float, last: float, step: float) -> Float64[np.ndarray, " cell"]:
    """Middles of cells from one end, as many as have them before the other."""
    count = (last - first) / step
    if count > _MOST_VALUES:
        raise ConfigError(f"grid.step {step:g}: {count:,.0f} cells in a row: make it longer")
    return first + (np.arange(max(1, math.floor(count + 0.5 - 1e-9))) + 0.5) * step


def _extent(places: np.ndarray, *, sphere: bool) -> tuple[np.ndarray, np.ndarray]:
    """South-west and north-east (of the plane: bottom-left, top-right), with east above west."""
    if not sphere:
        return places.min(axis=0)[::-1], places.max(axis=0)[::-1]
    west, east = longitude_span_deg(places[:, 1])
    south, north = places[:, 0].min(), places[:, 0].max()
    return np.array([south, west]), np.array([north, east])

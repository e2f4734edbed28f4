"""PlacedSeries: numbers at places, or nowhere in particular, at one time or many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from geoloc.data.gridded_field import GriddedField
from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import validate_latlon, wrap_longitude_deg

_UNEVEN = 0.2
"""Steps of time may differ by this share: months are of 28 to 31 days."""
_CANDIDATES = 20
_MOST_VALUES = 30_000_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacedSeries:
    """Series of a number, one a place.

    Attributes:
        name: what it is.
        unit: of the values; empty where it is not known.
        values: nan is missing.
        latlon_deg: the places, all different; None for a series of no place.
        time: of the steps, rising: days of a field or since 1970 of dates, or plain numbers.
        dated: whether `time` is in days.
        notes: what was done to get them, in sentences.

    Raises:
        DataError: axes do not fit the values, times do not rise, or a value is infinite.
        CoordinateError: a place is out of range.
    """

    name: str
    unit: str
    values: Float64[np.ndarray, "time place"]
    latlon_deg: Float64[np.ndarray, "place 2"] | None
    time: Float64[np.ndarray, " _time"]
    dated: bool
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        places = 1 if self.latlon_deg is None else len(self.latlon_deg)
        if self.values.shape != (len(self.time), places):
            axes = f"{len(self.time)} times, {places} places"
            raise DataError(f"{self.name}: values {self.values.shape} at {axes}")
        if not bool(np.all(np.diff(self.time) > 0)):
            raise DataError(f"{self.name}: its times do not rise")
        if bool(np.isinf(self.values).any()):
            raise DataError(f"{self.name}: a value is infinite: write such values as missing")
        if self.latlon_deg is not None:
            validate_latlon(self.latlon_deg)

    @property
    def even(self) -> bool:
        """Whether steps of time are of one length, but for a fifth (as months are)."""
        step = np.diff(self.time)
        middle = np.median(step) if len(step) else 0.0
        return bool(np.all(np.abs(step - middle) <= _UNEVEN * middle))

    @property
    def step(self) -> float:
        """Median step of time; 0 where there is one time."""
        return float(np.median(np.diff(self.time))) if len(self.time) > 1 else 0.0


def with_gaps(series: PlacedSeries) -> PlacedSeries:
    """The series with missing steps put in, where its times are even but for these.

    Unchanged where they are even already, or leave no step to be seen: with steps that are no
    whole multiple of the commonest, or more gaps than values.
    """
    if series.even or len(series.time) < 3:
        return series
    # from one value to the next, so that months, which are not of one length, do not add up
    stride = np.diff(series.time) / series.step
    whole = np.rint(stride)
    at = np.concatenate([[0], np.cumsum(whole)]).astype(np.int64)
    longer = int(at[-1]) + 1
    odd = (whole < 1) | (np.abs(stride - whole) > _UNEVEN)
    if bool(odd.any()) or longer > 2 * len(at):
        return series
    values = np.full((longer, series.values.shape[1]), np.nan)
    values[at] = series.values
    added = longer - len(at)
    return PlacedSeries(
        name=series.name,
        unit=series.unit,
        values=values,
        latlon_deg=series.latlon_deg,
        time=series.time[0] + series.step * np.arange(longer),
        dated=series.dated,
        notes=(*series.notes, f"{added:,} missing steps of time put in, without values"),
    )


def sample_field(field: GriddedField, count: int, *, seed: int) -> PlacedSeries:
    """A field at some of its cells, drawn evenly over its area, or at all of a small one.

    The draw depends on the grid and the seed alone, so that fields on one grid are looked at in
    the same places; cells that have no value at any time are passed over.

    Args:
        field: to look at.
        count: cells wanted; fewer of a field with many steps, so that thirty million values are
            held at most.
        seed: of the draw.

    Raises:
        ConfigError: `count` is below 1.
        DataError: the field has no values at all.
    """
    if count < 1:
        raise ConfigError(f"{count} places: one at least is looked at")
    steps, rows, columns = field.values.shape
    count = max(1, min(count, _MOST_VALUES // steps))
    drawn = rows * columns > count
    if drawn:
        row, column = _drawn_cells(field.latitude_deg, columns, count, seed=seed)
    else:
        row, column = (each.ravel() for each in np.indices((rows, columns)))
    chosen, values = _with_values(field.values, row, column, count)
    row, column = row[chosen], column[chosen]
    how = f"drawn evenly over its area with seed {seed}" if drawn else "all that have values"
    places = [field.latitude_deg[row], wrap_longitude_deg(field.longitude_deg[column])]
    return PlacedSeries(
        name=field.name,
        unit=field.unit,
        values=values,
        latlon_deg=np.stack(places, axis=-1),
        time=field.time_day,
        dated=True,
        notes=(f"{len(row):,} of {rows * columns:,} cells, {how}",),
    )


def _drawn_cells(
    latitude_deg: np.ndarray, columns: int, count: int, *, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cells in the order of their drawing, more than are wanted, none twice."""
    chance = np.random.default_rng(seed)
    # a row of cells is the narrower, the nearer it is to a pole
    weight = np.cos(np.radians(latitude_deg)).clip(min=0.0)
    row = chance.choice(len(latitude_deg), size=_CANDIDATES * count, p=weight / weight.sum())
    cell = row * columns + chance.integers(columns, size=len(row))
    cell = cell[np.sort(np.unique(cell, return_index=True)[1])]
    return cell // columns, cell % columns


def _with_values(
    values: np.ndarray, row: np.ndarray, column: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The first cells that have a value at some time, and their values (time, place)."""
    chosen: list[np.ndarray] = []
    parts: list[np.ndarray] = []
    left = count
    for start in range(0, len(row), count):
        block = slice(start, start + count)
        part = values[:, row[block], column[block]]
        known = np.flatnonzero(~np.isnan(part).all(axis=0))[:left]
        chosen.append(start + known)
        parts.append(part[:, known].astype(np.float64))
        left -= len(known)
        if not left:
            break
    if left == count:
        raise DataError("the field has no values, or so few that none were drawn")
    return np.concatenate(chosen), np.concatenate(parts, axis=1)

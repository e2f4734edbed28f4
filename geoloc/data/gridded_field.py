"""GriddedField: a number on a grid of latitudes and longitudes, at one time or many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64

from geoloc.errors import DataError
from geoloc.geodesy import validate_latlon, wrap_longitude_deg

_UNEVEN = 0.01
"""Steps of an axis may differ by this share: files round their degrees."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GriddedField:
    """A field over the Earth, or a part of it.

    Attributes:
        name: what it is, such as ``air temperature``.
        unit: of the values, such as ``K``.
        values: nan is missing.
        latitude_deg: of the rows; evenly spaced, rising or falling. A single row is a degree high.
        longitude_deg: of the columns; evenly spaced, rising. A single column is a degree wide.
        time_day: of the steps, in days since the first; rising.
        source: where it comes from and under which licence.

    Raises:
        DataError: the axes do not fit the values, or are not in order or not even.
        CoordinateError: a place is out of range.
    """

    name: str
    unit: str
    values: Float32[np.ndarray, "time row column"]
    latitude_deg: Float64[np.ndarray, " _row"]
    longitude_deg: Float64[np.ndarray, " _column"]
    time_day: Float64[np.ndarray, " _time"]
    source: str

    def __post_init__(self) -> None:
        axes = (self.time_day, self.latitude_deg, self.longitude_deg)
        lengths = tuple(len(axis) for axis in axes)
        if self.values.shape != lengths:
            raise DataError(f"{self.name}: values {self.values.shape} on axes of {lengths}")
        if not self.values.size:
            raise DataError(f"{self.name}: the field has no values")
        # a nan, which compares with nothing, is not above 0 either
        if not bool(np.all(np.diff(self.time_day) > 0)):
            raise DataError(f"{self.name}: its times do not rise")
        for what, axis in (("latitudes", self.latitude_deg), ("longitudes", self.longitude_deg)):
            step = np.diff(axis)
            falling = what == "latitudes" and len(step) > 0 and step[0] < 0
            if not bool(np.all((-step if falling else step) > 0)):
                raise DataError(f"{self.name}: its {what} are not in order")
            if not bool(np.allclose(step, step.mean() if len(step) else 0.0, rtol=_UNEVEN)):
                raise DataError(f"{self.name}: its {what} are not evenly spaced")
        # the outermost rows and columns: a large field has millions of places
        columns = wrap_longitude_deg(self.longitude_deg[[0, -1]])
        validate_latlon(np.stack([self.latitude_deg[[0, -1]], columns], axis=-1))

    def latlon_deg(self) -> Float64[np.ndarray, "place 2"]:
        """The place of each cell's middle, row by row; longitudes in [-180, 180)."""
        rows, columns = np.meshgrid(self.latitude_deg, self.longitude_deg, indexing="ij")
        wrapped = wrap_longitude_deg(columns)
        return np.stack([rows.ravel(), wrapped.ravel()], axis=-1)

    def series(self) -> Float32[np.ndarray, "time place"]:
        """The values, a column for each of `latlon_deg`."""
        return self.values.reshape(len(self.values), -1)

    def at(self, latlon_deg: Float64[np.ndarray, "place 2"]) -> Float32[np.ndarray, "time place"]:
        """The values of the cells that places lie in.

        Args:
            latlon_deg: places in degrees.

        Raises:
            CoordinateError: a place is out of range or not finite.
            DataError: a place lies outside the field's cells.
        """
        row, column = self._cells(latlon_deg)
        outside = (row < 0) | (column < 0)
        if bool(outside.any()):
            where = latlon_deg[int(np.flatnonzero(outside)[0])]
            raise DataError(f"{self.name}: place {where.tolist()} lies outside the field")
        return self.values[:, row, column]

    def covers(self, latlon_deg: Float64[np.ndarray, "place 2"]) -> Bool[np.ndarray, " place"]:
        """Which places lie in a cell of the field, be there a value or not.

        Raises:
            CoordinateError: a place is out of range or not finite.
        """
        row, column = self._cells(latlon_deg)
        return (row >= 0) & (column >= 0)

    def _cells(
        self, latlon_deg: Float64[np.ndarray, "place 2"]
    ) -> tuple[Int64[np.ndarray, " place"], Int64[np.ndarray, " place"]]:
        """Row and column of the cell that each place lies in; -1 outside."""
        validate_latlon(latlon_deg)
        row = _cell(self.latitude_deg, latlon_deg[:, 0])
        west = self.longitude_deg[0] - _half_step(self.longitude_deg)
        # the same meridian may be written 350 or -10
        return row, _cell(self.longitude_deg, (latlon_deg[:, 1] - west) % 360.0 + west)


def _half_step(axis: np.ndarray) -> float:
    return float(axis[1] - axis[0]) / 2.0 if len(axis) > 1 else 0.5


def _cell(axis: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The number of the cell that each value lies in; -1 outside."""
    half = _half_step(axis)
    step = (float(axis[-1]) - float(axis[0])) / max(len(axis) - 1, 1) or 2.0 * half
    found = np.floor((wanted - (axis[0] - half)) / step).astype(np.int64)
    # both outer edges belong to the field, whatever rounding makes of them: a pole, say
    found = np.where(np.isclose(wanted, axis[0] - half), 0, found)
    found = np.where(np.isclose(wanted, axis[-1] + half), len(axis) - 1, found)
    return np.where((found < 0) | (found >= len(axis)), -1, found)

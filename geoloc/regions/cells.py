"""Cells of a grid over the sphere: their centres on land, and which cells hold given places."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias, assert_never

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.errors import ConfigError
from geoloc.geodesy import latlon_from_unit_vectors, unit_vectors, validate_latlon
from geoloc.places import Areas
from geoloc.regions import h3_cells, s2_cells

Grid: TypeAlias = Literal["h3", "s2"]

MOST_CELLS = 15_000_000
"""A grid of more cells is not listed whole; only its cells with places in them are."""


def land_cell_centres(grid: Grid, level: int) -> Float64[np.ndarray, "cell 2"]:
    """The centres of all cells of a grid whose centre lies on land, in the order of their numbers.

    A cell whose centre is at sea is left out, whatever land it holds: islands smaller than a cell
    are reached by `cells_of` of places on them.

    Args:
        grid: ``h3`` (hexagons) or ``s2`` (quadrilaterals).
        level: H3's resolution, 0 to 15, or S2's level, 0 to 30.

    Raises:
        ConfigError: there is no such level, it has more than `MOST_CELLS` cells, or the library of
            the grid is not installed.
    """
    count = cell_count(grid, level)
    if count > MOST_CELLS:
        raise ConfigError(
            f"{grid}:{level} has {count:,} cells: take those that hold places, {grid}:{level}:"
            "SOURCE, or a coarser grid"
        )
    areas = Areas.load()
    return np.concatenate([part[areas.is_land(part)] for part in _centre_parts(grid, level)])


def cells_of(
    latlon_deg: Float64[np.ndarray, "place 2"], grid: Grid, level: int
) -> tuple[Int64[np.ndarray, " place"], Float64[np.ndarray, "cell 2"]]:
    """The cells that hold places: which of them each place lies in, and their centres.

    Cells are in the order of their numbers in the grid.

    Raises:
        ConfigError: there is no such level, or the library of the grid is not installed.
        CoordinateError: a place is not finite or out of range.
    """
    cell_count(grid, level)
    validate_latlon(latlon_deg)
    match grid:
        case "h3":
            cell, centre = h3_cells.cell_numbers(latlon_deg, level), h3_cells.cell_centres
        case "s2":
            cell, centre = s2_cells.cell_numbers(latlon_deg, level), s2_cells.cell_centres
        case _:
            assert_never(grid)
    occupied, inverse = np.unique(cell, return_inverse=True)
    return inverse.reshape(-1).astype(np.int64), centre(occupied)


def cell_count(grid: Grid, level: int) -> int:
    """How many cells a grid has in all.

    Raises:
        ConfigError: there is no such level.
    """
    deepest = {"h3": 15, "s2": 30}[grid]
    if not 0 <= level <= deepest:
        raise ConfigError(f"{grid}:{level}: the levels of {grid} are 0 to {deepest}")
    return 2 + 120 * 7**level if grid == "h3" else 6 * 4**level


def mean_places(
    latlon_deg: Float64[np.ndarray, "place 2"], number: Int64[np.ndarray, " place"]
) -> Float64[np.ndarray, "cell 2"]:
    """The mean place of each cell on the sphere: the direction of its places' mean unit vector.

    Args:
        latlon_deg: places.
        number: of each place's cell, from 0, every number up to the greatest in use.
    """
    xyz = unit_vectors(latlon_deg)
    mean = np.stack([np.bincount(number, weights=axis) for axis in xyz.T], axis=1)
    return latlon_from_unit_vectors(mean)


def _centre_parts(grid: Grid, level: int) -> Iterator[Float64[np.ndarray, "_ 2"]]:
    return h3_cells.centre_parts(level) if grid == "h3" else s2_cells.centre_parts(level)

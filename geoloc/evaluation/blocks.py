"""Blocks: the Earth's surface cut into cells of equal size, the units that a bootstrap draws."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.geodesy import EARTH_RADIUS_KM, latlon_from_unit_vectors, unit_vectors

BLOCK_KM = 500.0


def spatial_blocks(
    latlon_deg: Float64[np.ndarray, "row 2"], *, block_km: float = BLOCK_KM
) -> Int64[np.ndarray, " row"]:
    """The block of each place in a grid of cells of about block_km by block_km.

    Bands of equal latitude, each cut into as many cells as make their width at its middle nearest
    to the height, so that cells are of nearly equal area from the equator to the poles.

    Raises:
        ValueError: block_km is not positive.
    """
    if not block_km > 0:
        raise ValueError(f"block_km must be positive, not {block_km}")
    bands = max(1, round(np.pi * EARTH_RADIUS_KM / block_km))
    middle = np.deg2rad((np.arange(bands) + 0.5) * 180.0 / bands - 90.0)
    around = 2.0 * np.pi * EARTH_RADIUS_KM * np.cos(middle) / block_km
    cells = np.maximum(1, np.rint(around)).astype(np.int64)
    first = np.concatenate([[0], np.cumsum(cells)[:-1]])
    band = np.minimum(((latlon_deg[:, 0] + 90.0) / 180.0 * bands).astype(np.int64), bands - 1)
    turn = np.mod(latlon_deg[:, 1] + 180.0, 360.0) / 360.0
    cell = np.minimum((turn * cells[band]).astype(np.int64), cells[band] - 1)
    return first[band] + cell


def turned_blocks(
    latlon_deg: Float64[np.ndarray, "row 2"], *, block_km: float, turns: int
) -> list[Int64[np.ndarray, " row"]]:
    """The block of each place, numbered from 0, in grids that lie differently on the Earth.

    The first is `spatial_blocks`; each other one belongs to the places turned about the centre of
    the Earth at random, always the same turns.

    Raises:
        ValueError: block_km is not positive.
    """
    from scipy.spatial.transform import Rotation

    position = unit_vectors(latlon_deg)
    grids = [latlon_deg]
    for turn in range(1, turns):
        rotation = Rotation.random(None, np.random.default_rng(turn)).as_matrix()
        grids.append(latlon_from_unit_vectors(position @ rotation.T))
    blocks = [spatial_blocks(grid, block_km=block_km) for grid in grids]
    return [np.unique(block, return_inverse=True)[1] for block in blocks]

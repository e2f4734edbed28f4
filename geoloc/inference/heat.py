"""Heat of a posterior over the globe: its mass in cells of latitude and longitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.geodesy import EARTH_RADIUS_KM
from geoloc.inference.answers import Heat
from geoloc.inference.coarseness import cells_of, columns_at
from geoloc.inference.resolution import median_spacing_km

_SIDES_DEG = (0.5, 1.0, 2.0, 3.0, 5.0)
_COARSE_SIDES_DEG = (*_SIDES_DEG, 9.0, 18.0)
_FAINTEST = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatGrid:
    """The block of cells of each place of a gallery.

    Attributes:
        cell_deg: side of the cells.
        corner_deg: southern and western edge of each block that holds a place.
        width: how many cells each block has, side by side; its mass is theirs in equal parts.
        cell: block of each place.
        coarse_km: see `of`.
    """

    cell_deg: float
    corner_deg: Float64[np.ndarray, "block 2"]
    width: Int64[np.ndarray, " block"]
    cell: Int64[Tensor, " place"]
    coarse_km: float = 0.0

    @classmethod
    def of(cls, latlon_deg: Float64[np.ndarray, "place 2"], coarse_km: float = 0.0) -> HeatGrid:
        """Cells about as wide as the places lie apart, so that a gallery shows no gaps.

        The least of 0.5, 1, 2, 3 and 5 degrees that is not below twice `median_spacing_km`, each a
        block of its own.

        With `coarse_km`, each place counts at the centre of its cell (`cell_of`), so that heat
        tells nothing about where in its cell a place lies; and blocks are at least that tall and,
        along both their parallels, wide: cells have the least of those sides or 9 or 18 degrees,
        blocks as many of them as it takes, up to a whole ring around a pole.

        Args:
            latlon_deg: of the gallery.
            coarse_km: at most 2,000 km.
        """
        side = _side_deg(latlon_deg, coarse_km)
        places_deg = cells_of(latlon_deg, coarse_km) if coarse_km > 0.0 else latlon_deg
        # 90 N and 180 E belong to the last cells, not to new ones beyond them.
        corner_of_all = np.array([-90.0, -180.0])
        inside = np.minimum(places_deg, -corner_of_all - side / 2)
        row, column = np.floor((inside - corner_of_all) / side).T
        first, width = _blocks(row, column, side, coarse_km)
        corner = corner_of_all + side * np.stack([row, first], axis=-1)
        corners, at, block = np.unique(corner, axis=0, return_index=True, return_inverse=True)
        return cls(
            cell_deg=side,
            corner_deg=corners,
            width=width[at],
            cell=torch.from_numpy(block.reshape(-1)),
            coarse_km=coarse_km,
        )

    def heats(self, probability: Float[Tensor, "query place"]) -> list[Heat]:
        """The heat of each query.

        Args:
            probability: of the gallery's places.
        """
        mass = torch.zeros((len(probability), len(self.corner_deg)), dtype=torch.float64)
        mass.index_add_(1, self.cell, probability.double().cpu())
        return [self._heat(one) for one in mass.numpy()]

    def _heat(self, mass: Float64[np.ndarray, " cell"]) -> Heat:
        share = mass / self.width
        order = np.argsort(-share, kind="stable")
        shown = order[mass[order] >= _FAINTEST * mass.max()]
        cells = tuple(
            (float(south), float(west) + at * self.cell_deg, float(each))
            for (south, west), each, width in zip(
                self.corner_deg[shown], share[shown], self.width[shown], strict=True
            )
            for at in range(width)
        )
        return Heat(cell_deg=self.cell_deg, cells=cells, coarse_km=self.coarse_km)


def _side_deg(latlon_deg: Float64[np.ndarray, "place 2"], coarse_km: float) -> float:
    wanted = np.rad2deg(2.0 * median_spacing_km(latlon_deg) / EARTH_RADIUS_KM)
    wanted = min(wanted, _SIDES_DEG[-1])
    least = np.rad2deg(coarse_km / EARTH_RADIUS_KM)
    return next(side for side in _COARSE_SIDES_DEG if side >= max(wanted, least))


def _blocks(
    row: Float64[np.ndarray, " place"],
    column: Float64[np.ndarray, " place"],
    side_deg: float,
    coarse_km: float,
) -> tuple[Float64[np.ndarray, " place"], Int64[np.ndarray, " place"]]:
    """First column, and number of columns, of the block of each place's cell."""
    columns = round(360.0 / side_deg)
    edges_deg = side_deg * np.stack([row, row + 1.0]) - 90.0
    narrow_deg = np.abs(edges_deg).max(axis=0)
    many = columns if coarse_km == 0.0 else columns_at(narrow_deg, coarse_km)
    blocks = columns // -(-columns // np.minimum(columns, many))
    width = columns // blocks
    block = np.minimum(column // width, blocks - 1)
    # The last block of a row takes what is left over.
    wide = np.where(block == blocks - 1, columns - width * (blocks - 1), width)
    return block * width, np.broadcast_to(wide, row.shape).astype(np.int64)

"""Heat of a posterior over the globe: its mass in cells of latitude and longitude."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.spatial import KDTree
from torch import Tensor

from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors
from geoloc.inference.answers import Heat

_SIDES_DEG = (0.5, 1.0, 2.0, 3.0, 5.0)
_FAINTEST = 1e-3
_SAMPLE = 2000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeatGrid:
    """The cell of each place of a gallery.

    Attributes:
        cell_deg: side of the cells.
        corner_deg: southern and western edge of each cell that holds a place.
        cell: of each place.
    """

    cell_deg: float
    corner_deg: Float64[np.ndarray, "cell 2"]
    cell: Int64[Tensor, " place"]

    @classmethod
    def of(cls, latlon_deg: Float64[np.ndarray, "place 2"]) -> HeatGrid:
        """Cells about as wide as the places lie apart, so that a gallery shows no gaps.

        The least of 0.5, 1, 2, 3 and 5 degrees that is not below twice the median distance to the
        nearest other place (over up to 2,000 of them, of those that differ).

        Args:
            latlon_deg: of the gallery.
        """
        side = _side_deg(latlon_deg)
        # 90 N and 180 E belong to the last cells, not to new ones beyond them.
        corner_of_all = np.array([-90.0, -180.0])
        inside = np.minimum(latlon_deg, -corner_of_all - side / 2)
        corner = corner_of_all + side * np.floor((inside - corner_of_all) / side)
        corners, cell = np.unique(corner, axis=0, return_inverse=True)
        return cls(cell_deg=side, corner_deg=corners, cell=torch.from_numpy(cell.reshape(-1)))

    def heats(self, probability: Float[Tensor, "query place"]) -> list[Heat]:
        """The heat of each query.

        Args:
            probability: of the gallery's places.
        """
        mass = torch.zeros((len(probability), len(self.corner_deg)), dtype=torch.float64)
        mass.index_add_(1, self.cell, probability.double().cpu())
        return [self._heat(one) for one in mass.numpy()]

    def _heat(self, mass: Float64[np.ndarray, " cell"]) -> Heat:
        order = np.argsort(-mass, kind="stable")
        shown = order[mass[order] >= _FAINTEST * mass[order[0]]]
        cells = tuple(
            (float(south), float(west), float(share))
            for (south, west), share in zip(self.corner_deg[shown], mass[shown], strict=True)
        )
        return Heat(cell_deg=self.cell_deg, cells=cells)


def _side_deg(latlon_deg: Float64[np.ndarray, "place 2"]) -> float:
    unit = np.unique(unit_vectors(latlon_deg), axis=0)
    if len(unit) < 2:
        return _SIDES_DEG[0]
    asked = unit[:: -(-len(unit) // _SAMPLE)]
    chord = KDTree(unit).query(asked, k=2)[0][:, 1]
    spacing_km = float(np.median(2.0 * np.arcsin(chord / 2.0))) * EARTH_RADIUS_KM
    wanted = 2.0 * np.rad2deg(spacing_km / EARTH_RADIUS_KM)
    return next((side for side in _SIDES_DEG if side >= wanted), _SIDES_DEG[-1])

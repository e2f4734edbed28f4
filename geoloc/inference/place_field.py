"""The score of a query as a field over places, between and beyond those of a gallery."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from scipy.spatial import KDTree
from torch import Tensor

from geoloc.geodesy import EARTH_RADIUS_KM, local_to_latlon_deg, unit_vectors

_ENCODED_AT_A_TIME = 4096


@dataclass(frozen=True, kw_only=True, eq=False)
class PlaceField:
    """A gallery and the encoder behind it: everything that continuous decoding asks of a model.

    Attributes:
        latlon_deg: the gallery's places, on the CPU.
        embedding: their unit vectors, on the device of the queries.
        encode: from (n, 2) float64 degrees on any device to (n, d) unit vectors on the queries'
            device, differentiable, such as `DualEncoder.embed_places`.
        scale: the model's factor on cosines.
    """

    latlon_deg: Float64[Tensor, "place 2"]
    embedding: Float[Tensor, "place embedding"]
    encode: Callable[[Tensor], Tensor]
    scale: float

    def scores(
        self, query: Float[Tensor, "query embedding"], latlon_deg: Float64[Tensor, "query point 2"]
    ) -> Float64[Tensor, "query point"]:
        """Cosines of each query with places of its own, encoded in blocks; differentiable."""
        queries, points = latlon_deg.shape[:2]
        rows = max(1, _ENCODED_AT_A_TIME // max(points, 1))
        parts = [
            (self.encode(some.flatten(0, 1)).unflatten(0, (-1, points)) * one[:, None]).sum(-1)
            for one, some in zip(query.split(rows), latlon_deg.split(rows), strict=True)
        ]
        return torch.cat(parts).double() if queries else latlon_deg.new_empty((0, points))

    def nearest(self, index: Int64[Tensor, " hit"], count: int) -> Int64[Tensor, "hit near"]:
        """The gallery's places nearest to some of its own, themselves first."""
        return self._nearest(index, count)[1]

    def spacing_km(self, index: Int64[Tensor, " hit"]) -> Float64[Tensor, " hit"]:
        """How far apart the gallery's places lie around some of them.

        The side of a square that holds one place, by the density within the eighth nearest.
        """
        count = min(9, len(self.latlon_deg))
        chord = self._nearest(index, count)[0][:, -1]
        reach_km = 2 * EARTH_RADIUS_KM * torch.asin((chord / 2).clamp(max=1.0))
        return reach_km * math.sqrt(math.pi / max(count - 1, 1))

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(unit_vectors(self.latlon_deg).numpy())

    def _nearest(self, index: Tensor, count: int) -> tuple[Tensor, Tensor]:
        at = unit_vectors(self.latlon_deg[index.cpu()]).numpy()
        count = min(count, len(self.latlon_deg))
        chord, near = self._tree.query(at, k=count)
        shape = (len(index), count)
        return (
            torch.from_numpy(np.reshape(chord, shape)),
            torch.from_numpy(np.reshape(near, shape).astype(np.int64)),
        )


def hexagonal_lattice(rings: int) -> Float64[Tensor, "point 2"]:
    """Points of a triangular lattice in the disc of radius 1, even by area, the centre first.

    Args:
        rings: steps from the centre to the rim, at least 1.
    """
    reach = range(-2 * rings, 2 * rings + 1)
    points = [
        ((i + 0.5 * j) / rings, j * math.sqrt(0.75) / rings)
        for j in reach
        for i in reach
        if i * i + i * j + j * j <= rings * rings
    ]
    return torch.tensor(sorted(points, key=lambda xy: math.hypot(*xy)), dtype=torch.float64)


def around(
    center_deg: Float64[Tensor, "query 2"], offset_km: Float64[Tensor, "query point 2"]
) -> Float64[Tensor, "query point 2"]:
    """Places east and north of centres, by km on the plane that touches the sphere there."""
    return local_to_latlon_deg(center_deg[:, None], offset_km[..., 0], offset_km[..., 1])

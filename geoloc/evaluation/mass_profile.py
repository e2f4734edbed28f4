"""How a model's softmax over a gallery lies around a place: its mass by distance, streamed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors

HALF_TURN_KM = float(np.pi * EARTH_RADIUS_KM)
"""The farthest that two places can be apart."""

_QUERIES_AT_A_TIME = 256
_PLACES_AT_A_TIME = 16_384
# So much of the mass is spread evenly over all distances: profiles rise everywhere, and have an
# inverse, also where the softmax puts all it has on one place.
_EVEN_SHARE = 1e-3
_RINGS = 160


@torch.no_grad()
def ring_masses(
    query: Float[Tensor, "query embedding"],
    centre_deg: Float64[np.ndarray, "query 2"],
    gallery: Float[Tensor, "place embedding"],
    gallery_deg: Float64[np.ndarray, "place 2"],
    *,
    scales: Sequence[float],
    edges_km: Float64[np.ndarray, " edge"],
) -> Float64[np.ndarray, "scale query ring"]:
    """Softmax mass of the gallery's places in rings around a centre of each query.

    Ring j holds the places whose great-circle distance d to the centre is edges[j-1] < d <=
    edges[j]; the first begins at the centre itself, and one ring more than there are edges holds
    what lies beyond the last. Queries and places are passed over in blocks, so memory does not
    grow with their product; exponentials in float32 after the query's largest cosine so far is
    taken off, sums in float64.

    Args:
        query: embeddings of the images, of length one.
        centre_deg: a place for each query: its answer, or its true place.
        gallery: embeddings of the places, of length one, on the device of `query`.
        gallery_deg: the places.
        scales: factors on the cosine (one over the temperature), each with a softmax of its own.
        edges_km: ascending.

    Returns:
        For each scale and query, masses that sum to one over the rings.
    """
    device = query.device
    # Distances by the cosine of the angle in float64: below a kilometre right to 1e-7 of itself.
    centre = torch.from_numpy(unit_vectors(centre_deg)).to(device)
    place = torch.from_numpy(unit_vectors(gallery_deg)).to(device)
    bound = torch.from_numpy(-np.cos(np.minimum(edges_km / EARTH_RADIUS_KM, np.pi))).to(device)
    # The antipode itself must lie within an edge of half a turn, whatever its cosine is rounded to.
    bound = torch.where(torch.from_numpy(edges_km >= HALF_TURN_KM).to(device), torch.inf, bound)
    parts = [
        _ring_block(query[rows], centre[rows], (gallery, place), scales=tuple(scales), bound=bound)
        for rows in torch.arange(len(query), device=device).split(_QUERIES_AT_A_TIME)
    ]
    return torch.cat(parts, dim=1).cpu().numpy()


def _ring_block(
    query: Tensor,
    centre: Tensor,
    gallery: tuple[Tensor, Tensor],
    *,
    scales: tuple[float, ...],
    bound: Tensor,
) -> Tensor:
    embedding, place = gallery
    shape = (len(scales), len(query), len(bound) + 1)
    total = torch.zeros(shape, dtype=torch.float64, device=query.device)
    best = torch.full((len(query), 1), -torch.inf, device=query.device)
    for start in range(0, len(embedding), _PLACES_AT_A_TIME):
        here = slice(start, start + _PLACES_AT_A_TIME)
        cosine = query @ embedding[here].T
        ring = torch.bucketize(-(centre @ place[here].T), bound)
        better = torch.maximum(best, cosine.amax(dim=1, keepdim=True))
        for at, scale in enumerate(scales):
            if start:
                total[at] *= torch.exp(scale * (best - better)).double()
            weight = torch.exp(scale * (cosine - better))
            total[at].scatter_add_(1, ring, weight.double())
        best = better
    return total / total.sum(dim=2, keepdim=True)


def _edges_km() -> Float64[np.ndarray, " edge"]:
    return np.geomspace(1.0, HALF_TURN_KM, _RINGS)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MassProfile:
    """How much of each query's softmax lies within a distance of its answer.

    Between edges the mass is taken to be spread evenly over the distances, and a thousandth of all
    mass evenly over all distances from 0 to half a turn: so the mass rises strictly with
    the distance and each mass has its radius.

    Attributes:
        edges_km: distances, ascending from 0 to half a turn of the Earth.
        within: mass within each of them, from 0 to 1.
    """

    edges_km: Float64[np.ndarray, " edge"]
    within: Float64[np.ndarray, "query edge"]

    @classmethod
    def around(
        cls,
        query: Float[Tensor, "query embedding"],
        answer_deg: Float64[np.ndarray, "query 2"],
        gallery: Float[Tensor, "place embedding"],
        gallery_deg: Float64[np.ndarray, "place 2"],
        *,
        scale: float,
    ) -> MassProfile:
        """The profiles of queries around their answers.

        Args:
            query: embeddings of the images, of length one.
            answer_deg: the model's answer to each.
            gallery: embeddings of the places.
            gallery_deg: the places.
            scale: factor on the cosine (one over the temperature).
        """
        mass = ring_masses(
            query, answer_deg, gallery, gallery_deg, scales=[scale], edges_km=_edges_km()[:-1]
        )[0]
        return cls._of_rings(mass)

    @classmethod
    def of_probabilities(
        cls,
        probability: Float[Tensor, "query place"],
        answer_deg: Float64[np.ndarray, "query 2"],
        gallery_unit: Float64[np.ndarray, "place 3"],
    ) -> MassProfile:
        """The profiles of queries whose probabilities are known place by place.

        Args:
            probability: of the gallery's places; each query's sum to one.
            answer_deg: the answer to each.
            gallery_unit: unit vectors of the places.
        """
        edges_km = _edges_km()
        # Nearer places have larger cosines: edges ascend in minus the cosine.
        bound = -np.cos(edges_km[:-1] / EARTH_RADIUS_KM)
        rings: list[np.ndarray] = []
        for one, centre in zip(probability, unit_vectors(answer_deg), strict=True):
            ring = np.searchsorted(bound, -(gallery_unit @ centre))
            rings.append(np.bincount(ring, weights=one.double().cpu().numpy(), minlength=_RINGS))
        mass = np.array(rings).reshape(-1, _RINGS)
        return cls._of_rings(mass / mass.sum(axis=1, keepdims=True))

    @classmethod
    def _of_rings(cls, mass: Float64[np.ndarray, "query ring"]) -> MassProfile:
        within = np.concatenate([np.zeros((len(mass), 1)), np.cumsum(mass, axis=1)], axis=1)
        edges_km = np.concatenate([[0.0], _edges_km()])
        even = edges_km / HALF_TURN_KM
        return cls(edges_km=edges_km, within=(1 - _EVEN_SHARE) * within + _EVEN_SHARE * even)

    def __len__(self) -> int:
        return len(self.within)

    def mass_within(
        self, distance_km: Float64[np.ndarray, " query"]
    ) -> Float64[np.ndarray, " query"]:
        """The mass within a distance of the answer, a distance for each query."""
        step = np.searchsorted(self.edges_km, distance_km, side="right").clip(
            1, len(self.edges_km) - 1
        )
        row = np.arange(len(self.within))
        low, high = self.edges_km[step - 1], self.edges_km[step]
        below, above = self.within[row, step - 1], self.within[row, step]
        return below + (above - below) * ((distance_km - low) / (high - low)).clip(0.0, 1.0)

    def radius_holding(self, mass: float) -> Float64[np.ndarray, " query"]:
        """The radius in km around each answer that holds this mass, in 0 to half a turn.

        The inverse of `mass_within`; a mass of one or more is held by half a turn.
        """
        if mass >= 1.0:
            return np.full(len(self), HALF_TURN_KM)
        step = (self.within < mass).sum(axis=1).clip(1, len(self.edges_km) - 1)
        row = np.arange(len(self.within))
        below, above = self.within[row, step - 1], self.within[row, step]
        low, high = self.edges_km[step - 1], self.edges_km[step]
        return low + (high - low) * ((mass - below) / (above - below)).clip(0.0, 1.0)

    def mean_km(self) -> Float64[np.ndarray, " query"]:
        """The mean distance from the answer under each softmax."""
        middle_km = (self.edges_km[1:] + self.edges_km[:-1]) / 2
        return np.diff(self.within, axis=1) @ middle_km

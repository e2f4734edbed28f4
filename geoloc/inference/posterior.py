"""Posterior mean: the place whose mean squared error is least, if the scores are to be believed."""

from __future__ import annotations

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.geodesy import latlon_to_local_km
from geoloc.inference.place_field import PlaceField, around, hexagonal_lattice


@torch.no_grad()
def lattice_mean(
    field: PlaceField,
    query: Float[Tensor, "query embedding"],
    best: Int64[Tensor, " query"],
    *,
    sharpness: float,
    rings: int,
    radius_km: float | None = None,
) -> Float64[Tensor, "query 2"]:
    """The mean of the posterior within a radius of the best hit, over the encoder's own field.

    The posterior is the softmax of sharpness times scale times cosine, over a lattice of places
    that are even by area and are encoded anew, so that it depends on the gallery only through the
    hit. Where the cosine is rough, which it is below the wavelength of the finest Fourier features,
    its highest point is mostly the luck of a ripple; a mean takes the ripples out.

    Args:
        field: gallery and encoder.
        query: unit vectors.
        best: row of the gallery that each query starts from.
        sharpness: factor on the logits; 1 takes the model's own confidence.
        rings: of the lattice: its places lie radius / rings apart.
        radius_km: of the disc around the hit; None is twice the spacing of the gallery there.
    """
    start = field.latlon_deg[best.cpu()]
    lattice = hexagonal_lattice(rings)
    reach_km = _reach_km(field, best, radius_km)
    means: list[Tensor] = [start.new_empty((0, 2))]
    # a block of queries at a time: the lattice's places are many more than the queries
    blocks = zip(query.split(64), start.split(64), reach_km.split(64), strict=True)
    for one, at, reach in blocks:
        offset = lattice * reach[:, None, None]
        score = field.scores(one, around(at, offset)).cpu()
        means.append(_mean(at, offset, sharpness * field.scale * score))
    return torch.cat(means)


@torch.no_grad()
def gallery_mean(
    field: PlaceField,
    query: Float[Tensor, "query embedding"],
    best: Int64[Tensor, " query"],
    *,
    sharpness: float,
    neighbours: int,
    radius_km: float | None = None,
) -> Float64[Tensor, "query 2"]:
    """The same mean over the gallery's own places near the best hit: nothing is encoded.

    Where the gallery is denser, its places count for more.

    Args:
        field: gallery; its encoder is not asked.
        query: unit vectors.
        best: row of the gallery that each query starts from.
        sharpness: factor on the logits.
        neighbours: how many of the nearest places are looked at, at most.
        radius_km: places beyond it of the hit do not count; None is twice the spacing there.
    """
    start = field.latlon_deg[best.cpu()]
    near = field.nearest(best, neighbours)
    east_km, north_km = latlon_to_local_km(start[:, None], field.latlon_deg[near])
    offset = torch.stack((east_km, north_km), dim=-1)
    score = (field.embedding[near.to(field.embedding.device)] * query[:, None]).sum(-1).cpu()
    inside = offset.norm(dim=-1) <= _reach_km(field, best, radius_km)[:, None]
    logit = sharpness * field.scale * score.double()
    return _mean(start, offset, logit.masked_fill(~inside, -torch.inf))


def _reach_km(field: PlaceField, best: Tensor, radius_km: float | None) -> Tensor:
    if radius_km is None:
        return 2.0 * field.spacing_km(best)
    return torch.full((len(best),), radius_km, dtype=torch.float64)


def _mean(start: Tensor, offset_km: Tensor, logit: Tensor) -> Tensor:
    weight = torch.softmax(logit, dim=1)
    mean_km = (weight[..., None] * offset_km).sum(dim=1, keepdim=True)
    return around(start, mean_km)[:, 0]

"""Kriging of scores: the highest point of a query's scores between the places of a gallery."""

from __future__ import annotations

import dataclasses

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.geodesy import great_circle_km
from geoloc.geostatistics import (
    LagBins,
    VariogramAccumulator,
    VariogramFit,
    fit_variogram,
    krige_each,
)
from geoloc.inference.place_field import PlaceField, around, hexagonal_lattice

_QUERIES_FITTED = 128
_BINS = 15
_LEAST_NUGGET = 1e-3
_FEWEST_PLACES = 3


def krige_scores(
    field: PlaceField,
    query: Float[Tensor, "query embedding"],
    best: Int64[Tensor, " query"],
    *,
    neighbours: int,
    rings: int,
) -> Float64[Tensor, "query 2"]:
    """The place where the kriged scores of each query are highest, near its best hit.

    The scores of the gallery's places around the hit are taken for noisy measurements of a smooth
    field (`at_data` is ``filtered``), kriged to a lattice as wide as two spacings of the gallery,
    and the lattice's highest place is the answer. Places further than one spacing from all of the
    gallery do not count: there kriging extrapolates, off coasts far out. The encoder is not asked.
    One variogram serves all queries: that of their scores around their hits, pooled
    (`score_variogram`).

    Args:
        field: the gallery.
        query: unit vectors.
        best: row of the gallery that each query starts from.
        neighbours: how many of the gallery's places around the hit are kriged from.
        rings: of the lattice.
    """
    start = field.latlon_deg[best.cpu()]
    near = field.nearest(best, neighbours)
    if near.shape[1] < _FEWEST_PLACES:
        return start
    place = field.latlon_deg[near]
    score = (field.embedding[near.to(field.embedding.device)] * query[:, None]).sum(-1)
    score = score.double().cpu()
    fit = score_variogram(place, score)
    if not fit.sill:
        return start
    spacing_km = field.spacing_km(best)[:, None, None]
    target = around(start, hexagonal_lattice(rings) * 2.0 * spacing_km)
    found: list[Tensor] = [start.new_empty((0, 2))]
    for some in torch.arange(len(start)).split(64):
        kriged, _ = krige_each(place[some], score[some], target[some], fit, at_data="filtered")
        away_km = great_circle_km(target[some][:, :, None], place[some][:, None])
        supported = away_km.amin(dim=2) <= spacing_km[some][:, 0]
        kriged = kriged.masked_fill(~supported, -torch.inf)
        found.append(target[some][torch.arange(len(some)), kriged.argmax(dim=1)])
    return torch.cat(found)


def score_variogram(
    latlon_deg: Float64[Tensor, "query near 2"], score: Float64[Tensor, "query near"]
) -> VariogramFit:
    """The variogram of scores around hits, pooled over queries (some 128 of them).

    Only pairs of one query count. A trace of a nugget is always there, so that places close to one
    another do no harm.
    """
    step = max(1, len(score) // _QUERIES_FITTED)
    place, value = latlon_deg[::step], score[::step]
    lag_km = great_circle_km(place[:, :1], place)
    bins = LagBins.even(_BINS, max(1.0, float(lag_km.amax(dim=1).median())))
    sums = VariogramAccumulator(bins, dissimilarity="squared")
    for some, values in zip(place, value, strict=True):
        sums.add(some, values[:, None])
    fit = fit_variogram(sums.variogram(feature_dim=1), "stable", min_pairs=1)
    return dataclasses.replace(fit, nugget=max(fit.nugget, _LEAST_NUGGET * fit.sill))

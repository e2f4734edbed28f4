"""The places of an answer: the best hits that lie apart, each with the probability around it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int64
from torch import Tensor

from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors
from geoloc.inference.continuous import Decoded
from geoloc.inference.gallery_posterior import GalleryPosterior

DEEPEST = 4096
"""Hits that are looked through for places that lie apart."""

Search = Callable[[int], Int64[Tensor, "query rank"]]
"""From a count to so many rows of each query, best first; negative where there are no more."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RankedPlaces:
    """The places of one query's answer, best first.

    Attributes:
        index: rows of the candidates.
        latlon_deg: the places; the first may lie beside its candidate's.
        score: of the places.
        probability: mass around each place (see `geoloc.inference.answers.PlaceAnswer`).
    """

    index: Int64[np.ndarray, " rank"]
    latlon_deg: Float64[np.ndarray, "rank 2"]
    score: Float64[np.ndarray, " rank"]
    probability: Float64[np.ndarray, " rank"]


def rank_places(
    search: Search,
    posterior: GalleryPosterior,
    latlon_deg: Float64[np.ndarray, "place 2"],
    *,
    unit: Float64[np.ndarray, "place 3"],
    top_k: int,
    apart_km: float,
    moved: Decoded | None = None,
) -> list[RankedPlaces]:
    """The best places of each query that lie at least `apart_km` apart, with their mass.

    A place of the gallery counts for the best place of the answer within `apart_km` of it. A first
    place that was moved gathers what lies around it and around the place that it was moved from.

    Args:
        search: gives the hits.
        posterior: of the same queries.
        latlon_deg: of all candidates.
        unit: their unit vectors.
        top_k: how many places an answer holds at most.
        apart_km: great-circle distance; 0 takes the hits as they are.
        moved: the first places, where they are others than the best hits.
    """
    if moved is None:
        first = [np.empty((0, 3))] * len(posterior)
    else:
        first = list(unit_vectors(moved.latlon_deg.numpy())[:, None])
    chosen = _apart(search, unit, first, top_k=top_k, cosine=_cosine(apart_km))
    ranked: list[RankedPlaces] = []
    for query, rows in enumerate(chosen):
        score = posterior.score[query, rows].double().cpu().numpy()
        probability = posterior.probability[query].cpu().numpy()
        mass = _masses(unit, rows, first[query], probability, apart_km=apart_km)
        places_deg = latlon_deg[rows]
        if moved is not None:
            places_deg[0], score[0] = moved.latlon_deg[query].numpy(), float(moved.score[query])
        ranked.append(
            RankedPlaces(index=rows, latlon_deg=places_deg, score=score, probability=mass)
        )
    return ranked


def _cosine(apart_km: float) -> float:
    return math.cos(min(apart_km / EARTH_RADIUS_KM, math.pi))


def _apart(
    search: Search,
    unit: Float64[np.ndarray, "place 3"],
    first: list[np.ndarray],
    *,
    top_k: int,
    cosine: float,
) -> list[Int64[np.ndarray, " rank"]]:
    """Rows of each query's hits that lie apart, from as many hits as that takes."""
    deepest = min(len(unit), max(DEEPEST, top_k))
    depth = min(deepest, max(64, 4 * top_k)) if cosine < 1.0 else min(deepest, top_k)
    while True:
        hits = search(depth).cpu().numpy()
        chosen = [
            _apart_hits(row[row >= 0], unit, extra, top_k=top_k, cosine=cosine)
            for row, extra in zip(hits, first, strict=True)
        ]
        if depth == deepest or cosine == 1.0 or all(len(rows) == top_k for rows in chosen):
            return chosen
        depth = min(deepest, 4 * depth)


def _apart_hits(
    hits: Int64[np.ndarray, " hit"],
    unit: Float64[np.ndarray, "place 3"],
    first: Float64[np.ndarray, "extra 3"],
    *,
    top_k: int,
    cosine: float,
) -> Int64[np.ndarray, " rank"]:
    place = unit[hits]
    free = np.ones(len(hits), dtype=np.bool_)
    chosen: list[int] = []
    while len(chosen) < top_k and free.any():
        best = int(free.argmax())
        centres = place[best : best + 1]
        centres = np.concatenate([centres, first]) if not chosen else centres
        chosen.append(best)
        free[best] = False
        if cosine < 1.0:
            free &= ~_near(place, centres, cosine)
    return hits[chosen]


def _masses(
    unit: Float64[np.ndarray, "place 3"],
    rows: Int64[np.ndarray, " rank"],
    first: Float64[np.ndarray, "extra 3"],
    probability: Float32[np.ndarray, " place"],
    *,
    apart_km: float,
) -> Float64[np.ndarray, " rank"]:
    """Probability around each row that no earlier row has gathered."""
    if apart_km == 0.0:
        return probability[rows].astype(np.float64)
    free = np.ones(len(unit), dtype=np.bool_)
    mass = np.zeros(len(rows))
    for rank, row in enumerate(rows):
        centres = unit[row : row + 1]
        centres = np.concatenate([centres, first]) if rank == 0 else centres
        near = _near(unit, centres, _cosine(apart_km)) & free
        # Its own cosine may be rounded to less than one.
        near[row] = True
        mass[rank] = probability[near].sum(dtype=np.float64)
        free &= ~near
    return np.minimum(mass, 1.0)


def _near(
    place: Float64[np.ndarray, "place 3"], centres: Float64[np.ndarray, "centre 3"], cosine: float
) -> Bool[np.ndarray, " place"]:
    near = place @ centres[0] >= cosine
    for centre in centres[1:]:
        near |= place @ centre >= cosine
    return near

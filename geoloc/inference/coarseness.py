"""Answers no more exact than a chosen distance, for services that must not point at a house."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km
from geoloc.inference.answers import Answer, CredibleRadius, PlaceAnswer
from geoloc.inference.occlusion_map import OcclusionMap
from geoloc.places import Gazetteer

HALF_TURN_KM = math.pi * EARTH_RADIUS_KM


def coarse_answer(answer: Answer, coarse_km: float) -> Answer:
    """The answer as somebody may see it who shall not learn places to better than `coarse_km`.

    Each place becomes the centre of its cell (`cell_of`); those of one cell become one, with the
    sum of their probabilities. Their order stays that of the best exact place of each: shares may
    rise from one place to the next. Scores and references, which are of the exact places, are
    dropped; the city is the one nearest to the cell's centre, and said to be at least `coarse_km`
    away. Region and country remain those of the exact place: a cell's centre may lie in the sea
    beside it. Radii grow by the distance by which the first place moved at most, so that what held
    for the exact answer holds for the coarse one, and are rounded up (`coarse_distance_km`), as
    an exact one would tell where in its cell the first place lies. Heat stays only where it was
    summed over such cells already (`HeatGrid.of`).

    Args:
        answer: as the model gives it.
        coarse_km: side of the cells, above 0 and at most 2,000 km; 0 gives the answer back as it
            is.
    """
    if coarse_km == 0.0:
        return answer
    return replace(
        answer,
        places=coarse_places(answer.places, coarse_km),
        apart_km=coarse_distance_km(answer.apart_km, coarse_km),
        radii=_coarse_radii(answer, coarse_km),
        heat=answer.heat if answer.heat and answer.heat.coarse_km == coarse_km else None,
    )


def coarse_distance_km(km: float, coarse_km: float) -> float:
    """A distance that tells no more than a multiple of `coarse_km` does: the next one, 1 at least.

    Args:
        km: the distance.
        coarse_km: 0 gives the distance back as it is.
    """
    if coarse_km == 0.0:
        return km
    # A multiple divided by what it is a multiple of may come out above a whole number.
    return coarse_km * max(1, math.ceil(km / coarse_km - 1e-9))


def cell_of(latlon_deg: tuple[float, float], coarse_km: float) -> tuple[float, float]:
    """The centre of the cell that holds a place, in degrees.

    Rows of equal height in latitude, each cut into equal cells beginning at 180 W: as many rows,
    and cells in a row, as leave centres at least `coarse_km` apart.

    Args:
        latlon_deg: the place.
        coarse_km: least distance of two cells' centres, above 0 and at most 2,000 km.
    """
    (centre,) = cells_of(np.array([latlon_deg], dtype=np.float64), coarse_km)
    return float(centre[0]), float(centre[1])


def cells_of(
    latlon_deg: Float64[np.ndarray, "place 2"], coarse_km: float
) -> Float64[np.ndarray, "place 2"]:
    """`cell_of` of many places."""
    lat, lon = latlon_deg.T
    rows = int(HALF_TURN_KM / coarse_km)
    row = np.minimum(np.floor((lat + 90.0) / 180.0 * rows), rows - 1)
    centre = (180.0 * row / rows - 90.0 + 180.0 * (row + 1) / rows - 90.0) / 2.0
    columns = columns_at(centre, coarse_km)
    column = np.floor(((lon + 180.0) % 360.0) / 360.0 * columns) % columns
    return np.stack([centre, (column + 0.5) / columns * 360.0 - 180.0], axis=-1)


def cell_reach_km(centre_deg: tuple[float, float], coarse_km: float) -> float:
    """How far from its centre a cell reaches at most, in km: the distance to its corners."""
    lat, _ = centre_deg
    half_deg = 90.0 / int(HALF_TURN_KM / coarse_km)
    width_deg = 360.0 / int(columns_at(np.array([lat]), coarse_km)[0])
    # Along a side the distance is greatest at its end, or, in cells around a pole, before it.
    east_deg = np.linspace(0.0, width_deg / 2.0, 17)
    edges = [
        np.stack([np.full_like(east_deg, edge), east_deg], axis=-1)
        for edge in (lat - half_deg, lat + half_deg)
    ]
    away_km = great_circle_km(np.array([lat, 0.0]), np.concatenate(edges))
    return float(np.max(away_km))


def columns_at(
    lat_deg: Float64[np.ndarray, " parallel"], coarse_km: float
) -> Int64[np.ndarray, " parallel"]:
    """How many points on each parallel lie at least `coarse_km` from their neighbours."""
    # Two points of a parallel, d apart: sin(d / 2R) = cos(latitude) sin(half their longitudes').
    half = np.sin(coarse_km / (2.0 * EARTH_RADIUS_KM)) / np.cos(np.radians(lat_deg))
    several = (half > 0.0) & (half < 1.0)
    return np.where(several, np.pi / np.arcsin(np.where(several, half, 1.0)), 1.0).astype(np.int64)


def coarse_map(explained: OcclusionMap, coarse_km: float) -> OcclusionMap:
    """An occlusion map whose places and distances are no more exact than `coarse_km`.

    Places become those of `coarse_answer`, distances by which the answer moved whole multiples of
    `coarse_km`; training images, whose places are exact, are left out.

    Args:
        explained: as the model gives it.
        coarse_km: as for `coarse_answer`; 0 gives the map back as it is.
    """
    if coarse_km == 0.0:
        return explained
    (answer,), (without,) = (
        coarse_places((place,), coarse_km)
        for place in (explained.answer, explained.without_strongest)
    )
    return replace(
        explained,
        answer=answer,
        without_strongest=without,
        moved_km=coarse_km * np.round(explained.moved_km / coarse_km),
        training=None,
    )


def coarse_places(places: Sequence[PlaceAnswer], coarse_km: float) -> tuple[PlaceAnswer, ...]:
    """The places of an answer, as `coarse_answer` describes it.

    Args:
        places: best first.
        coarse_km: least distance of two cells' centres, above 0 and at most 2,000 km.
    """
    kept: dict[tuple[float, float], PlaceAnswer] = {}
    for place in places:
        cell = cell_of(place.latlon_deg, coarse_km)
        # Sums of probabilities may pass one by rounding.
        before = kept[cell].probability if cell in kept else 0.0
        whole = min(1.0, before + place.probability)
        kept[cell] = replace(kept.get(cell, place), latlon_deg=cell, probability=whole)
    if not kept:
        return ()
    centres_deg = np.array(list(kept))
    gazetteer = Gazetteer.load()
    nearest = gazetteer.nearest(centres_deg, metric="sphere")
    away_km = great_circle_km(centres_deg, gazetteer.latlon_deg[nearest])
    return tuple(
        replace(
            place,
            score=None,
            reference=None,
            city=city.name,
            city_km=max(coarse_km, float(km)),
        )
        for place, city, km in zip(kept.values(), gazetteer.describe(nearest), away_km, strict=True)
    )


def _coarse_radii(answer: Answer, coarse_km: float) -> tuple[CredibleRadius, ...]:
    if not answer.places:
        return ()
    reach_km = cell_reach_km(cell_of(answer.places[0].latlon_deg, coarse_km), coarse_km)
    return tuple(
        replace(radius, km=min(HALF_TURN_KM, coarse_distance_km(radius.km + reach_km, coarse_km)))
        for radius in answer.radii
    )

"""Answers no more exact than a chosen distance, for services that must not point at a house."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km
from geoloc.inference.answers import Answer, CredibleRadius, Heat, PlaceAnswer
from geoloc.inference.occlusion_map import OcclusionMap
from geoloc.places import Gazetteer

HALF_TURN_KM = math.pi * EARTH_RADIUS_KM


def coarse_answer(answer: Answer, coarse_km: float) -> Answer:
    """The answer as somebody may see it who shall not learn places to better than `coarse_km`.

    Each place becomes the centre of its cell (`cell_of`); those of one cell become one, with the
    sum of their probabilities. Scores and references, which are of the exact places, are dropped;
    the city is the one nearest to the cell's centre, and said to be at least `coarse_km` away.
    Region and country remain those of the exact place: a cell's centre may lie in the sea beside
    it. Radii grow by the distance by which the first place moved at most, and are at least
    `coarse_km`, so that what held for the exact answer holds for the coarse one; heat is summed
    over cells that are not smaller.

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
        apart_km=max(answer.apart_km, coarse_km),
        radii=_coarse_radii(answer, coarse_km),
        heat=None if answer.heat is None else _coarse_heat(answer.heat, coarse_km),
    )


def cell_of(latlon_deg: tuple[float, float], coarse_km: float) -> tuple[float, float]:
    """The centre of the cell that holds a place, in degrees.

    Rows of equal height in latitude, each cut into equal cells beginning at 180 W: as many rows,
    and cells in a row, as leave centres at least `coarse_km` apart.

    Args:
        latlon_deg: the place.
        coarse_km: least distance of two cells' centres, above 0 and at most 2,000 km.
    """
    lat, lon = latlon_deg
    rows = int(HALF_TURN_KM / coarse_km)
    row = min(int((lat + 90.0) / 180.0 * rows), rows - 1)
    south, north = (180.0 * edge / rows - 90.0 for edge in (row, row + 1))
    centre = (south + north) / 2.0
    columns = _columns(centre, coarse_km)
    column = int(((lon + 180.0) % 360.0) / 360.0 * columns) % columns
    return centre, (column + 0.5) / columns * 360.0 - 180.0


def cell_reach_km(centre_deg: tuple[float, float], coarse_km: float) -> float:
    """How far from its centre a cell reaches at most, in km: the distance to its corners."""
    lat, _ = centre_deg
    half_deg = 90.0 / int(HALF_TURN_KM / coarse_km)
    width_deg = 360.0 / _columns(lat, coarse_km)
    # Along a side the distance is greatest at its end, or, in cells around a pole, before it.
    east_deg = np.linspace(0.0, width_deg / 2.0, 17)
    edges = [
        np.stack([np.full_like(east_deg, edge), east_deg], axis=-1)
        for edge in (lat - half_deg, lat + half_deg)
    ]
    away_km = great_circle_km(np.array([lat, 0.0]), np.concatenate(edges))
    return float(np.max(away_km))


def _columns(lat_deg: float, coarse_km: float) -> int:
    """How many points on a parallel lie at least `coarse_km` from their neighbours."""
    # Two points of a parallel, d apart: sin(d / 2R) = cos(latitude) sin(half their longitudes').
    half = math.sin(coarse_km / (2.0 * EARTH_RADIUS_KM)) / math.cos(math.radians(lat_deg))
    return max(1, int(math.pi / math.asin(half))) if half < 1.0 else 1


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
        replace(radius, km=min(HALF_TURN_KM, max(coarse_km, radius.km + reach_km)))
        for radius in answer.radii
    )


def _coarse_heat(heat: Heat, coarse_km: float) -> Heat:
    least_deg = math.degrees(coarse_km / EARTH_RADIUS_KM)
    times = math.ceil(least_deg / heat.cell_deg)
    if times <= 1:
        return heat
    side_deg = times * heat.cell_deg

    sums: dict[tuple[float, float], float] = {}
    for south, west, share in heat.cells:
        row, column = (
            math.floor((corner - edge) / side_deg + 1e-9)
            for corner, edge in ((south, -90.0), (west, -180.0))
        )
        corner = (row * side_deg - 90.0, column * side_deg - 180.0)
        sums[corner] = sums.get(corner, 0.0) + share
    cells = sorted(((*corner, mass) for corner, mass in sums.items()), key=lambda cell: -cell[2])
    return Heat(cell_deg=side_deg, cells=tuple(cells))

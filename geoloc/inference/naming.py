"""Names of answered places: nearest city, and the areas that hold the point."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from geoloc.geodesy import great_circle_km
from geoloc.inference.answers import PlaceAnswer
from geoloc.inference.ranked_places import RankedPlaces
from geoloc.places import Areas, Gazetteer


def named_places(
    ranked: Sequence[RankedPlaces], reference_key: Sequence[str | None] | None = None
) -> list[tuple[PlaceAnswer, ...]]:
    """The ranked places of each query with their names.

    The city is the nearest of the gazetteer on the sphere; region and country are those of the
    polygon that holds the point, so at a border the city may lie on the other side.

    Args:
        ranked: of each query.
        reference_key: the reference image of each candidate, where there are any.
    """
    if not ranked:
        return []
    latlon_deg = np.concatenate([each.latlon_deg for each in ranked])
    gazetteer = Gazetteer.load()
    nearest = gazetteer.nearest(latlon_deg, metric="sphere")
    cities = gazetteer.describe(nearest)
    city_km = great_circle_km(latlon_deg, gazetteer.latlon_deg[nearest])
    areas = Areas.load().locate(latlon_deg)
    score, probability, row = (
        np.concatenate([getattr(each, name) for each in ranked])
        for name in ("score", "probability", "index")
    )
    places = iter(
        [
            PlaceAnswer(
                latlon_deg=(float(latlon_deg[at, 0]), float(latlon_deg[at, 1])),
                score=float(score[at]),
                probability=float(probability[at]),
                city=cities[at].name,
                city_km=float(city_km[at]),
                region=_text(areas.region[at]),
                country_code=_text(areas.country_code[at]),
                country=_text(areas.country[at]),
                reference=None if reference_key is None else reference_key[row[at]],
            )
            for at in range(len(latlon_deg))
        ]
    )
    return [tuple(islice(places, len(each.index))) for each in ranked]


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

"""Names of answered places: nearest city, and the areas that hold the point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from geoloc.geodesy import great_circle_km
from geoloc.inference.answers import PlaceAnswer
from geoloc.inference.decoding import RankedPlaces
from geoloc.places import Areas, Gazetteer


def named_places(
    ranked: RankedPlaces,
    gallery_latlon_deg: np.ndarray,
    reference_key: Sequence[str | None] | None = None,
) -> Iterator[tuple[PlaceAnswer, ...]]:
    """The ranked places of each query with their names.

    The city is the nearest of the gazetteer on the sphere; region and country are those of the
    polygon that holds the point, so at a border the city may lie on the other side.

    Args:
        ranked: rows of the gallery with scores and probabilities.
        gallery_latlon_deg: places of the gallery, (n, 2) in degrees.
        reference_key: the reference image of each row, where there are any.
    """
    queries, top_k = ranked.index.shape
    rows = ranked.index.ravel()
    latlon_deg = np.asarray(gallery_latlon_deg, dtype=np.float64)[rows]
    gazetteer = Gazetteer.load()
    nearest = gazetteer.nearest(latlon_deg, metric="sphere")
    cities = gazetteer.describe(nearest)
    city_km = great_circle_km(latlon_deg, gazetteer.latlon_deg[nearest])
    areas = Areas.load().locate(latlon_deg)
    score, probability = ranked.score.ravel(), ranked.probability.ravel()
    places = [
        PlaceAnswer(
            latlon_deg=(float(latlon_deg[row, 0]), float(latlon_deg[row, 1])),
            score=float(score[row]),
            probability=float(probability[row]),
            city=cities[row].name,
            city_km=float(city_km[row]),
            region=_text(areas.region[row]),
            country_code=_text(areas.country_code[row]),
            country=_text(areas.country[row]),
            reference=None if reference_key is None else reference_key[rows[row]],
        )
        for row in range(queries * top_k)
    ]
    for query in range(queries):
        yield tuple(places[query * top_k : (query + 1) * top_k])


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None

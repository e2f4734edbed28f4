from __future__ import annotations

import numpy as np
import pytest

from geoloc.geodesy import great_circle_km
from geoloc.inference.naming import named_places
from geoloc.inference.ranked_places import RankedPlaces
from geoloc.places import Areas, Gazetteer


def test_rows_stay_with_their_queries_and_names_with_their_places(places_deg: np.ndarray) -> None:
    index = np.array([[0, 4, 2], [6, 3, 0]])
    score = np.array([[0.9, 0.5, 0.1], [0.8, 0.4, 0.2]])
    ranked = [
        RankedPlaces(index=rows, latlon_deg=places_deg[rows], score=some, probability=some / 10)
        for rows, some in zip(index, score, strict=True)
    ]
    # Queries need not have equally many places.
    ranked[1] = RankedPlaces(
        index=index[1, :2],
        latlon_deg=places_deg[index[1, :2]],
        score=score[1, :2],
        probability=score[1, :2] / 10,
    )
    keys = [f"image {row}" for row in range(len(places_deg))]
    answered = named_places(ranked, keys)
    assert [len(places) for places in answered] == [3, 2]
    assert [place.reference for place in answered[1]] == ["image 6", "image 3"]
    gazetteer, areas = Gazetteer.load(), Areas.load()
    for query in range(2):
        for rank in range(len(answered[query])):
            place, row = answered[query][rank], index[query, rank]
            point = places_deg[row : row + 1]
            assert place.latlon_deg == tuple(point[0])
            assert (place.score, place.probability) == (score[query, rank], score[query, rank] / 10)
            nearest = gazetteer.nearest(point, metric="sphere")
            assert place.city == gazetteer.describe(nearest)[0].name
            far = great_circle_km(point, gazetteer.latlon_deg[nearest])[0]
            assert place.city_km == pytest.approx(far)
            assert place.country == areas.locate(point).country[0]


def test_the_nearest_city_crosses_the_antimeridian() -> None:
    # Taveuni in Fiji lies on both sides of 180 degrees: raw degrees would look the wrong way.
    place = np.array([[-16.8, -179.99]])
    one = np.array([0.5])
    ranked = RankedPlaces(index=np.array([0]), latlon_deg=place, score=one, probability=one)
    ((answer,),) = named_places([ranked])
    assert answer.city_km < 300

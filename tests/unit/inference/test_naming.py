from __future__ import annotations

import numpy as np
import pytest

from geoloc.geodesy import great_circle_km
from geoloc.inference.decoding import RankedPlaces
from geoloc.inference.naming import named_places
from geoloc.places import Areas, Gazetteer


def test_rows_stay_with_their_queries_and_names_with_their_places(places_deg: np.ndarray) -> None:
    index = np.array([[0, 4, 2], [6, 3, 0]])
    score = np.array([[0.9, 0.5, 0.1], [0.8, 0.4, 0.2]])
    ranked = RankedPlaces(index=index, score=score, probability=score / 10)
    answered = list(named_places(ranked, places_deg))
    gazetteer, areas = Gazetteer.load(), Areas.load()
    for query in range(2):
        for rank in range(3):
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
    ranked = RankedPlaces(
        index=np.array([[0]]), score=np.array([[0.5]]), probability=np.array([[0.5]])
    )
    ((answer,),) = named_places(ranked, place)
    assert answer.city_km < 300

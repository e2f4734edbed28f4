from __future__ import annotations

from typing import Any

import pytest

from geoloc.inference import PlaceAnswer

PARIS: dict[str, Any] = {
    "latlon_deg": (48.86, 2.35),
    "score": 0.5,
    "probability": 0.1,
    "city": "Paris",
    "city_km": 1.0,
    "region": "Paris",
    "country_code": "FR",
    "country": "France",
}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "Paris, France"),
        ({"region": "Île-de-France"}, "Paris, Île-de-France, France"),
        ({"region": None}, "Paris, France"),
        ({"city_km": 120.4}, "120 km from Paris, Paris, France"),
        ({"region": None, "country": None, "city_km": 900.0}, "900 km from Paris, at sea"),
    ],
)
def test_name_says_each_part_once(changes: dict[str, Any], name: str) -> None:
    assert PlaceAnswer(**{**PARIS, **changes}).name == name

"""Camera places: where a photo's EXIF data say that it was taken, beside a model's answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from geoloc.data.decoding import read_limited
from geoloc.data.photos import photo_place_deg
from geoloc.data.record import PlaceError
from geoloc.errors import ImageError
from geoloc.geodesy import great_circle_km
from geoloc.inference.answers import Answer, Refusal
from geoloc.inference.naming import named_places
from geoloc.inference.ranked_places import RankedPlaces

ExifMode: TypeAlias = Literal["ignore", "report", "compare", "skip"]
"""What is done with the place in a photo's EXIF data.

It is not even read (``ignore``); shown beside the answer (``report``), with how far off the answer
is (``compare``); or taken instead of an answer (``skip``).
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class CameraPlace:
    """Where a photo's EXIF data say that it was taken: the camera's word, no model's.

    Attributes:
        source: the file.
        latlon_deg: latitude and longitude in degrees.
        name: the place in words, as of a `PlaceAnswer`.
        city: nearest place of the gazetteer by great circle, however far.
        city_km: great-circle distance to it, in km.
        region: first-level administrative area that holds the point, None at sea.
        country_code: ISO 3166-1 alpha-2 code of the country that holds the point, None at sea.
        country: its English name, None at sea.
    """

    source: str
    latlon_deg: tuple[float, float]
    name: str
    city: str
    city_km: float
    region: str | None
    country_code: str | None
    country: str | None

    def json(self) -> dict[str, Any]:
        """The place for a file of answers, rounded as answers are."""
        return {
            "source": self.source,
            "latitude_deg": round(self.latlon_deg[0], 6),
            "longitude_deg": round(self.latlon_deg[1], 6),
            "city": self.city,
            "city_km": round(self.city_km, 3),
            "region": self.region,
            "country_code": self.country_code,
            "country": self.country,
        }


Result: TypeAlias = Answer | Refusal | CameraPlace
"""What comes of one image."""


def camera_place(path: Path) -> CameraPlace | None:
    """The place that a file's EXIF data give, None where they give none that can be used."""
    try:
        latlon_deg = photo_place_deg(read_limited(path), name=str(path))
    except (ImageError, PlaceError):
        return None
    ranked = RankedPlaces(
        index=np.zeros(1, dtype=np.int64),
        latlon_deg=np.array([latlon_deg]),
        score=np.ones(1),
        probability=np.ones(1),
    )
    ((place,),) = named_places([ranked])
    return CameraPlace(
        source=str(path),
        latlon_deg=latlon_deg,
        name=place.name,
        city=place.city,
        city_km=place.city_km,
        region=place.region,
        country_code=place.country_code,
        country=place.country,
    )


def distance_to_camera_km(answer: Answer, camera: CameraPlace) -> float:
    """The great circle from an answer's first place to the camera's."""
    first = np.asarray(answer.places[0].latlon_deg)
    return float(great_circle_km(first, np.asarray(camera.latlon_deg)))

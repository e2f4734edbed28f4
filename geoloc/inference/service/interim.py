"""Answers of schema version 1 in the form of version 2, until the geolocator gives them itself."""

from __future__ import annotations

from typing import Any

from geoloc._version import __version__
from geoloc.inference.answers import Answer
from geoloc.inference.geolocator import Geolocator


def about_basis(geolocator: Geolocator) -> dict[str, Any]:
    """What answers rest on."""
    return {
        "model": geolocator.fingerprint,
        "run": None,
        "gallery": geolocator.gallery.name,
        "gallery_places": len(geolocator.gallery),
        "decoding": geolocator.decoding,
        "calibrated": geolocator.calibration is not None,
        "protocol": "softmax over the gallery",
        "trained": None,
        "version": __version__,
    }


def answer_document(answer: Answer, name: str, geolocator: Geolocator) -> dict[str, Any]:
    """The document of one answer."""
    return {
        "source": name,
        "places": [
            {
                "rank": rank,
                "latitude_deg": place.latlon_deg[0],
                "longitude_deg": place.latlon_deg[1],
                "score": place.score,
                "probability": place.probability,
                "city": place.city,
                "city_km": place.city_km,
                "region": place.region,
                "country_code": place.country_code,
                "country": place.country,
                "reference": place.reference,
            }
            for rank, place in enumerate(answer.places, 1)
        ],
        "apart_km": 0.0,
        "radii": [],
        "countries": [],
        "regions": [],
        "abstain": False,
        "doubts": [],
        "heat": None,
        "basis": about_basis(geolocator),
    }

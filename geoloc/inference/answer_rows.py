"""Answers as a table: CSV, and the fields that tables and JSON have in common."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from geoloc.inference.answers import Answer, PlaceAnswer
from geoloc.inference.camera import CameraPlace, Result, distance_to_camera_km

CSV_COLUMNS: tuple[str, ...] = (
    "source",
    "rank",
    "latitude_deg",
    "longitude_deg",
    "score",
    "probability",
    "city",
    "city_km",
    "region",
    "country_code",
    "country",
    "radius_50_km",
    "radius_90_km",
    "calibrated",
    "doubts",
    "reference",
    "from",
    "camera_latitude_deg",
    "camera_longitude_deg",
    "camera_km",
)


class _LineFeeds:
    """Ends rows with a line feed alone; the writer ends them with two, and so quotes both."""

    def __init__(self, text: io.StringIO) -> None:
        self._text = text

    def write(self, row: str) -> int:
        """Write one whole row, as `csv` hands it over."""
        return self._text.write(row.removesuffix("\r\n") + "\n")


def to_csv(results: Sequence[Result], cameras: Mapping[str, CameraPlace] | None = None) -> str:
    """A row a place under the header `CSV_COLUMNS` (RFC 4180 quoting, line feeds).

    Radii and doubts stand in the row of an answer's first place, and so do the camera's place and
    how far the first place lies from it. Radii of other levels than 50 and 90 % have no column.
    ``from`` is ``model``, or ``camera`` in the one row, without rank, of an image whose own place
    was taken. Refused images have no row: their messages belong on another channel.

    Args:
        results: answers, refusals and camera's places, in order.
        cameras: camera's places by the answers' sources.
    """
    known = cameras or {}
    buffer = io.StringIO()
    writer = csv.DictWriter(_LineFeeds(buffer), CSV_COLUMNS, extrasaction="ignore")
    writer.writeheader()
    for result in results:
        if isinstance(result, Answer):
            writer.writerows(_rows(result, known.get(result.source)))
        elif isinstance(result, CameraPlace):
            writer.writerow({**result.json(), "from": "camera"})
    return buffer.getvalue()


def place_json(place: PlaceAnswer) -> dict[str, Any]:
    """A place as it stands in the JSON of an answer, without ``rank`` (see `answer_json`)."""
    lat, lon = place.latlon_deg
    return {
        "latitude_deg": round(lat, 6),
        "longitude_deg": round(lon, 6),
        "score": None if place.score is None else round(place.score, 6),
        "probability": float(f"{place.probability:.6g}"),
        "city": place.city,
        "city_km": round(place.city_km, 3),
        "region": place.region,
        "country_code": place.country_code,
        "country": place.country,
        "reference": place.reference,
    }


def place_fields(place: PlaceAnswer, rank: int) -> dict[str, Any]:
    """A place of an answer with its rank, from 1."""
    return {"rank": rank, **place_json(place)}


def sureness_fields(answer: Answer) -> dict[str, Any]:
    """What tables say once an answer: its radii by level, and its doubts."""
    told: dict[str, Any] = {
        f"radius_{100 * radius.level:g}_km": round(radius.km, 3) for radius in answer.radii
    }
    calibrated = any(radius.calibrated for radius in answer.radii)
    return {**told, "calibrated": calibrated, "doubts": " ".join(answer.doubts)}


def camera_fields(answer: Answer, camera: CameraPlace) -> dict[str, float]:
    """The camera's place beside an answer, and how far the first place lies from it."""
    return {
        "latitude_deg": round(camera.latlon_deg[0], 6),
        "longitude_deg": round(camera.latlon_deg[1], 6),
        "distance_km": round(distance_to_camera_km(answer, camera), 3),
    }


def _rows(answer: Answer, camera: CameraPlace | None) -> list[dict[str, Any]]:
    rows = [
        {"source": answer.source, **place_fields(place, rank), "from": "model"}
        for rank, place in enumerate(answer.places, 1)
    ]
    rows[0] |= sureness_fields(answer)
    if camera is not None:
        told = camera_fields(answer, camera)
        rows[0] |= {
            "camera_latitude_deg": told["latitude_deg"],
            "camera_longitude_deg": told["longitude_deg"],
            "camera_km": told["distance_km"],
        }
    return rows

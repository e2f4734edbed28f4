"""Answers as text, JSON, GeoJSON or CSV; pure functions from answers to a string."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, TypeAlias

import numpy as np

from geoloc.geodesy import great_circle_km
from geoloc.inference.answers import Answer, AreaShare, Doubt, Heat, PlaceAnswer, Refusal

AnswerFormat = Literal["text", "json", "geojson", "csv"]
Result: TypeAlias = Answer | Refusal

SCHEMA_VERSION = 2
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
)


DOUBTS: dict[Doubt, str] = {
    "flat_posterior": "the model does not know: half of its probability is farther than 2,500 km",
    "not_a_photograph": "the picture does not look like a photograph",
}
"""What a doubt means, in words."""


def format_answers(results: Sequence[Result], form: AnswerFormat) -> str:
    """The results in one of the four forms, each ending in a line break."""
    writers: dict[AnswerFormat, Callable[[Sequence[Result]], str]] = {
        "text": to_text,
        "json": to_json,
        "geojson": to_geojson,
        "csv": to_csv,
    }
    return writers[form](results)


def to_text(
    results: Sequence[Result], truths_deg: Mapping[str, tuple[float, float]] | None = None
) -> str:
    """Aligned lines for people: a heading an image, a line a place, best first.

    A refused image has one line of its own. Characters that a terminal would obey rather than
    show (in file names, say) are replaced.

    Args:
        results: answers and refusals, in the order in which they are shown.
        truths_deg: true places by the answers' sources; where one is known, a last line says how
            far (great circle) it is from the first answer.
    """
    known = truths_deg or {}
    blocks = [
        _answer_text(result, known.get(result.source))
        if isinstance(result, Answer)
        else _printable(f"{result.source}: refused: {result.message}")
        for result in results
    ]
    return "\n\n".join(blocks) + "\n" if blocks else ""


def to_json(results: Sequence[Result]) -> str:
    """One JSON object, schema version 2.

    Keys: ``schema_version`` (2); ``answers``, a list of `answer_json`; ``refusals``, a list of
    objects with ``source``, ``kind`` and ``message``. Order is that of the input within each list.
    """
    content = {
        "schema_version": SCHEMA_VERSION,
        "answers": [answer_json(answer) for answer in _answers(results)],
        "refusals": [refusal_json(each) for each in results if isinstance(each, Refusal)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def answer_json(answer: Answer) -> dict[str, Any]:
    """One answer as JSON objects, in the words of `geoloc.inference.answers`.

    Keys: ``source``; ``places``, best first, with ``rank`` (from 1), ``latitude_deg``,
    ``longitude_deg``, ``score``, ``probability``, ``city``, ``city_km``, and ``region``,
    ``country_code``, ``country``, which are null at sea, and ``reference``, the key of the
    reference image that answered or null; ``apart_km``; ``radii`` (``level``, ``km``,
    ``calibrated``); ``countries`` (``code``, ``name``, ``probability``) and ``regions`` (with
    ``country_code`` besides); ``abstain`` and its reasons ``doubts``; ``heat``, null or
    ``cell_deg`` with ``cells`` of southern edge, western edge and probability; and ``basis``.
    """
    return {
        "source": answer.source,
        "places": [_fields(place, rank) for rank, place in enumerate(answer.places, 1)],
        "apart_km": answer.apart_km,
        "radii": [
            {"level": radius.level, "km": round(radius.km, 3), "calibrated": radius.calibrated}
            for radius in answer.radii
        ],
        "countries": [_share(area) for area in answer.countries],
        "regions": [{**_share(area), "country_code": area.country_code} for area in answer.regions],
        "abstain": answer.abstain,
        "doubts": list(answer.doubts),
        "heat": None if answer.heat is None else _heat(answer.heat),
        "basis": asdict(answer.basis),
    }


def refusal_json(refusal: Refusal) -> dict[str, str]:
    """One refusal as a JSON object: ``source``, ``kind`` and ``message``."""
    return {"source": refusal.source, "kind": refusal.kind, "message": refusal.message}


def to_geojson(results: Sequence[Result]) -> str:
    """A GeoJSON FeatureCollection (RFC 7946): a point a place, longitude before latitude.

    The properties are ``source`` and the fields of a place in `to_json` without its coordinates,
    and at an answer's first place ``radius_50_km`` and the like, ``calibrated`` and ``doubts``;
    ``refusals`` and ``schema_version`` stand beside ``features`` as foreign members (section 6.1).
    """
    content = {
        "type": "FeatureCollection",
        "schema_version": SCHEMA_VERSION,
        "features": [
            _feature(answer, place, rank)
            for answer in _answers(results)
            for rank, place in enumerate(answer.places, 1)
        ],
        "refusals": [refusal_json(each) for each in results if isinstance(each, Refusal)],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def to_csv(results: Sequence[Result]) -> str:
    """A row a place under the header `CSV_COLUMNS` (RFC 4180 quoting, line feeds).

    Radii and doubts stand in the row of an answer's first place. Radii of other levels than 50 and
    90 % have no column. Refused images have no row: their
    messages belong on another channel.
    """
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, CSV_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for answer in _answers(results):
        for rank, place in enumerate(answer.places, 1):
            sure = _sureness(answer) if rank == 1 else {}
            writer.writerow({"source": answer.source, **_fields(place, rank), **sure})
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


def coordinates_text(latlon_deg: tuple[float, float]) -> str:
    """Latitude and longitude for people, such as ``48.8566 N, 2.3522 E``."""
    lat, lon = latlon_deg
    return f"{abs(lat):.4f} {'S' if lat < 0 else 'N'}, {abs(lon):.4f} {'W' if lon < 0 else 'E'}"


def distance_text(distance_km: float) -> str:
    """A distance for people: ``0.4 km``, ``21 km``, ``9,700 km``."""
    return f"{distance_km:.1f} km" if distance_km < 9.95 else f"{distance_km:,.0f} km"


def _answers(results: Sequence[Result]) -> list[Answer]:
    return [result for result in results if isinstance(result, Answer)]


def _fields(place: PlaceAnswer, rank: int) -> dict[str, Any]:
    return {"rank": rank, **place_json(place)}


def _share(area: AreaShare) -> dict[str, Any]:
    return {
        "code": area.code,
        "name": area.name,
        "probability": float(f"{area.probability:.6g}"),
    }


def _heat(heat: Heat) -> dict[str, Any]:
    cells = [[south, west, float(f"{share:.4g}")] for south, west, share in heat.cells]
    return {"cell_deg": heat.cell_deg, "cells": cells}


def _sureness(answer: Answer) -> dict[str, Any]:
    """What tables say once an answer: its radii by level, and its doubts."""
    told: dict[str, Any] = {
        f"radius_{100 * radius.level:g}_km": round(radius.km, 3) for radius in answer.radii
    }
    calibrated = any(radius.calibrated for radius in answer.radii)
    return {**told, "calibrated": calibrated, "doubts": " ".join(answer.doubts)}


def _feature(answer: Answer, place: PlaceAnswer, rank: int) -> dict[str, Any]:
    properties = _fields(place, rank) | (_sureness(answer) if rank == 1 else {})
    lat, lon = properties.pop("latitude_deg"), properties.pop("longitude_deg")
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
        "properties": {"source": answer.source, **properties},
    }


def _answer_text(answer: Answer, truth_deg: tuple[float, float] | None) -> str:
    cells = [
        (f"{rank}.", f"{place.probability:.1%}", coordinates_text(place.latlon_deg))
        for rank, place in enumerate(answer.places, 1)
    ]
    ranks, shares, where = (max(map(len, column)) for column in zip(*cells, strict=True))
    lines = [
        f"  {cell[0]:>{ranks}}  {cell[1]:>{shares}}  {cell[2]:<{where}}"
        f"  {_printable(place.name)}{_score_text(place)}"
        for cell, place in zip(cells, answer.places, strict=True)
    ]
    lines += [f"  {line}" for line in (*_radii_text(answer), *_shares_text(answer))]
    lines += [f"  {DOUBTS[doubt]}" for doubt in answer.doubts]
    if truth_deg is not None:
        first = np.asarray(answer.places[0].latlon_deg)
        away = distance_text(float(great_circle_km(first, np.asarray(truth_deg))))
        lines.append(f"  true place {away} from the first answer")
    return "\n".join([_printable(answer.source), *lines])


def _radii_text(answer: Answer) -> list[str]:
    if not answer.radii:
        return []
    told = ", ".join(
        f"within {distance_text(radius.km)} with {100 * radius.level:g} %"
        for radius in answer.radii
    )
    calibrated = all(radius.calibrated for radius in answer.radii)
    return [f"{told} of the first place" + ("" if calibrated else " (not calibrated)")]


def _shares_text(answer: Answer) -> list[str]:
    shown = [area for area in answer.countries[:4] if area.probability >= 0.01]
    told = ", ".join(f"{_printable(area.name)} {area.probability:.0%}" for area in shown)
    return [f"countries: {told}"] if told else []


def _score_text(place: PlaceAnswer) -> str:
    if place.score is None:
        return ""
    like = "" if place.reference is None else f", as in {_printable(place.reference)}"
    return f"  (score {place.score:.3f}{like})"


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)

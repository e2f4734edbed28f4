"""Answers in every form: text, CSV, KML, and here JSON and GeoJSON; from answers to a string."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, TypeAlias

from geoloc.inference.answer_rows import (
    CSV_COLUMNS,
    camera_fields,
    place_fields,
    sureness_fields,
    to_csv,
)
from geoloc.inference.answer_text import DOUBTS, coordinates_text, distance_text, to_text
from geoloc.inference.answers import Answer, AreaShare, Heat, PlaceAnswer, Refusal
from geoloc.inference.camera import CameraPlace, Result
from geoloc.inference.kml import to_kml

__all__ = [
    "CSV_COLUMNS",
    "DOUBTS",
    "SCHEMA_VERSION",
    "AnswerFormat",
    "answer_json",
    "coordinates_text",
    "distance_text",
    "format_answers",
    "refusal_json",
    "result_json",
    "to_csv",
    "to_geojson",
    "to_json",
    "to_kml",
    "to_text",
]

AnswerFormat = Literal["text", "json", "geojson", "csv", "kml"]
Cameras: TypeAlias = Mapping[str, CameraPlace]

SCHEMA_VERSION = 2


def format_answers(
    results: Sequence[Result], form: AnswerFormat, cameras: Cameras | None = None
) -> str:
    """The results in one of the forms, each ending in a line break.

    Args:
        results: answers, refusals and camera's places, in order.
        form: which.
        cameras: camera's places by the answers' sources; None where they were not read.
    """
    writers: dict[AnswerFormat, Callable[[], str]] = {
        "text": lambda: to_text(results, cameras=cameras),
        "json": lambda: to_json(results, cameras),
        "geojson": lambda: to_geojson(results, cameras),
        "csv": lambda: to_csv(results, cameras),
        "kml": lambda: to_kml(results, cameras),
    }
    return writers[form]()


def to_json(results: Sequence[Result], cameras: Cameras | None = None) -> str:
    """One JSON object, schema version 2 (`geoloc.inference.schema`).

    Keys: ``schema_version`` (2); ``answers``, a list of `answer_json`; ``refusals``, a list of
    objects with ``source``, ``kind`` and ``message``; and ``camera_places`` where there are any.
    Order is that of the input within each list.

    Args:
        results: answers, refusals and camera's places, in order.
        cameras: camera's places by the answers' sources, for ``camera`` of the answers.
    """
    told = [result_json(result, cameras) for result in results]
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "answers": [each["answer"] for each in told if "answer" in each],
        "refusals": [each["refusal"] for each in told if "refusal" in each],
    }
    if carried := [each["camera_place"] for each in told if "camera_place" in each]:
        content["camera_places"] = carried
    return _document(content)


def result_json(result: Result, cameras: Cameras | None = None) -> dict[str, Any]:
    """One result under the key that says what it is: ``answer``, ``refusal``, ``camera_place``.

    Args:
        result: any of the three.
        cameras: camera's places by the answers' sources: an answer then has ``camera``, null
            where its image carries no place.
    """
    if isinstance(result, Refusal):
        return {"refusal": refusal_json(result)}
    if isinstance(result, CameraPlace):
        return {"camera_place": result.json()}
    told = answer_json(result)
    if cameras is not None:
        camera = cameras.get(result.source)
        told["camera"] = None if camera is None else camera_fields(result, camera)
    return {"answer": told}


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
        "places": [place_fields(place, rank) for rank, place in enumerate(answer.places, 1)],
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


def to_geojson(results: Sequence[Result], cameras: Cameras | None = None) -> str:
    """A GeoJSON FeatureCollection (RFC 7946): a point a place, longitude before latitude.

    The properties are ``source`` and the fields of a place in `to_json` without its coordinates,
    and at an answer's first place ``radius_50_km`` and the like, ``calibrated`` and ``doubts``;
    ``from`` is ``model``, or ``camera`` at the point of an image's own place. ``refusals`` and
    ``schema_version`` stand beside ``features`` as foreign members (section 6.1).

    Args:
        results: answers, refusals and camera's places, in order.
        cameras: camera's places by the answers' sources, a point each after the answer's.
    """
    known = cameras or {}
    features: list[dict[str, Any]] = []
    for result in results:
        if isinstance(result, Answer):
            features += [_place(result, at, rank) for rank, at in enumerate(result.places, 1)]
        shown = result if isinstance(result, CameraPlace) else known.get(result.source)
        if shown is not None and not isinstance(result, Refusal):
            features.append(_feature({**shown.json(), "from": "camera"}))
    content = {
        "type": "FeatureCollection",
        "schema_version": SCHEMA_VERSION,
        "features": features,
        "refusals": [refusal_json(each) for each in results if isinstance(each, Refusal)],
    }
    return _document(content)


def _document(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _share(area: AreaShare) -> dict[str, Any]:
    return {
        "code": area.code,
        "name": area.name,
        "probability": float(f"{area.probability:.6g}"),
    }


def _heat(heat: Heat) -> dict[str, Any]:
    cells = [[south, west, float(f"{share:.4g}")] for south, west, share in heat.cells]
    return {"cell_deg": heat.cell_deg, "cells": cells}


def _place(answer: Answer, place: PlaceAnswer, rank: int) -> dict[str, Any]:
    sure = sureness_fields(answer) if rank == 1 else {}
    fields = {"source": answer.source, **place_fields(place, rank), **sure, "from": "model"}
    return _feature(fields)


def _feature(fields: dict[str, Any]) -> dict[str, Any]:
    lat, lon = fields.pop("latitude_deg"), fields.pop("longitude_deg")
    return {
        "type": "Feature",
        "geometry": {"type": "Point", "coordinates": [lon, lat]},
        "properties": fields,
    }

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from geoloc.geodesy import great_circle_km
from geoloc.inference import (
    Answer,
    AreaShare,
    Basis,
    CredibleRadius,
    Heat,
    MeasuredSplit,
    PlaceAnswer,
    Refusal,
)
from geoloc.inference.formats import (
    CSV_COLUMNS,
    DOUBTS,
    coordinates_text,
    distance_text,
    format_answers,
    to_csv,
    to_geojson,
    to_json,
    to_text,
)

PARIS = PlaceAnswer(
    latlon_deg=(48.8566, 2.3522),
    score=0.31,
    probability=0.125,
    city="Paris",
    city_km=0.4,
    region="Île-de-France",
    country_code="FR",
    country="France",
)
SEA = PlaceAnswer(
    latlon_deg=(-10.5, -120.25),
    score=0.1,
    probability=1e-9,
    city='Adamstown, "Pitcairn"',
    city_km=1700.0,
    region=None,
    country_code=None,
    country=None,
)
BASIS = Basis(
    model="abc123",
    gallery="even-land",
    gallery_places=30_000,
    decoding="argmax",
    calibrated=False,
    protocol="softmax",
    version="1.0",
    run="demo",
    measured=(MeasuredSplit(split="easy", protocol="geoclip", images=10, median_km=66.0),),
)


def answer_of(source: str, *places: PlaceAnswer, **more: Any) -> Answer:
    plain: dict[str, Any] = {"radii": (), "countries": (), "regions": (), "doubts": ()}
    return Answer(source=source, places=places, apart_km=25.0, basis=BASIS, **(plain | more))


ANSWER = answer_of("a, b.jpg", PARIS, SEA)
OTHER = answer_of("c.jpg", SEA)
SURE = replace(
    ANSWER,
    radii=(
        CredibleRadius(level=0.5, km=12.0, calibrated=True),
        CredibleRadius(level=0.9, km=340.2, calibrated=True),
    ),
    countries=(
        AreaShare(code="FR", name="France", probability=0.75),
        AreaShare(code=None, name="at sea", probability=0.003),
    ),
    regions=(AreaShare(code="FR-J", name="Paris", probability=0.5, country_code="FR"),),
    doubts=("flat_posterior",),
    heat=Heat(cell_deg=2.0, cells=((48.0, 2.0, 0.75), (-90.0, -180.0, 0.25))),
)
REFUSAL = Refusal(source="d.jpg", message="no such file", kind="missing")
RESULTS = [ANSWER, REFUSAL, OTHER]


def test_text_is_aligned_and_names_everything() -> None:
    lines = to_text(RESULTS).split("\n")
    assert lines[0] == "a, b.jpg"
    assert "1." in lines[1]
    assert "12.5%" in lines[1]
    assert "48.8566 N, 2.3522 E" in lines[1]
    assert "Paris, Île-de-France, France" in lines[1]
    assert "10.5000 S, 120.2500 W" in lines[2]
    assert "at sea" in lines[2]
    assert lines[1].index("Paris") == lines[2].index("1700 km from")
    assert "d.jpg: refused: no such file" in lines
    assert to_text([]) == ""


def test_text_shows_control_characters_instead_of_obeying_them() -> None:
    hostile = answer_of("x\x1b[2J\n\u202ey.jpg", PARIS)
    refused = Refusal(source="\x07\n", message="a\rb", kind="k")
    text = to_text([hostile, refused])
    assert not set(text) & set("\x1b\u202e\x07\r")
    assert len(text.split("\n")) == 5


def test_json_is_the_documented_schema() -> None:
    content = json.loads(to_json(RESULTS))
    assert set(content) == {"schema_version", "answers", "refusals"}
    assert content["schema_version"] == 2
    assert [answer["source"] for answer in content["answers"]] == ["a, b.jpg", "c.jpg"]
    assert set(content["answers"][0]) == {
        *("source", "places", "apart_km", "radii", "countries", "regions"),
        *("abstain", "doubts", "heat", "basis"),
    }
    assert content["answers"][0]["places"][0] == {
        "rank": 1,
        "latitude_deg": 48.8566,
        "longitude_deg": 2.3522,
        "score": 0.31,
        "probability": 0.125,
        "city": "Paris",
        "city_km": 0.4,
        "region": "Île-de-France",
        "country_code": "FR",
        "country": "France",
        "reference": None,
    }
    sea = content["answers"][0]["places"][1]
    assert (sea["region"], sea["country_code"], sea["country"]) == (None, None, None)
    assert sea["probability"] == 1e-9
    refusal = {"source": "d.jpg", "kind": "missing", "message": "no such file"}
    assert content["refusals"] == [refusal]


def test_json_says_how_sure_an_answer_is_and_what_it_rests_on() -> None:
    told = json.loads(to_json([SURE]))["answers"][0]
    assert told["radii"] == [
        {"level": 0.5, "km": 12.0, "calibrated": True},
        {"level": 0.9, "km": 340.2, "calibrated": True},
    ]
    assert told["countries"][1] == {"code": None, "name": "at sea", "probability": 0.003}
    assert told["regions"] == [
        {"code": "FR-J", "name": "Paris", "probability": 0.5, "country_code": "FR"}
    ]
    assert (told["abstain"], told["doubts"]) == (True, ["flat_posterior"])
    assert told["heat"] == {"cell_deg": 2.0, "cells": [[48.0, 2.0, 0.75], [-90.0, -180.0, 0.25]]}
    assert told["basis"]["measured"][0]["median_km"] == 66.0
    assert told["basis"]["gallery_places"] == 30_000


def test_sureness_is_told_once_an_answer_in_every_form() -> None:
    lines = to_text([SURE, OTHER], {"a, b.jpg": (48.8566, 2.3522)}).split("\n")
    assert lines[1] == f"  doubtful: {DOUBTS['flat_posterior']}"
    assert lines[4:7] == [
        "  within 12 km of the first place with 50 %, within 340 km with 90 %",
        "  countries: France 75%",
        "  true place 0.0 km from the first answer",
    ]
    assert sum("within" in line for line in lines) == 1
    first, second = (each["properties"] for each in json.loads(to_geojson([SURE]))["features"])
    assert (first["radius_50_km"], first["radius_90_km"], first["calibrated"]) == (
        12.0,
        340.2,
        True,
    )
    assert "radius_50_km" not in second
    rows = list(csv.DictReader(io.StringIO(to_csv([SURE]))))
    assert [row["radius_90_km"] for row in rows] == ["340.2", ""]
    assert rows[0]["doubts"] == "flat_posterior"


def test_an_unchecked_radius_says_so() -> None:
    radius = CredibleRadius(level=0.9, km=340.2, calibrated=False)
    assert "(not calibrated)" in to_text([replace(SURE, radii=(radius,))])
    assert "(not calibrated)" not in to_text([SURE])


def test_a_radius_of_another_level_is_left_out_of_the_table() -> None:
    radius = CredibleRadius(level=0.8, km=1.0, calibrated=True)
    (row, _) = csv.DictReader(io.StringIO(to_csv([replace(SURE, radii=(radius,))])))
    assert tuple(row) == CSV_COLUMNS
    assert (row["radius_50_km"], row["calibrated"]) == ("", "True")


def test_geojson_has_longitude_first() -> None:
    content = json.loads(to_geojson(RESULTS))
    assert content["type"] == "FeatureCollection"
    assert len(content["features"]) == 3
    for feature in content["features"]:
        assert feature["type"] == "Feature"
        assert feature["geometry"]["type"] == "Point"
    assert content["features"][0]["geometry"]["coordinates"] == [2.3522, 48.8566]
    # Only read the other way round would this longitude be out of range.
    assert content["features"][1]["geometry"]["coordinates"] == [-120.25, -10.5]
    assert content["features"][2]["properties"]["source"] == "c.jpg"
    assert "latitude_deg" not in content["features"][0]["properties"]


def test_geojson_is_read_by_another_implementation() -> None:
    shapely = pytest.importorskip("shapely")
    geometry = shapely.from_geojson(to_geojson([ANSWER]))
    assert [(point.x, point.y) for point in geometry.geoms] == [
        (2.3522, 48.8566),
        (-120.25, -10.5),
    ]


def test_csv_survives_commas_and_quotes() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(RESULTS))))
    assert tuple(rows[0]) == CSV_COLUMNS
    assert [row["source"] for row in rows] == ["a, b.jpg", "a, b.jpg", "c.jpg"]
    assert [row["rank"] for row in rows] == ["1", "2", "1"]
    assert rows[1]["city"] == 'Adamstown, "Pitcairn"'
    assert rows[1]["country"] == ""
    assert float(rows[0]["latitude_deg"]) == 48.8566


@pytest.mark.parametrize("form", ["text", "json", "geojson", "csv"])
def test_format_answers_picks_the_writer(form: Any) -> None:
    writers = {"text": to_text, "json": to_json, "geojson": to_geojson, "csv": to_csv}
    assert format_answers(RESULTS, form) == writers[form](RESULTS)
    assert format_answers(RESULTS, form).endswith("\n")


@example(source="0\r", lat=0.0, lon=0.0)
@example(source="\r1", lat=0.0, lon=0.0)
@example(source="\n", lat=0.0, lon=0.0)
@given(source=st.text(), lat=st.floats(-90, 90), lon=st.floats(-180, 180))
def test_any_source_and_place_come_back(source: str, lat: float, lon: float) -> None:
    place = PlaceAnswer(
        latlon_deg=(lat, lon),
        score=0.0,
        probability=0.0,
        city=source,
        city_km=0.0,
        region=None,
        country_code=None,
        country=None,
    )
    answer = answer_of(source, place)
    feature = json.loads(to_geojson([answer]))["features"][0]
    assert feature["geometry"]["coordinates"] == pytest.approx([lon, lat], abs=1e-6)
    assert feature["properties"]["source"] == source
    rows = list(csv.reader(io.StringIO(to_csv([answer]), newline="")))
    assert rows[1][0] == source
    assert len(to_text([answer]).split("\n")) == 3


@pytest.mark.parametrize(
    ("latlon_deg", "text"),
    [
        ((0.0, 0.0), "0.0000 N, 0.0000 E"),
        ((-33.92491, 18.42409), "33.9249 S, 18.4241 E"),
        ((89.99999, -180.0), "90.0000 N, 180.0000 W"),
    ],
)
def test_coordinates_text(latlon_deg: tuple[float, float], text: str) -> None:
    assert coordinates_text(latlon_deg) == text


def test_text_says_how_far_the_true_place_is_where_it_is_known() -> None:
    away = great_circle_km(np.array(PARIS.latlon_deg), np.array([48.0, 2.0]))
    text = to_text([ANSWER, OTHER], {"a, b.jpg": (48.0, 2.0)})
    first, other = text.split("\n\n")
    assert first.split("\n")[-1] == f"  true place {away:.0f} km from the first answer"
    assert "true place" not in other
    assert to_text(RESULTS, {}) == to_text(RESULTS)
    assert "0.0 km from the first" in to_text([ANSWER], {"a, b.jpg": PARIS.latlon_deg})


@pytest.mark.parametrize(
    ("km", "text"), [(0.04, "0.0 km"), (9.94, "9.9 km"), (9.96, "10 km"), (9700.4, "9,700 km")]
)
def test_distances_for_people(km: float, text: str) -> None:
    assert distance_text(km) == text

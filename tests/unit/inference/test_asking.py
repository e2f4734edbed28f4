"""Asking about files: answers of single images, in order, with what the cameras said."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import get_args

import jsonschema
import numpy as np
import pytest
from PIL import ExifTags, Image

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km
from geoloc.inference import Answer, Geolocator, Refusal
from geoloc.inference.answer_lines import header_text, line_text
from geoloc.inference.answer_text import DOUBTS
from geoloc.inference.answers import Doubt
from geoloc.inference.asking import Question, ask_files, asked_json, query_json
from geoloc.inference.asking_together import ask_together, ask_trip, grouped_by_folder
from geoloc.inference.camera import CameraPlace, camera_place
from geoloc.inference.camera_errors import comparison_text
from geoloc.inference.formats import to_csv, to_geojson, to_json, to_text
from geoloc.inference.schema import schema_text

Photo = Callable[..., Image.Image]
SCHEMA = json.loads(schema_text())


def valid(content: object, part: str | None = None) -> bool:
    schema = SCHEMA if part is None else {"$ref": f"#/$defs/{part}", "$defs": SCHEMA["$defs"]}
    return jsonschema.Draft202012Validator(schema).is_valid(content)


def exif_of(place: tuple[float, float] | None, taken: datetime | None) -> Image.Exif:
    exif = Image.Exif()
    if place is not None:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(
            {1: "S" if place[0] < 0 else "N", 2: abs(place[0]), 3: "E", 4: place[1]}
        )
        exif[ExifTags.IFD.GPSInfo] = exif.get_ifd(ExifTags.IFD.GPSInfo)
    if taken is not None:
        exif.get_ifd(ExifTags.IFD.Exif)[36867] = taken.strftime("%Y:%m:%d %H:%M:%S")
    return exif


@pytest.fixture
def files(tmp_path: Path, photo: Photo) -> list[Path]:
    """Nine photos by name, the third of them broken; those at 1, 4 and 7 carry a place."""
    paths = [tmp_path / f"{number}.jpg" for number in range(9)]
    for number, path in enumerate(paths):
        place = (-33.9, 18.4) if number % 3 == 1 else None
        # Named against the order of time.
        taken = datetime(2024, 5, 1, 12) - timedelta(hours=number)
        exif = exif_of(place, taken)
        photo(number).save(path, "JPEG", exif=exif)
    paths[3].write_bytes(b"nothing")
    return paths


def first_place(answer: object) -> tuple[float, float]:
    assert isinstance(answer, Answer)
    return answer.places[0].latlon_deg


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 0), (4, 0), (4, 3), (32, 2)])
def test_answers_are_those_of_single_images_in_order(
    geolocator: Geolocator, files: list[Path], batch_size: int, workers: int
) -> None:
    before = [path.read_bytes() for path in files]
    asked = list(
        ask_files(geolocator, iter(files), Question(), batch_size=batch_size, workers=workers)
    )
    assert [each.result.source for each in asked] == [str(path) for path in files]
    assert [each.key and each.key.path for each in asked] == [str(path) for path in files]
    assert all(each.camera is None for each in asked)
    assert isinstance(asked[3].result, Refusal)
    for number in (0, 5, 8):
        assert first_place(asked[number].result) == first_place(geolocator.locate(files[number]))
    assert [path.read_bytes() for path in files] == before


def test_places_that_images_carry(geolocator: Geolocator, files: list[Path]) -> None:
    for exif in ("report", "compare"):
        asked = list(ask_files(geolocator, files, Question(exif=exif), batch_size=4))
        assert [each.camera is not None for each in asked] == [n % 3 == 1 for n in range(9)]
        assert isinstance(asked[1].result, Answer)
        off_km = float(
            great_circle_km(np.array(first_place(asked[1].result)), np.array([-33.9, 18.4]))
        )
        assert asked[1].off_km == pytest.approx(off_km, abs=0.01)
        assert asked[0].off_km is None
        lines = [json.loads(line_text(asked_json(each, exif=exif))) for each in asked]
        assert all(valid(line, "line") for line in lines)
        assert lines[1]["answer"]["camera"]["distance_km"] == pytest.approx(off_km, abs=0.01)
        assert lines[0]["answer"]["camera"] is None
        assert lines[3]["refusal"]["kind"] == "not_an_image"


def test_images_with_a_place_are_not_asked_about(
    geolocator: Geolocator, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    embed = type(geolocator.stages).embed

    def counting(stages, images):
        seen.append(len(images))
        return embed(stages, images)

    monkeypatch.setattr(type(geolocator.stages), "embed", counting)
    asked = list(ask_files(geolocator, files, Question(exif="skip"), batch_size=4, workers=2))
    assert sum(seen) == 5
    assert [each.result.source for each in asked] == [str(path) for path in files]
    carried = [each.result for each in asked if isinstance(each.result, CameraPlace)]
    assert [place.source for place in carried] == [str(files[n]) for n in (1, 4, 7)]
    assert carried[0].latlon_deg == pytest.approx((-33.9, 18.4), abs=1e-6)
    assert (carried[0].country_code, carried[0].city) == ("ZA", "Cape Town")
    results = [each.result for each in asked]
    content = json.loads(to_json(results))
    assert valid(content)
    assert len(content["camera_places"]) == 3
    rows = [row for row in to_csv(results).splitlines() if ",camera," in row]
    assert len(rows) == 3
    assert "the model was not asked" in to_text(results)
    lines = [json.loads(line_text(asked_json(each, exif="skip"))) for each in asked]
    assert all(valid(line, "line") for line in lines)


def test_exif_is_not_even_read_where_it_is_to_be_ignored(
    geolocator: Geolocator, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr("geoloc.inference.asking.camera_place", forbidden)
    assert len(list(ask_files(geolocator, files, Question()))) == 9


def test_every_form_tells_the_cameras_place(geolocator: Geolocator, files: list[Path]) -> None:
    asked = list(ask_files(geolocator, files[:2], Question(exif="report")))
    results = [each.result for each in asked]
    cameras = {each.result.source: each.camera for each in asked if each.camera is not None}
    content = json.loads(to_json(results, cameras))
    assert valid(content)
    assert content["answers"][0]["camera"] is None
    points = json.loads(to_geojson(results, cameras))["features"]
    camera = [point for point in points if point["properties"]["from"] == "camera"]
    assert [point["geometry"]["coordinates"] for point in camera] == [[18.4, -33.9]]
    assert "33.9000 S, 18.4000 E  Cape Town" in to_text(results, None, cameras)
    row = next(line for line in to_csv(results, cameras).splitlines() if "-33.9,18.4" in line)
    assert row.startswith(f"{files[1]},1,")


def test_the_schema_is_one_and_refuses_what_is_not_an_answer(
    geolocator: Geolocator, files: list[Path]
) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    known = SCHEMA["$defs"]["answer"]["properties"]["doubts"]["items"]["enum"]
    assert set(known) == set(get_args(Doubt)) == set(DOUBTS)
    question = Question(top_k=3, apart_km=0.0, heat=True)
    asked = list(ask_files(geolocator, files, question))
    content = json.loads(to_json([each.result for each in asked]))
    assert valid(content)
    assert content["answers"][0]["heat"]["cells"]
    assert valid(json.loads(header_text(query_json(geolocator, question))), "header")
    for key in ("places", "basis", "doubts"):
        broken = json.loads(json.dumps(content))
        del broken["answers"][0][key]
        assert not valid(broken)
    content["answers"][0]["places"][0]["latitude_deg"] = 91
    assert not valid(content)


def test_queries_differ_by_all_that_decides_answers(geolocator: Geolocator) -> None:
    plain = query_json(geolocator, Question())
    assert plain == query_json(geolocator, Question())
    assert plain["places"] == geolocator.gallery.places_fingerprint
    others = [
        query_json(geolocator, Question(exif="skip")),
        query_json(geolocator, Question(top_k=2)),
        query_json(geolocator, Question(apart_km=1.0)),
        query_json(geolocator, Question(), {"csls": True}),
    ]
    assert plain not in others


def test_numbers_out_of_range(geolocator: Geolocator, files: list[Path]) -> None:
    for pace in ({"batch_size": 0}, {"workers": -1}):
        with pytest.raises(ConfigError, match="must be at least"):
            list(ask_files(geolocator, files, Question(), **pace))
        with pytest.raises(ConfigError, match="must be at least"):
            list(ask_together(geolocator, {"": files}, Question(), **pace))


def test_images_of_one_place_have_one_answer(geolocator: Geolocator, files: list[Path]) -> None:
    refused, answer = (
        each.result for each in ask_together(geolocator, {"": files}, Question(), batch_size=2)
    )
    assert isinstance(refused, Refusal)
    good = [path for path in files if path != files[3]]
    expected = geolocator.locate_together(good)
    assert first_place(answer) == first_place(expected)
    assert answer.source == expected.source
    groups = grouped_by_folder([*files[:2], Path("x/y/a.jpg"), Path("x/y/b.jpg")])
    assert list(groups) == [str(files[0].parent), "x/y"]
    named = [each.result for each in ask_together(geolocator, {"hotel": files[:2]}, Question())]
    assert [each.source for each in named] == ["hotel"]
    (alone,) = ask_together(geolocator, {"none": [files[3]]}, Question())
    assert alone.result == refused


def test_a_trip_goes_by_time(geolocator: Geolocator, files: list[Path], photo: Photo) -> None:
    timeless = files[0].parent / "timeless.jpg"
    photo(20).save(timeless)
    asked = list(ask_trip(geolocator, [*files, timeless], Question(exif="report"), workers=2))
    refused = [each.result for each in asked if isinstance(each.result, Refusal)]
    # The broken one is refused for what it is.
    assert [each.kind for each in refused] == ["not_an_image", "no_time"]
    missing = files[0].parent / "missing.jpg"
    (gone,) = ask_trip(geolocator, [missing], Question())
    (alone,) = ask_files(geolocator, [missing], Question())
    assert gone.result == alone.result
    order = [each for each in asked if isinstance(each.result, Answer)]
    good = [files[number] for number in (8, 7, 6, 5, 4, 2, 1, 0)]
    assert [each.result.source for each in order] == [str(path) for path in good]
    expected = geolocator.locate_trip(good, [0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 7.0, 8.0])
    assert [first_place(each.result) for each in order] == [first_place(e) for e in expected]
    assert [each.camera is not None for each in order] == [False, True] + [False] * 2 + [
        True,
        False,
        True,
        False,
    ]
    assert list(ask_trip(geolocator, [], Question())) == []


def test_a_camera_without_a_place(tmp_path: Path, photo: Photo) -> None:
    buffer = io.BytesIO()
    photo(0).save(buffer, "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(buffer.getvalue())
    assert camera_place(path) is None
    assert camera_place(tmp_path / "none.jpg") is None


def test_errors_in_one_line() -> None:
    told = comparison_text([1.0, 100.0, 5000.0, 30.0], images=9)
    assert told.startswith("4 of 9 answered images carry a place: median error 65 km; ")
    assert "25% within 25 km, 75% within 200 km" in told
    assert comparison_text([], images=9).startswith("none of 9")

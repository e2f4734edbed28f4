"""KML: elements in the order that the standard wants, places where they belong, hostile names."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from geoloc.geodesy import great_circle_km
from geoloc.inference import Answer, Basis, CredibleRadius, PlaceAnswer, Refusal
from geoloc.inference.camera import CameraPlace
from geoloc.inference.kml import to_kml

KML = "{http://www.opengis.net/kml/2.2}"
# What OGC 07-147r2 lets an element hold, in the order in which it must stand there.
ORDER = {
    "kml": ["Document"],
    "Document": ["name", "description", "Style", "Folder"],
    "Style": ["IconStyle", "LineStyle"],
    "IconStyle": ["color", "scale"],
    "LineStyle": ["color", "width"],
    "Folder": ["name", "description", "Placemark"],
    "Placemark": ["name", "description", "styleUrl", "ExtendedData", "Point", "MultiGeometry"],
    "ExtendedData": ["Data"],
    "Data": ["value"],
    "Point": ["coordinates"],
    "MultiGeometry": ["LineString"],
    "LineString": ["tessellate", "coordinates"],
}
BASIS = Basis(
    model="abc123",
    gallery="even-land",
    gallery_places=30_000,
    decoding="argmax",
    calibrated=False,
    protocol="softmax",
    version="1.0",
)


def place(lat: float, lon: float, probability: float = 0.25) -> PlaceAnswer:
    return PlaceAnswer(
        latlon_deg=(lat, lon),
        score=0.5,
        probability=probability,
        city="Suva <b>& Co",
        city_km=3.0,
        region=None,
        country_code="FJ",
        country="Fiji",
    )


ANSWER = Answer(
    source="a.jpg",
    places=(place(-18.1, 178.4), place(10.0, -20.0, 0.1)),
    apart_km=25.0,
    radii=(
        CredibleRadius(level=0.5, km=40.0, calibrated=True),
        CredibleRadius(level=0.9, km=900.0, calibrated=False),
    ),
    countries=(),
    regions=(),
    doubts=("not_a_photograph",),
    basis=BASIS,
)
CAMERA = CameraPlace(
    source="a.jpg",
    latlon_deg=(-17.0, 177.0),
    name="Nadi, Fiji",
    city="Nadi",
    city_km=1.0,
    region=None,
    country_code="FJ",
    country="Fiji",
)


def read(text: str) -> ElementTree.Element:
    root = ElementTree.fromstring(text)
    for element in root.iter():
        allowed = ORDER.get(element.tag.removeprefix(KML), [])
        tags = [child.tag.removeprefix(KML) for child in element]
        assert tags == sorted(tags, key=allowed.index)
    return root


def coordinates(element: ElementTree.Element) -> np.ndarray:
    texts = [found.text or "" for found in element.iter(f"{KML}coordinates")]
    return np.array([[float(v) for v in pair.split(",")] for t in texts for pair in t.split()])


def test_a_folder_an_image_a_point_a_place_longitude_first() -> None:
    refusal = Refusal(source="bad.jpg", message="no", kind="missing")
    root = read(to_kml([ANSWER, refusal, replace(ANSWER, source="c.jpg", radii=(), doubts=())]))
    folders = root.findall(f".//{KML}Folder")
    assert [folder.findtext(f"{KML}name") for folder in folders] == ["a.jpg", "c.jpg"]
    marks = folders[0].findall(f"{KML}Placemark")
    assert [mark.findtext(f"{KML}name") for mark in marks] == [
        "1. Suva <b>& Co, Fiji",
        "2. Suva <b>& Co, Fiji",
        "50 % within 40 km",
        "90 % within 900 km",
    ]
    assert marks[0].findtext(f".//{KML}coordinates") == "178.400000,-18.100000"
    assert marks[0].findtext(f".//{KML}Data[@name='probability']/{KML}value") == "0.25"
    assert "photograph" in (folders[0].findtext(f"{KML}description") or "")
    assert folders[1].find(f"{KML}description") is None
    styles = {f"#{style.get('id')}" for style in root.iter(f"{KML}Style")}
    assert {url.text for url in root.iter(f"{KML}styleUrl")} <= styles


def test_circles_lie_at_their_radius_and_are_cut_at_the_antimeridian() -> None:
    root = read(to_kml([ANSWER]))
    small, large = root.findall(f".//{KML}MultiGeometry")
    for circle, radius_km in ((small, 40.0), (large, 900.0)):
        lonlat = coordinates(circle)
        away = great_circle_km(lonlat[:, ::-1], np.array([[-18.1, 178.4]]))
        np.testing.assert_allclose(away, radius_km, rtol=1e-3)
    assert len(small.findall(f"{KML}LineString")) == 1
    assert len(large.findall(f"{KML}LineString")) == 3
    for line in large.iter(f"{KML}LineString"):
        assert np.abs(np.diff(coordinates(line)[:, 0])).max() < 180


@pytest.mark.parametrize("name", ["x\x00\x1b[2J<&>\"'\ud800.jpg", "\uffff\r\n.jpg"])
def test_names_that_xml_does_not_allow(name: str) -> None:
    text = to_kml([replace(ANSWER, source=name)])
    text.encode("utf-8")
    assert "\x1b" not in text
    root = read(text)
    assert (root.findtext(f".//{KML}Folder/{KML}name") or "").endswith(".jpg")


def test_cameras_have_points_of_their_own() -> None:
    root = read(to_kml([ANSWER, replace(CAMERA, source="b.jpg")], {"a.jpg": CAMERA}))
    marks = [m for m in root.iter(f"{KML}Placemark") if m.findtext(f"{KML}styleUrl") == "#camera"]
    assert [mark.findtext(f"{KML}name") for mark in marks] == ["Camera: Nadi, Fiji"] * 2
    assert marks[1].findtext(f".//{KML}coordinates") == "177.000000,-17.000000"


def test_nothing_answered_is_a_document_too() -> None:
    assert len(read(to_kml([])).findall(f".//{KML}Folder")) == 0

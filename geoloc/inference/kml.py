"""Answers as KML, for Google Earth and whatever else reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from jaxtyping import Float

from geoloc.geodesy import destination_deg
from geoloc.inference.answer_text import distance_text
from geoloc.inference.answers import Answer, CredibleRadius, PlaceAnswer
from geoloc.inference.camera import CameraPlace, Result

_NAMESPACE = "http://www.opengis.net/kml/2.2"
_CORNERS = 180
# Colours are alpha, blue, green, red.
_STYLES = {
    "first": ("ffb27200", 1.1, 2.0),
    "other": ("b3b27200", 0.7, 1.0),
    "radius": ("ccb27200", 0.0, 2.0),
    "camera": ("ff005ed5", 1.0, 2.0),
}
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_kml(results: Sequence[Result], cameras: Mapping[str, CameraPlace] | None = None) -> str:
    """A KML document: a folder an image, a point a place, a line around each credible radius.

    A point's name is rank and place, its description the probability; score, probability, country
    code and source stand in its extended data. The camera's place is a point of its own colour.
    Refused images have no folder. Circles are cut where they cross the antimeridian; characters
    that XML does not allow (in names of files) are replaced.

    Source: OGC 07-147r2 (KML 2.2), whose order of elements is kept.

    Args:
        results: answers, refusals and camera's places, in order.
        cameras: camera's places by the answers' sources.
    """
    known = cameras or {}
    root = Element("kml", xmlns=_NAMESPACE)
    document = SubElement(root, "Document")
    _text(document, "name", "geoloc: where images may have been taken")
    basis = {answer.basis for answer in results if isinstance(answer, Answer)}
    if len(basis) == 1:
        one = basis.pop()
        words = f"Model {one.model[:12]}, gallery {one.gallery} of {one.gallery_places:,} places"
        _text(document, "description", f"{words}; {one.protocol}.")
    for name, (colour, scale, width) in _STYLES.items():
        style = SubElement(document, "Style", id=name)
        icon = SubElement(style, "IconStyle")
        _text(icon, "color", colour)
        _text(icon, "scale", str(scale))
        line = SubElement(style, "LineStyle")
        _text(line, "color", colour)
        _text(line, "width", str(width))
    for result in results:
        if isinstance(result, Answer):
            _answer(document, result, known.get(result.source))
        elif isinstance(result, CameraPlace):
            folder = SubElement(document, "Folder")
            _text(folder, "name", result.source)
            _camera(folder, result)
    ElementTree.indent(root, space=" ")
    body = ElementTree.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{body}\n'


def _answer(document: Element, answer: Answer, camera: CameraPlace | None) -> None:
    folder = SubElement(document, "Folder")
    _text(folder, "name", answer.source)
    if answer.doubts:
        words = ", ".join(doubt.replace("_", " ") for doubt in answer.doubts)
        _text(folder, "description", f"Not to be relied on: {words}.")
    for rank, place in enumerate(answer.places, 1):
        _place(folder, answer.source, place, rank)
    for radius in answer.radii:
        _circle(folder, answer.places[0], radius)
    if camera is not None:
        _camera(folder, camera)


def _place(folder: Element, source: str, place: PlaceAnswer, rank: int) -> None:
    mark = SubElement(folder, "Placemark")
    _text(mark, "name", f"{rank}. {place.name}")
    _text(mark, "description", f"Probability {place.probability:.1%}")
    _text(mark, "styleUrl", "#first" if rank == 1 else "#other")
    data = {
        "source": source,
        "rank": str(rank),
        "probability": f"{place.probability:.6g}",
        "score": "" if place.score is None else f"{place.score:.6f}",
        "country_code": place.country_code or "",
    }
    _point(mark, place.latlon_deg, data)


def _camera(folder: Element, camera: CameraPlace) -> None:
    mark = SubElement(folder, "Placemark")
    _text(mark, "name", f"Camera: {camera.name}")
    _text(mark, "description", "The place in the photo's EXIF data; no model was asked for it.")
    _text(mark, "styleUrl", "#camera")
    _point(mark, camera.latlon_deg, {"source": camera.source})


def _point(mark: Element, latlon_deg: tuple[float, float], data: Mapping[str, str]) -> None:
    extended = SubElement(mark, "ExtendedData")
    for name, value in data.items():
        _text(SubElement(extended, "Data", name=name), "value", value)
    _text(SubElement(mark, "Point"), "coordinates", _coordinates(np.array([latlon_deg])))


def _circle(folder: Element, place: PlaceAnswer, radius: CredibleRadius) -> None:
    mark = SubElement(folder, "Placemark")
    sure = f"{100 * radius.level:g} %"
    _text(mark, "name", f"{sure} within {distance_text(radius.km)}")
    told = "fitted on held-out images" if radius.calibrated else "by the model's word alone"
    _text(mark, "description", f"The true place lies inside with a probability of {sure}, {told}.")
    _text(mark, "styleUrl", "#radius")
    lines = SubElement(mark, "MultiGeometry")
    for piece in _circle_pieces(place.latlon_deg, radius.km):
        line = SubElement(lines, "LineString")
        _text(line, "tessellate", "1")
        _text(line, "coordinates", _coordinates(piece))


def _circle_pieces(
    centre_deg: tuple[float, float], radius_km: float
) -> list[Float[np.ndarray, "_ 2"]]:
    """A circle on the sphere, cut where it steps over the antimeridian."""
    bearing_deg = np.linspace(0.0, 360.0, _CORNERS + 1)
    start = np.broadcast_to(np.array(centre_deg), (len(bearing_deg), 2))
    ring = np.asarray(destination_deg(start, bearing_deg, radius_km))
    steps = np.flatnonzero(np.abs(np.diff(ring[:, 1])) > 180.0) + 1
    # A line of one point is none.
    return [piece for piece in np.split(ring, steps) if len(piece) > 1]


def _coordinates(latlon_deg: Float[np.ndarray, "point 2"]) -> str:
    return " ".join(f"{lon:.6f},{lat:.6f}" for lat, lon in latlon_deg.tolist())


def _text(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = _ILLEGAL.sub("\N{REPLACEMENT CHARACTER}", text)

"""Answers as text for people, and the numbers in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from geoloc.geodesy import great_circle_km
from geoloc.inference.answers import Answer, Doubt, PlaceAnswer
from geoloc.inference.camera import CameraPlace, Result, distance_to_camera_km

DOUBTS: dict[Doubt, str] = {
    "flat_posterior": "the model does not know: half of its probability is farther than 2,500 km",
    "unfamiliar": "it fits no place as well as 95 % of the images that the run was calibrated on",
    "not_a_photograph": "the picture does not look like a photograph",
}
"""What a doubt means, in words."""
_COUNTRIES, _LEAST = 4, 0.01


def to_text(
    results: Sequence[Result],
    truths_deg: Mapping[str, tuple[float, float]] | None = None,
    cameras: Mapping[str, CameraPlace] | None = None,
) -> str:
    """Aligned lines for people: a heading an image, a line a place, best first.

    A refused image has one line of its own, and so has one whose camera's place was taken. Doubts
    come first. Characters that a terminal would obey rather than show (in file names, say) are
    replaced.

    Args:
        results: answers, refusals and camera's places, in the order in which they are shown.
        truths_deg: true places by the answers' sources; where one is known, a last line says how
            far (great circle) it is from the first answer.
        cameras: camera's places by the answers' sources, told likewise.
    """
    truths, known = truths_deg or {}, cameras or {}
    blocks: list[str] = []
    for result in results:
        if isinstance(result, Answer):
            further = _further_text(result, truths.get(result.source), known.get(result.source))
            blocks.append("\n".join([*_answer_lines(result), *further]))
        elif isinstance(result, CameraPlace):
            heading, place = printable(result.source), _camera_text(result)
            blocks.append(
                f"{heading}\n  {place}: taken from its EXIF data, the model was not asked"
            )
        else:
            blocks.append(printable(f"{result.source}: refused: {result.message}"))
    return "\n\n".join(blocks) + "\n" if blocks else ""


def coordinates_text(latlon_deg: tuple[float, float]) -> str:
    """Latitude and longitude for people, such as ``48.8566 N, 2.3522 E``."""
    lat, lon = latlon_deg
    return f"{abs(lat):.4f} {'S' if lat < 0 else 'N'}, {abs(lon):.4f} {'W' if lon < 0 else 'E'}"


def distance_text(distance_km: float) -> str:
    """A distance for people: ``0.4 km``, ``21 km``, ``9,700 km``."""
    return f"{distance_km:.1f} km" if distance_km < 9.95 else f"{distance_km:,.0f} km"


def notes_text(answer: Answer) -> tuple[str, ...]:
    """What is to be said of an answer beside its places: doubts, radii, countries."""
    doubts = [f"doubtful: {DOUBTS[doubt]}" for doubt in answer.doubts]
    return (*doubts, *_radii_text(answer), *_shares_text(answer))


def printable(text: str) -> str:
    """Text with a mark for each character that a terminal would obey rather than show."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _answer_lines(answer: Answer) -> list[str]:
    cells = [
        (f"{rank}.", f"{place.probability:.1%}", coordinates_text(place.latlon_deg))
        for rank, place in enumerate(answer.places, 1)
    ]
    ranks, shares, where = (max(map(len, column)) for column in zip(*cells, strict=True))
    return [
        printable(answer.source),
        *(f"  doubtful: {DOUBTS[doubt]}" for doubt in answer.doubts),
        *(
            f"  {cell[0]:>{ranks}}  {cell[1]:>{shares}}  {cell[2]:<{where}}"
            f"  {printable(place.name)}{_score_text(place)}"
            for cell, place in zip(cells, answer.places, strict=True)
        ),
        *(f"  {line}" for line in (*_radii_text(answer), *_shares_text(answer))),
    ]


def _further_text(
    answer: Answer, truth_deg: tuple[float, float] | None, camera: CameraPlace | None
) -> list[str]:
    lines: list[str] = []
    if camera is not None:
        away = distance_text(distance_to_camera_km(answer, camera))
        lines.append(f"  {_camera_text(camera)}: {away} from the first place")
    if truth_deg is not None:
        first = np.asarray(answer.places[0].latlon_deg)
        away = distance_text(float(great_circle_km(first, np.asarray(truth_deg))))
        lines.append(f"  true place {away} from the first answer")
    return lines


def _camera_text(camera: CameraPlace) -> str:
    return f"camera: {coordinates_text(camera.latlon_deg)}  {printable(camera.name)}"


def _radii_text(answer: Answer) -> list[str]:
    if not answer.radii:
        return []
    first, *others = (
        (distance_text(radius.km), f"{100 * radius.level:g} %") for radius in answer.radii
    )
    told = f"within {first[0]} of the first place with {first[1]}"
    told += "".join(f", within {km} with {level}" for km, level in others)
    calibrated = all(radius.calibrated for radius in answer.radii)
    return [told + ("" if calibrated else " (not calibrated)")]


def _shares_text(answer: Answer) -> list[str]:
    shown = [area for area in answer.countries[:_COUNTRIES] if area.probability >= _LEAST]
    told = ", ".join(f"{printable(area.name)} {area.probability:.0%}" for area in shown)
    return [f"countries: {told}"] if told else []


def _score_text(place: PlaceAnswer) -> str:
    if place.score is None:
        return ""
    like = "" if place.reference is None else f", as in {printable(place.reference)}"
    return f"  (score {place.score:.3f}{like})"

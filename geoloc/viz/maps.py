"""World maps as PNG: one answered query, and the errors of a whole test set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image, ImageOps

from geoloc.errors import DataError
from geoloc.geodesy import equal_earth, great_circle_km, validate_latlon
from geoloc.viz.canvas import (
    ANSWER,
    CREDIT,
    FAINT_INK,
    INK,
    bare_axes,
    new_figure,
    png_bytes,
    put_text,
    save_png,
    shorten,
    world_axes,
)
from geoloc.viz.closeup import closeup_axes, closeup_view, in_view, to_local
from geoloc.viz.marks import draw_dots, draw_places, draw_truth
from geoloc.viz.subjects import AnswerView, PlaceView
from geoloc.viz.tracks import cut_at_antimeridian, great_circle_track

LISTED = 8
_WIDTH, _HEIGHT = 1600, 900
_NEIGHBOURS_KM = 800.0


def draw_query_map(
    answers: AnswerView | Sequence[AnswerView],
    path: Path | str,
    *,
    truth_deg: tuple[float, float] | None = None,
    image: Image.Image | None = None,
) -> Path:
    """Write one answer as a picture of 1600 x 900 pixels: world, close-up, list and photo.

    Of several answers only the best places are drawn, numbered in the order of the answers.

    Args:
        answers: the places, best first; numbered by rank, circles sized by probability.
        path: PNG to write; folders are made as needed.
        truth_deg: where the image was really taken, drawn as a star joined to the best place;
            of a single answer only.
        image: shown in the corner; of a single answer only.

    Raises:
        DataError: there is no answer, or a truth or an image for more than one.
        CoordinateError: `truth_deg` is no place.
    """
    several = answers if isinstance(answers, Sequence) else [answers]
    if not several:
        raise DataError("there is no answer to draw")
    if len(several) > 1:
        if truth_deg is not None or image is not None:
            raise DataError("truth_deg and image belong to a single answer; these are several")
        return _draw_overview(several, path)
    answer = several[0]
    figure = new_figure(_WIDTH, _HEIGHT)
    put_text(figure, 0.02, 0.957, shorten(answer.source, 60), fontsize=17, fontweight="bold")
    put_text(figure, 0.02, 0.922, _headline(answer, truth_deg), fontsize=12, color=FAINT_INK)
    _draw_world(figure, (0.01, 0.28, 0.70, 0.63), answer, truth_deg)
    top = 0.90
    if image is not None:
        _draw_photo(figure, (0.725, 0.56, 0.26, 0.41), image)
        top = 0.54
    height = min(top - 0.07, 0.26 * _WIDTH / _HEIGHT)
    width = height * _HEIGHT / _WIDTH
    box = (0.725 + (0.26 - width) / 2, top - height, width, height)
    _draw_closeup(figure, box, answer, truth_deg)
    _draw_list(figure, (0.02, 0.03, 0.68, 0.245), answer.places, truth_deg)
    put_text(figure, 0.985, 0.018, CREDIT, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)


def _draw_overview(answers: Sequence[AnswerView], path: Path | str) -> Path:
    best = [answer.places[0] for answer in answers]
    figure = new_figure(_WIDTH, _HEIGHT)
    heading = f"Best places of {len(answers)} images"
    put_text(figure, 0.02, 0.957, heading, fontsize=17, fontweight="bold")
    axes = world_axes(figure, (0.01, 0.28, 0.98, 0.65))
    axes.apply_aspect()
    # Only those that are listed need a number; more than these would hide one another.
    xy, listed = equal_earth(_places_deg(best)), 2 * LISTED
    draw_dots(axes, xy[listed:], area=20.0)
    draw_places(axes, xy[:listed], _probabilities(best[:listed]))
    for row, (answer, place) in enumerate(zip(answers, best, strict=True)):
        column, line = divmod(row, LISTED)
        if column > 1:
            put_text(figure, 0.02, 0.018, f"and {len(answers) - row} more", fontsize=9)
            break
        x, y = 0.02 + 0.49 * column, 0.25 - 0.028 * line
        put_text(figure, x + 0.018, y, str(row + 1), fontsize=10, ha="right", fontweight="bold")
        name = f"{shorten(answer.source, 34)}: {place.name}"
        put_text(figure, x + 0.025, y, shorten(name, 82), fontsize=10)
        put_text(figure, x + 0.465, y, percent(place.probability), fontsize=10, ha="right")
    put_text(figure, 0.985, 0.018, CREDIT, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)


def world_map_png(answer: AnswerView, *, truth_deg: tuple[float, float] | None = None) -> bytes:
    """The world with the answer's places, nothing else, as PNG of 860 x 430 pixels."""
    figure = new_figure(860, 430)
    _draw_world(figure, (0.005, 0.01, 0.99, 0.98), answer, truth_deg)
    return png_bytes(figure)


def first_places_png(answers: Sequence[AnswerView]) -> bytes:
    """The world with a dot at the first place of each answer, as PNG of 1120 x 560 pixels."""
    figure = new_figure(1120, 560)
    axes = world_axes(figure, (0.005, 0.01, 0.99, 0.98))
    axes.apply_aspect()
    places = _places_deg([answer.places[0] for answer in answers])
    draw_dots(axes, equal_earth(places), area=20.0)
    return png_bytes(figure)


def closeup_png(answer: AnswerView, *, truth_deg: tuple[float, float] | None = None) -> bytes:
    """The neighbourhood of the best place, or its way to the truth, as PNG of 430 x 430 pixels."""
    figure = new_figure(430, 430)
    _draw_closeup(figure, (0.005, 0.005, 0.99, 0.99), answer, truth_deg)
    return png_bytes(figure)


def _draw_world(
    figure: Figure,
    box: tuple[float, float, float, float],
    answer: AnswerView,
    truth_deg: tuple[float, float] | None,
) -> None:
    axes = world_axes(figure, box)
    axes.apply_aspect()
    places = _places_deg(answer.places)
    star = None
    if truth_deg is not None:
        truth = _checked(truth_deg)
        track = great_circle_track(truth, places[0])
        pieces = [equal_earth(piece) for piece in cut_at_antimeridian(track)]
        _dashed(axes, pieces)
        star = equal_earth(truth)
        draw_truth(axes, star)
    draw_places(axes, equal_earth(places), _probabilities(answer.places), truth=star)


def _draw_closeup(
    figure: Figure,
    box: tuple[float, float, float, float],
    answer: AnswerView,
    truth_deg: tuple[float, float] | None,
) -> None:
    places = _places_deg(answer.places)
    # With a truth to show, the view is the way to it; else the neighbourhood of the best place.
    if truth_deg is None:
        truth = None
        center, radius_km = closeup_view(places[0], places[1:], reach_km=_NEIGHBOURS_KM)
    else:
        truth = _checked(truth_deg)
        center, radius_km = closeup_view(places[0], truth[None])
    axes = closeup_axes(figure, box, center, radius_km)
    axes.apply_aspect()
    star = None
    if truth is not None:
        _dashed(axes, [to_local(center, great_circle_track(truth, places[0], step_deg=0.5))])
        star = to_local(center, truth[None])[0]
        draw_truth(axes, star)
    local = to_local(center, places)
    inside = in_view(local, radius_km)
    draw_places(axes, local, _probabilities(answer.places), shown=inside, truth=star)


def _draw_photo(figure: Figure, box: tuple[float, float, float, float], image: Image.Image) -> None:
    size = (round(box[2] * _WIDTH), round(box[3] * _HEIGHT))
    axes = bare_axes(figure, box)
    axes.imshow(np.asarray(ImageOps.contain(image.convert("RGB"), size)), interpolation="none")
    axes.set_anchor("N")


def _draw_list(
    figure: Figure,
    box: tuple[float, float, float, float],
    places: Sequence[PlaceView],
    truth_deg: tuple[float, float] | None,
) -> None:
    axes = figure.add_axes(box)
    axes.set_axis_off()
    axes.set_xlim(0.0, 1.0)
    rows = min(len(places), LISTED)
    axes.set_ylim(max(rows, 5) + 0.9, -0.1)
    columns = {"rank": 0.02, "bar": 0.045, "percent": 0.225, "name": 0.245, "far": 1.0}
    heading = {"fontsize": 9, "color": FAINT_INK, "va": "center"}
    put_text(axes, columns["bar"], 0.3, "probability among all places", **heading)
    put_text(axes, columns["name"], 0.3, "place", **heading)
    if truth_deg is not None:
        put_text(axes, columns["far"], 0.3, "from the truth", ha="right", **heading)
    top = max(float(_probabilities(places).max()), 1e-300)
    for row, place in enumerate(places[:rows], 1):
        y = row + 0.3
        style = {"fontsize": 11, "va": "center"}
        put_text(axes, columns["rank"], y, str(row), ha="right", fontweight="bold", **style)
        width = 0.125 * place.probability / top
        axes.barh(y, width, left=columns["bar"], height=0.55, color=ANSWER)
        put_text(axes, columns["percent"], y, percent(place.probability), ha="right", **style)
        put_text(axes, columns["name"], y, shorten(place.name, 76), **style)
        if truth_deg is not None:
            far = _km_text(place.latlon_deg, truth_deg)
            put_text(axes, columns["far"], y, far, ha="right", **style)
    if len(places) > rows:
        put_text(axes, columns["name"], rows + 1.1, f"and {len(places) - rows} more", **heading)


def percent(share: float) -> str:
    """A share in words of three characters or so: ``12 %``, ``1.2 %``, ``< 0.1 %``."""
    if share >= 0.0995:
        return f"{share:.0%}".replace("%", " %")
    if share >= 0.001:
        return f"{share:.1%}".replace("%", " %")
    return "< 0.1 %"


def _headline(answer: AnswerView, truth_deg: tuple[float, float] | None) -> str:
    best = answer.places[0]
    text = f"best: {shorten(best.name, 80)}"
    if truth_deg is None:
        return text
    return f"{text}, {_km_text(best.latlon_deg, truth_deg)} from the truth (star)"


def _km_text(a_deg: tuple[float, float], b_deg: tuple[float, float]) -> str:
    km = float(great_circle_km(np.array([a_deg]), np.array([b_deg]))[0])
    return f"{km:,.0f} km" if km >= 10 else f"{km:.1f} km"


def _dashed(axes: Axes, pieces: Sequence[Float[np.ndarray, "_ 2"]]) -> None:
    lines = LineCollection(list(pieces), colors=INK, linewidths=1.3, linestyles=(0, (4, 3)))
    lines.set_zorder(5)
    axes.add_collection(lines, autolim=False)


def _places_deg(places: Sequence[PlaceView]) -> Float[np.ndarray, "place 2"]:
    return np.array([place.latlon_deg for place in places], dtype=np.float64)


def _probabilities(places: Sequence[PlaceView]) -> Float[np.ndarray, " place"]:
    return np.array([place.probability for place in places], dtype=np.float64)


def _checked(latlon_deg: tuple[float, float]) -> Float[np.ndarray, " 2"]:
    place = np.array(latlon_deg, dtype=np.float64)
    validate_latlon(place[None], what="truth_deg")
    return place

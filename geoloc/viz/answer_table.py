"""A table of many answers, a line each, for pages that cannot show a map of every one."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np

from geoloc.geodesy import great_circle_km
from geoloc.viz.maps import percent
from geoloc.viz.subjects import AnswerView


def answer_table(
    answers: Sequence[AnswerView],
    truths_deg: Sequence[tuple[float, float] | None],
    *,
    linked: int,
) -> str:
    """HTML: image, first place, its probability, where, and how far from the truth.

    Args:
        answers: a line each, in order.
        truths_deg: where each image was really taken, None where that is not known.
        linked: so many answers, the first, have a card on the page.
    """
    far = any(truth is not None for truth in truths_deg)
    head = "".join(
        f"<th{kind}>{text}</th>"
        for text, kind in (
            ("image", ""),
            ("first place", ""),
            ("probability", ' class="number"'),
            ("latitude, longitude", ' class="number coordinates"'),
            *((("from the truth", ' class="number"'),) if far else ()),
        )
    )
    rows = "".join(
        _row(answer, truth, number=number if number <= linked else None, far=far)
        for number, (answer, truth) in enumerate(zip(answers, truths_deg, strict=True), 1)
    )
    return (
        f'<div class="scroll answers"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def card_id(number: int) -> str:
    """What links to an answer's card point to; numbers start at one."""
    return f"image-{number}"


def _row(
    answer: AnswerView, truth_deg: tuple[float, float] | None, *, number: int | None, far: bool
) -> str:
    best = answer.places[0]
    source = escape(answer.source)
    lat, lon = best.latlon_deg
    away = ""
    if far:
        told = ""
        if truth_deg is not None:
            km = float(great_circle_km(np.array(best.latlon_deg), np.array(truth_deg)))
            told = f"{km:,.0f} km"
        away = f'<td class="number">{told}</td>'
    image = source if number is None else f'<a href="#{card_id(number)}">{source}</a>'
    return (
        f'<tr><td class="image">{image}</td><td>{escape(best.name)}</td>'
        f'<td class="number">{escape(percent(best.probability))}</td>'
        f'<td class="number coordinates">{lat:.3f}, {lon:.3f}</td>{away}</tr>'
    )

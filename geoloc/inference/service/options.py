"""What a request may choose about its answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from geoloc.inference.service.failures import malformed

DEFAULT_TOP_K = 5
LEAST_APART_KM = 0.0
MOST_APART_KM = 20_000.0
_TRUTHS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerOptions:
    """How images are answered; questions with equal options go through the model together.

    Attributes:
        top_k: places of an answer.
        apart_km: how far they lie apart at least; None for as far as the gallery can tell.
        together: whether all images show one place and have one answer.
        heat: whether the posterior over the globe comes along.
    """

    top_k: int = DEFAULT_TOP_K
    apart_km: float | None = None
    together: bool = False
    heat: bool = False


def answer_options(fields: Mapping[str, str], *, most_top_k: int) -> AnswerOptions:
    """The options that a form's fields spell.

    Raises:
        RequestError: 400 a field is of another form or out of range.
    """
    return AnswerOptions(
        top_k=_whole(fields.get("top_k", str(DEFAULT_TOP_K)), most_top_k),
        apart_km=_distance(fields["apart_km"]) if "apart_km" in fields else None,
        together=_truth("together", fields.get("together", "false")),
        heat=_truth("heat", fields.get("heat", "false")),
    )


def _whole(text: str, most: int) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text) <= most:
        raise malformed(f"top_k is a whole number from 1 to {most}")
    return int(text)


def _distance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    # Written so that a NaN fails it too.
    if not LEAST_APART_KM <= value <= MOST_APART_KM:
        raise malformed(f"apart_km is a number from {LEAST_APART_KM:g} to {MOST_APART_KM:g}")
    return value


def _truth(name: str, text: str) -> bool:
    if text not in _TRUTHS:
        raise malformed(f"{name} is true or false")
    return _TRUTHS[text]

"""Reasons not to believe an answer: the picture is no photograph, or the model has no idea."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from geoloc.inference.answers import CredibleRadius, Doubt

FLAT_KM = 2500.0
"""A posterior is flat where half of it lies farther from the answer than a continent is wide."""

_ROWS = 256
_EQUAL_NEIGHBOURS, _ONE_COLOUR = 0.7, 0.5
_LEAST_CORRELATION, _LEAST_SPREAD = 0.5, 1.0


def posterior_is_flat(radii: Sequence[CredibleRadius]) -> bool:
    """Whether half of the probability lies beyond `FLAT_KM` of the first place.

    Args:
        radii: of an answer; one without a level of one half or more is not judged.
    """
    middle = [radius.km for radius in radii if radius.level >= 0.5]
    return bool(middle) and middle[0] > FLAT_KM


def is_photograph(picture: Image.Image) -> bool:
    """Whether the pixels can be those of a camera, by three signs that need no model.

    A picture is none where most neighbours are exactly equal and half of all pixels have one
    colour (drawings, charts, pages of text, screenshots); where neighbours are hardly alike
    (noise); or where there is nothing to be seen (one even colour). Collages, photographs of
    screens and generated pictures pass.

    Args:
        picture: in RGB; up to 256 of its rows are looked at.
    """
    pixels = np.asarray(picture)
    rows = pixels[:: -(-len(pixels) // _ROWS)]
    green = rows[..., 1].astype(np.float32)
    if green.std() < _LEAST_SPREAD:
        return False
    if _neighbour_correlation(green) < _LEAST_CORRELATION:
        return False
    return not (
        _equal_neighbours(rows) >= _EQUAL_NEIGHBOURS and _commonest_colour(rows) >= _ONE_COLOUR
    )


def doubts_of(*, photograph: bool, radii: Sequence[CredibleRadius]) -> tuple[Doubt, ...]:
    """The doubts of one answer.

    Args:
        photograph: whether its image (every one, of several) may be one.
        radii: of the answer.
    """
    flat: tuple[Doubt, ...] = ("flat_posterior",) if posterior_is_flat(radii) else ()
    return flat if photograph else (*flat, "not_a_photograph")


def _neighbour_correlation(green: np.ndarray) -> float:
    if green.shape[1] < 2:
        return 1.0
    left, right = green[:, :-1].ravel(), green[:, 1:].ravel()
    left, right = left - left.mean(), right - right.mean()
    spread = float(np.sqrt((left @ left) * (right @ right)))
    return float(left @ right) / spread if spread > 0 else 1.0


def _equal_neighbours(rows: UInt8[np.ndarray, "row column 3"]) -> float:
    if rows.shape[1] < 2:
        return 0.0
    return float((rows[:, 1:] == rows[:, :-1]).all(axis=-1).mean())


def _commonest_colour(rows: UInt8[np.ndarray, "row column 3"]) -> float:
    """Share of the commonest of 32,768 colours (five bits a channel)."""
    coarse = (rows >> 3).astype(np.int32)
    code = (coarse[..., 0] << 10) | (coarse[..., 1] << 5) | coarse[..., 2]
    return float(np.bincount(code.ravel()).max() / code.size)

"""Reasons not to believe an answer: no photograph, no idea, or like nothing the model knows."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float64, UInt8
from PIL import Image
from torch import Tensor

from geoloc.evaluation.calibration_file import Calibration
from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors
from geoloc.inference.answers import Doubt

FLAT_KM = 2500.0
"""A posterior is flat where half of it lies farther from the answer than a continent is wide."""

_ROWS = 256
_EQUAL_NEIGHBOURS, _ONE_COLOUR = 0.7, 0.5
_LEAST_CORRELATION, _LEAST_SPREAD = 0.5, 1.0


def flat_posteriors(
    probability: Float[Tensor, "query place"],
    answer_deg: Float64[np.ndarray, "query 2"],
    unit: Float64[np.ndarray, "place 3"],
) -> list[bool]:
    """Whether more than half of each query's probability lies beyond `FLAT_KM` of its answer.

    Args:
        probability: of the gallery's places.
        answer_deg: the first places.
        unit: unit vectors of the gallery's places.
    """
    near = math.cos(FLAT_KM / EARTH_RADIUS_KM)
    return [
        float(one.cpu().numpy()[unit @ centre >= near].sum()) < 0.5
        for one, centre in zip(probability, unit_vectors(answer_deg), strict=True)
    ]


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


def is_unfamiliar(calibration: Calibration | None, best_score: float) -> bool:
    """Whether an image fits no place as well as the calibration's images fit theirs.

    One in twenty images like those is called so too; of images from regions that the model was
    never shown most are (docs/answers.md).

    Args:
        calibration: that holds for the image; None, or one without a score, judges nothing.
        best_score: the image's highest cosine with the gallery's places.
    """
    known = None if calibration is None else calibration.familiar_score
    return known is not None and best_score < known


def doubts_of(*, flat: bool, unfamiliar: bool, photograph: bool) -> tuple[Doubt, ...]:
    """The doubts of one answer.

    Args:
        flat: see `flat_posteriors`.
        unfamiliar: see `is_unfamiliar`.
        photograph: whether its image (every one, of several) may be one.
    """
    told: list[tuple[Doubt, bool]] = [
        ("flat_posterior", flat),
        ("unfamiliar", unfamiliar),
        ("not_a_photograph", not photograph),
    ]
    return tuple(doubt for doubt, holds in told if holds)


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

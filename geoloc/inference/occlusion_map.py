"""OcclusionMap: which part of an image moved the answer, and whether to believe it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from geoloc.inference.answers import PlaceAnswer
from geoloc.inference.formats import distance_text, place_json

SCHEMA_VERSION = 1
AGREEMENT = 0.5
"""Least correlation of the two fills' maps for a map that may be read."""
NOTHING = 1e-4
"""Effects below it, in nats, are rounding."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingImage:
    """A reference image that looks to the model like the one that was asked about.

    Attributes:
        place: where it was taken; ``reference`` is its key, ``score`` the cosine of the two
            images' embeddings, ``probability`` the softmax over all references at its scale.
        answer_km: great circle from it to the answer.
    """

    place: PlaceAnswer
    answer_km: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OcclusionMap:
    """How the answer to one image changes as its parts are covered.

    The effect of a cell is

        log P(near the answer | image) - log P(near the answer | image with the patch covered)

    in nats, mean over the two fills: the patch **supports** the answer where it is positive, by a
    factor of exp(effect) in probability, and speaks against it where negative. P is the softmax
    over all candidates, at the calibrated temperature where there is one, and "near" is within
    `near_km` of the uncovered image's best candidate. With independent errors of the two maps,
    half the root mean square of their difference is the standard error of a cell of their mean:
    the noise floor.

    Attributes:
        source: the file, or "image 1".
        seen: what the model sees of the image, all that is covered or could be: left, top, right,
            bottom as shares of its width and height.
        patch: width of a patch as a share of the seen square.
        effect: of each cell of the seen square, from its top left corner.
        moved_km: how far the best candidate moves, great circle, the patch covered by the mean
            colour.
        near_km: what is near the answer.
        near_probability: P(near the answer | image).
        noise: the noise floor of `effect`.
        agreement: Pearson correlation of the two fills' maps; 0 where one of them is constant.
        answer: the best candidate.
        strongest: row and column of the largest effect.
        without_strongest: the best candidate with the strongest patch covered by the mean
            colour.
        passes: images that went through the tower.
        model: fingerprint of the model.
        gallery: name of the candidates.
        training: the most alike of the reference images, best first; None where none were given.
    """

    source: str
    seen: tuple[float, float, float, float]
    patch: float
    effect: Float64[np.ndarray, "row column"]
    moved_km: Float64[np.ndarray, "row column"]
    near_km: float
    near_probability: float
    noise: float
    agreement: float
    answer: PlaceAnswer
    strongest: tuple[int, int]
    without_strongest: PlaceAnswer
    passes: int
    model: str
    gallery: str
    training: tuple[TrainingImage, ...] | None = None

    @property
    def reliable(self) -> bool:
        """Whether the map is more than noise.

        The two fills' maps correlate with `AGREEMENT` at least, and the largest effect is above
        twice the noise floor.
        """
        return self.agreement >= AGREEMENT and self.largest > max(2.0 * self.noise, NOTHING)

    @property
    def largest(self) -> float:
        """The largest effect."""
        return float(self.effect[self.strongest])

    def words(self) -> str:
        """What the map says and whether to believe it, in a few sentences."""
        near = f"within {distance_text(self.near_km)} of the answer"
        told = f"The probability {near} is {self.near_probability:.1%}. "
        if self.largest < NOTHING:
            return f"{told}Covering no part of the image lowers it."
        row, column = self.strongest
        after = self.near_probability * float(np.exp(-self.largest))
        moved = float(self.moved_km[self.strongest])
        where = "stays where it is" if moved < 1.0 else f"moves {distance_text(moved)}"
        told += (
            f"Covering the patch in row {row + 1}, column {column + 1} of {len(self.effect)} "
            f"lowers it most, to {after:.1%}, and the answer {where}."
        )
        how = f"(correlation {self.agreement:.2f}, noise floor {self.noise:.2f} nats)"
        if self.reliable:
            return f"{told} Two ways to cover agree {how}."
        return (
            f"{told} But two ways to cover do not agree {how}: this map is mostly noise, and no "
            "part of the image can be named."
        )

    def to_json(self) -> dict[str, Any]:
        """The map as JSON objects, schema version 1.

        Keys: ``schema_version`` (1); ``source``; ``cells`` (a side of the square grid); ``seen``
        (left, top, right, bottom as shares of the upright image's width and height); ``patch``
        (width as a share of the seen square); ``effect`` and ``moved_km``, lists of rows from the
        top, each a list of cells from the left (nats, km); ``near_km``; ``near_probability``;
        ``noise`` (nats); ``agreement`` (-1..1); ``reliable`` (true or false); ``words``;
        ``answer`` and ``without_strongest``, each a place as in the JSON of an answer, without
        ``rank``; ``strongest`` (row, column, from 0); ``passes``; ``model``; ``gallery``;
        ``training``: null, or a list, best first, of such places with ``answer_km`` beside (their
        ``reference`` is the training image's key, their ``score`` the cosine).

        All places are as exact as the model has them: who coarsens answers must coarsen these.
        """
        return {
            "schema_version": SCHEMA_VERSION,
            "source": self.source,
            "cells": len(self.effect),
            "seen": [round(share, 6) for share in self.seen],
            "patch": round(self.patch, 6),
            "effect": np.round(self.effect, 4).tolist(),
            "moved_km": np.round(self.moved_km, 1).tolist(),
            "near_km": self.near_km,
            "near_probability": float(f"{self.near_probability:.6g}"),
            "noise": round(self.noise, 4),
            "agreement": round(self.agreement, 4),
            "reliable": self.reliable,
            "words": self.words(),
            "answer": place_json(self.answer),
            "strongest": list(self.strongest),
            "without_strongest": place_json(self.without_strongest),
            "passes": self.passes,
            "model": self.model,
            "gallery": self.gallery,
            "training": None
            if self.training is None
            else [
                {**place_json(each.place), "answer_km": round(each.answer_km, 3)}
                for each in self.training
            ],
        }

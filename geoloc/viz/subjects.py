"""What a map needs to know of an answer; the answers of `geoloc.inference` fit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable


@runtime_checkable
class PlaceView(Protocol):
    """One answered place: where, how likely, and its name in words."""

    @property
    def latlon_deg(self) -> tuple[float, float]:
        """Latitude and longitude in degrees."""
        ...

    @property
    def probability(self) -> float:
        """Probability among all places of the gallery."""
        ...

    @property
    def name(self) -> str:
        """The place in words."""
        ...


@runtime_checkable
class AnswerView(Protocol):
    """The places of one image, best first."""

    @property
    def source(self) -> str:
        """The file, or the image's position in its batch."""
        ...

    @property
    def places(self) -> Sequence[PlaceView]:
        """The best places, by falling score."""
        ...


@runtime_checkable
class NotedAnswerView(AnswerView, Protocol):
    """An answer with sentences about it."""

    @property
    def notes(self) -> Sequence[str]:
        """A line each, in plain text."""
        ...

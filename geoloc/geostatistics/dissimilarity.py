"""Dissimilarity of features: what a pair is measured by, and the classes its values fall into."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from geoloc.errors import ConfigError

Dissimilarity: TypeAlias = Literal["cosine", "squared", "absolute"]
"""``cosine`` is 1 - cos, ``squared`` half the squared distance (for unit vectors the same, and both
semivariances in Matheron's sense), ``absolute`` half the distance (the madogram's)."""

_FIRST_OCTAVE, _LAST_OCTAVE = -26, 36
_KEPT_BITS = 4
_MANTISSA_BITS = 23


def check_dissimilarity(dissimilarity: str) -> None:
    """Do nothing for a known name.

    Raises:
        ConfigError: the name is unknown.
    """
    if dissimilarity not in get_args(Dissimilarity):
        known = ", ".join(get_args(Dissimilarity))
        raise ConfigError(f"dissimilarity {dissimilarity!r}: one of {known}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueBins:
    """Classes of dissimilarity, sixteen an octave, from 2**-26 to 2**36 times a scale.

    The leading bits of a float32 are its exponent and the first digits after it, so the class of a
    value is a shift of its bits; classes are narrow where values are small, which is where near
    duplicates are told apart. The first class reaches down to 0, the last up without end.

    Attributes:
        scale: the unit that values are measured in, a power of two; 1 does for cosines, and for
            numbers whose squared differences lie between 1e-7 and 1e10.
    """

    scale: float = 1.0

    def __post_init__(self) -> None:
        if not (self.scale > 0 and math.frexp(self.scale)[0] == 0.5):
            raise ConfigError(f"the scale of dissimilarities is a power of two, not {self.scale}")

    @classmethod
    def around(cls, value: float) -> ValueBins:
        """Classes for values of about this size; 0 or what is not finite counts as 1."""
        if not (math.isfinite(value) and value > 0):
            return cls()
        return cls(scale=2.0 ** min(max(round(math.log2(value)), -900), 900))

    @property
    def first(self) -> int:
        """The shifted bits of the lowest class."""
        return (127 + _FIRST_OCTAVE) << _KEPT_BITS

    @property
    def shift(self) -> int:
        """How many bits of a float32 are dropped."""
        return _MANTISSA_BITS - _KEPT_BITS

    def __len__(self) -> int:
        return (_LAST_OCTAVE - _FIRST_OCTAVE) << _KEPT_BITS

    @property
    def edges(self) -> Float64[np.ndarray, " edge"]:
        """All edges, one more than classes: 0, then increasing."""
        bits = (np.arange(len(self) + 1, dtype=np.int32) + self.first) << self.shift
        edges = bits.astype(np.int32).view(np.float32).astype(np.float64) * self.scale
        edges[0] = 0.0
        return edges

    def index(self, value: Float[Tensor, "*pair"]) -> Int64[Tensor, "*pair"]:
        """The class of each value; the value must not be negative."""
        bits = (value / self.scale).to(torch.float32).view(torch.int32)
        return ((bits >> self.shift) - self.first).clamp_(0, len(self) - 1).to(torch.int64)


def of_half_square(
    half_square: Float[Tensor, "*pair"], dissimilarity: Dissimilarity
) -> Float[Tensor, "*pair"]:
    """The dissimilarity of pairs from half their squared distance, never below 0."""
    value = half_square.clamp(min=0.0)
    return (value / 2.0).sqrt() if dissimilarity == "absolute" else value

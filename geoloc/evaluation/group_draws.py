"""Draws of whole spatial blocks, summed by groups, for statistics that are no means of rows."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.evaluation.resampling import BlockDraws

MIN_DRAWN_BLOCKS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GroupDraws:
    """How often each block stands in each draw with replacement of as many blocks as there are.

    Attributes:
        member: the block of each row, numbered from 0.
        times: of each block in each draw; no draws with fewer than `MIN_DRAWN_BLOCKS` blocks, of
            which nothing can be said.
    """

    member: Int64[np.ndarray, " row"]
    times: Float64[np.ndarray, "draw block"]

    @classmethod
    def of(cls, block: Int64[np.ndarray, " row"], *, resamples: int, seed: int) -> GroupDraws:
        """Draws of the blocks that rows lie in, as `BlockDraws` makes them."""
        enough = len(np.unique(block)) >= MIN_DRAWN_BLOCKS
        drawn = BlockDraws(
            block, resamples=resamples if enough else 0, generator=np.random.default_rng(seed)
        )
        return cls(member=drawn.member.astype(np.int64), times=drawn.times)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def blocks(self) -> int:
        """How many blocks hold rows."""
        return self.times.shape[1]

    def sums(
        self,
        value: Float64[np.ndarray, " row"],
        group: Int64[np.ndarray, " row"],
        groups: int,
    ) -> Float64[np.ndarray, "draw group"]:
        """The sum of a value over each group in each draw; rows of group -1 count nowhere."""
        counted = group >= 0
        cell = self.member[counted] * groups + group[counted]
        table = np.bincount(cell, value[counted], minlength=self.blocks * groups)
        return self.times @ table.reshape(self.blocks, groups)


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """A figure with its 95 % interval, None where too few blocks say anything."""

    value: float
    low: float | None = None
    high: float | None = None

    @classmethod
    def basic(cls, value: float, drawn: Float64[np.ndarray, " draw"]) -> Estimate:
        """With the basic interval: 2 value - (97.5 %, 2.5 %) of the draws.

        The worst of several groups looks worse than it is where groups are noisy, and in the draws,
        noisy twice, by as much again. The basic interval takes that off, while the percentile
        interval would have it in twice.

        Source: A. C. Davison and D. V. Hinkley, Bootstrap Methods and their Application, 1997,
        eq. 5.6.
        """
        plain = cls.percentile(value, drawn)
        if plain.low is None or plain.high is None:
            return plain
        return cls(value=value, low=2.0 * value - plain.high, high=2.0 * value - plain.low)

    @classmethod
    def spread(cls, value: float, drawn: Float64[np.ndarray, " draw"]) -> Estimate:
        """With the basic interval of the square, for what measures a spread and is at least 0.

        Squares of spreads add up: of noise alone the draws have twice the square of the value, so
        that the interval starts at 0. Where most of a spread is noise, the value lies above it.
        """
        square = cls.basic(value * value, np.square(drawn))
        if square.low is None or square.high is None:
            return cls(value=value)
        low, high = math.sqrt(max(square.low, 0.0)), math.sqrt(max(square.high, 0.0))
        return cls(value=value, low=low, high=high)

    @classmethod
    def percentile(cls, value: float, drawn: Float64[np.ndarray, " draw"]) -> Estimate:
        """With the percentile interval, which a ratio and its inverse agree on."""
        known = drawn[np.isfinite(drawn)]
        if not len(known):
            return cls(value=value)
        low, high = np.percentile(known, [2.5, 97.5])
        return cls(value=value, low=float(low), high=float(high))

    def to_json(self) -> dict[str, Any]:
        """The estimate as JSON objects."""
        interval = None if self.low is None else [self.low, self.high]
        return {"value": self.value, "interval": interval}

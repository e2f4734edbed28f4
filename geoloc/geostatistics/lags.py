"""LagBins: the classes of distance that pairs are sorted into."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Float, Float64

from geoloc.errors import ConfigError

LagUnit: TypeAlias = Literal["km", "m", "pixel", "day", "step"]
Metric: TypeAlias = Literal["great_circle", "euclidean"]

Real: TypeAlias = "float | int | np.number[Any]"
"""A number of any kind; type checkers at run time take no int for a float."""

METRES_IN: dict[str, float] = {"km": 1000.0, "m": 1.0}
"""Metres in a unit of length on the Earth; the other units measure no length on it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LagBins:
    """Classes (lower, upper] of lag between consecutive edges.

    A pair at lag 0 (one place twice) is in no class: such pairs are counted apart, as coincident.
    So are pairs at or below the first edge, and pairs beyond the last.

    Args:
        edges: two or more increasing lags, the first at least 0, in `unit`.
        unit: of the lags.

    Raises:
        ConfigError: the edges are not finite, not increasing, negative, or fewer than two, or the
            unit is unknown.
    """

    edges: tuple[float, ...]
    unit: LagUnit = "km"

    def __init__(self, *, edges: Iterable[Real], unit: LagUnit = "km") -> None:
        values = tuple(float(edge) for edge in edges)
        if unit not in get_args(LagUnit):
            raise ConfigError(f"unit {unit!r}: one of {', '.join(get_args(LagUnit))}")
        if len(values) < 2:
            raise ConfigError(f"a lag class lies between two edges; {len(values)} given")
        if not all(math.isfinite(value) for value in values) or values[0] < 0:
            raise ConfigError(f"edges must be finite and not negative, not {values}")
        if any(upper <= lower for lower, upper in pairwise(values)):
            raise ConfigError(f"edges must increase, not {values}")
        object.__setattr__(self, "edges", values)
        object.__setattr__(self, "unit", unit)

    def __len__(self) -> int:
        return len(self.edges) - 1

    @property
    def lower(self) -> Float64[np.ndarray, " bin"]:
        """Lower edge of each class, outside it."""
        return np.array(self.edges[:-1])

    @property
    def upper(self) -> Float64[np.ndarray, " bin"]:
        """Upper edge of each class, inside it."""
        return np.array(self.edges[1:])

    @classmethod
    def even(cls, count: int, maximum: Real, *, unit: LagUnit = "km") -> LagBins:
        """`count` classes of one width from 0 to `maximum`.

        Raises:
            ConfigError: `count` is below 1 or `maximum` is not positive.
        """
        _check(count, 0.0, float(maximum))
        return cls(edges=np.linspace(0.0, maximum, count + 1), unit=unit)

    @classmethod
    def logarithmic(cls, count: int, first: Real, last: Real, *, unit: LagUnit = "km") -> LagBins:
        """`count` classes from `first` to `last`, each as many times as wide as the one before.

        Short lags, where false negatives live, get classes of their own. Pairs at or below `first`
        are counted as below the classes.

        Args:
            count: at least 1.
            first: lower edge of the first class, above 0.
            last: upper edge of the last class.
            unit: of the lags.

        Raises:
            ConfigError: `count` is below 1, or the edges are not 0 < first < last.
        """
        _check(count, float(first), float(last))
        if first <= 0:
            raise ConfigError(f"the first edge of logarithmic classes must exceed 0, not {first}")
        return cls(edges=np.geomspace(first, last, count + 1), unit=unit)

    @classmethod
    def equal_count(
        cls, count: int, lag: Float[np.ndarray, " pair"], *, unit: LagUnit = "km"
    ) -> LagBins:
        """At most `count` classes that hold about as many of the given lags each.

        Args:
            count: classes wanted; fewer come out where many lags are equal.
            lag: a sample of lags (`sample_lags`); those that are 0 do not count.
            unit: of the lags.

        Raises:
            ConfigError: `count` is below 1, or no lag is positive.
        """
        positive = lag[lag > 0]
        _check(count, 0.0, float(positive.max()) if len(positive) else 0.0)
        # an upper edge is a lag that occurs, so that no class is cut inside a run of equal lags
        upper = np.unique(np.quantile(positive, np.arange(1, count + 1) / count, method="higher"))
        return cls(edges=(0.0, *upper.tolist()), unit=unit)


def check_metric(bins: LagBins, metric: str) -> None:
    """Do nothing where lags by this metric can be measured in the unit of the bins.

    Raises:
        ConfigError: the metric is unknown, or great circles are to be measured in days.
    """
    if metric not in get_args(Metric):
        raise ConfigError(f"metric {metric!r}: one of {', '.join(get_args(Metric))}")
    if metric == "great_circle" and bins.unit not in METRES_IN:
        raise ConfigError(f"great-circle lags are in km or m, not in {bins.unit}")


def _check(count: int, first: float, last: float) -> None:
    if count < 1:
        raise ConfigError(f"too few lag classes: {count}")
    if not (math.isfinite(first) and math.isfinite(last) and first < last):
        raise ConfigError(f"lag classes must end beyond {first}, at a finite lag, not at {last}")

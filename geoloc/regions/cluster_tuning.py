"""The settings of a clustering that agree best with labels that are known for some observations."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TypeAlias

import numpy as np
from jaxtyping import Int64

from geoloc.errors import ConfigError, DataError
from geoloc.regions.cluster_evidence import Prepared
from geoloc.regions.cluster_settings import ClusterSettings
from geoloc.regions.metric_clusters import MetricConstrainedClusters, clusters_of
from geoloc.regions.pair_losses import PairPart, near_parts

Score: TypeAlias = Callable[[np.ndarray, np.ndarray], float]
"""From known labels and found ones to how well they agree; more is better."""

MOST_KEPT = 1 << 25
"""Pairs that are kept for all settings; where there are more, each setting computes them anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterGrid:
    """Settings to try: every combination of these values.

    Attributes:
        eps: losses up to which two observations are near.
        weight: of the metric constraint; with 0 the margin does not matter.
        margin: of the metric constraint.
        min_samples: near observations that make a core.
    """

    eps: tuple[float, ...] = (2.0,)
    weight: tuple[float, ...] = tuple(round(0.5 + 0.01 * step, 2) for step in range(20))
    margin: tuple[float, ...] = tuple(round(3.0 + 0.1 * step, 1) for step in range(10))
    min_samples: tuple[int, ...] = (20,)

    def settings(self, base: ClusterSettings) -> tuple[ClusterSettings, ...]:
        """The settings, all else as in `base`; combinations of one meaning stand once."""
        tried = {
            (eps, weight, margin if weight else self.margin[0], least)
            for eps, weight, margin, least in product(
                self.eps, self.weight, self.margin, self.min_samples
            )
        }
        return tuple(
            replace(base, eps=eps, weight=weight, margin=margin, min_samples=least)
            for eps, weight, margin, least in sorted(tried)
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Tuned:
    """The best of a grid.

    Attributes:
        clusters: of all observations, by the best settings.
        score: of them, on the observations whose label was given.
        tried: all settings with their scores, in the order of the grid.
    """

    clusters: MetricConstrainedClusters
    score: float
    tried: tuple[tuple[ClusterSettings, float], ...]


def clusterings(prepared: Prepared, grid: ClusterGrid) -> Iterator[MetricConstrainedClusters]:
    """The clusters by every setting of a grid; pairs are computed once where memory allows.

    Raises:
        ConfigError: the grid is empty, or a value is impossible.
    """
    settings = grid.settings(prepared.settings)
    if not settings:
        raise ConfigError("the grid is empty: give at least one eps, weight and margin")
    parts = _kept_parts(prepared, max(each.eps for each in settings))
    for each in settings:
        yield clusters_of(prepared, each, parts=parts)


def tune(
    prepared: Prepared,
    known: Int64[np.ndarray, " n"],
    grid: ClusterGrid,
    *,
    score: Score | None = None,
) -> Tuned:
    """The settings of a grid whose clusters agree best with known labels, the first of equals.

    Clusters are found without a look at labels; these only choose among the settings.

    Args:
        prepared: what `prepare` gave.
        known: label of each observation, -1 where none is known.
        grid: what to try.
        score: of known and found labels; None for the adjusted Rand index.

    Raises:
        ConfigError: the grid is empty, or a value is impossible.
        DataError: there is not one entry for each observation, or no label is known.
    """
    if len(known) != len(prepared.observations):
        raise DataError(f"{len(known)} labels for {len(prepared.observations)} observations")
    told = known >= 0
    if not told.any():
        raise DataError("no label is known: there is nothing to tune by")
    judge = score or adjusted_rand_index
    best: MetricConstrainedClusters | None = None
    best_score = -np.inf
    tried: list[tuple[ClusterSettings, float]] = []
    for clusters in clusterings(prepared, grid):
        reached = judge(known[told], clusters.label[told])
        tried.append((clusters.settings, reached))
        if best is None or reached > best_score:
            best, best_score = clusters, reached
    assert best is not None, "a grid is never empty here"
    return Tuned(clusters=best, score=best_score, tried=tuple(tried))


def adjusted_rand_index(one: Int64[np.ndarray, " n"], other: Int64[np.ndarray, " n"]) -> float:
    """The adjusted Rand index of two labellings: 1 where they agree, 0 on average by chance.

    Noise (-1) counts as a cluster of its own, as in the source of the method.

    Source: L. Hubert, P. Arabie, J. of Classification 2, 1985, pp. 193-218, eq. 5.
    """
    _, first = np.unique(one, return_inverse=True)
    _, second = np.unique(other, return_inverse=True)
    width = int(second.max(initial=0)) + 1

    def pairs(number: Int64[np.ndarray, " n"]) -> float:
        count = np.bincount(number).astype(np.float64)
        return float((count * (count - 1) / 2).sum())

    both, rows, columns = pairs(first * width + second), pairs(first), pairs(second)
    everything = len(one) * (len(one) - 1) / 2
    expected = rows * columns / everything if everything else 0.0
    most = (rows + columns) / 2
    return 1.0 if most == expected else (both - expected) / (most - expected)


def _kept_parts(prepared: Prepared, most: float) -> Sequence[PairPart] | None:
    kept: list[PairPart] = []
    total = 0
    for part in near_parts(prepared.observations, most):
        kept.append(part)
        total += len(part.one)
        if total > MOST_KEPT:
            return None
    return kept

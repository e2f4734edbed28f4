"""Density clusters (DBSCAN) of pairs that come in parts, in memory that n alone decides."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Int64, Integer
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from geoloc.errors import ConfigError

NearPairs: TypeAlias = tuple[Integer[np.ndarray, " pair"], Integer[np.ndarray, " pair"]]
"""Rows of the two sides of pairs that are near enough; every pair once, in either order."""

MOST_HELD = 1 << 25
"""Pairs that are kept in memory (0.3 GB); where there are more, they are computed twice."""


def density_clusters(
    count: int, near_pairs: Callable[[], Iterable[NearPairs]], *, min_samples: int
) -> tuple[Int64[np.ndarray, " n"], Bool[np.ndarray, " n"]]:
    """Labels as DBSCAN gives them, number for number those of scikit-learn.

    An observation is a core where it is near at least `min_samples`, itself included. Cores that
    are near one another share a cluster; clusters are numbered by their first core. Any other
    observation joins the first cluster that it is near a core of, or is noise.

    Args:
        count: of observations.
        near_pairs: called once or twice, gives all near pairs in parts of any size.
        min_samples: at least 1.

    Returns:
        The label of each observation, -1 for noise, and which are cores.

    Raises:
        ConfigError: `min_samples` is below 1.

    Source: M. Ester, H.-P. Kriegel, J. Sander, X. Xu, KDD 1996, pp. 226-231.
    """
    if min_samples < 1:
        raise ConfigError(f"a core needs one observation at least, not {min_samples}")
    near_count = np.ones(count, dtype=np.int64)
    held: list[NearPairs] | None = []
    total = 0
    for one, other in near_pairs():
        near_count += np.bincount(one, minlength=count) + np.bincount(other, minlength=count)
        total += len(one)
        if held is not None:
            held.append((one.astype(np.int32), other.astype(np.int32)))
        if total > MOST_HELD:
            held = None
    core = near_count >= min_samples
    joined = _Components(core)
    for one, other in near_pairs() if held is None else held:
        joined.add(one, other)
    return joined.labels(), core


class _Components:
    """Clusters of cores and the borders that touch them, from pairs in any order."""

    def __init__(self, core: Bool[np.ndarray, " n"]) -> None:
        self._core = core
        self._root = np.arange(len(core))
        self._waiting: list[np.ndarray] = []
        self._waiting_count = 0
        # pairs of a border and a core, with the core's root at the time
        self._border = np.empty((2, 0), dtype=np.int64)

    def add(self, one: Integer[np.ndarray, " pair"], other: Integer[np.ndarray, " pair"]) -> None:
        cores = self._core[one].astype(np.int8) + self._core[other]
        root_one, root_other = self._root[one], self._root[other]
        apart = (cores == 2) & (root_one != root_other)
        self._waiting.append(np.stack([root_one[apart], root_other[apart]]))
        self._waiting_count += int(apart.sum())
        if (mixed := cores == 1).any():
            first = self._core[one[mixed]]
            border = np.where(first, other[mixed], one[mixed])
            touched = np.where(first, root_one[mixed], root_other[mixed])
            both = np.stack([border, touched]).astype(np.int64)
            self._border = _distinct(np.concatenate([self._border, both], axis=1), len(self._core))
        if self._waiting_count > len(self._core):
            self._join()

    def _join(self) -> None:
        one, other = np.concatenate(self._waiting, axis=1)
        n = len(self._core)
        graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(n, n))
        _, part = connected_components(graph.tocsr(), directed=False)
        # the first row of a part stands for it
        first = np.full(int(part.max()) + 1, n)
        np.minimum.at(first, part, np.arange(n))
        self._root = first[part][self._root]
        self._border[1] = self._root[self._border[1]]
        self._border = _distinct(self._border, n)
        self._waiting, self._waiting_count = [], 0

    def labels(self) -> Int64[np.ndarray, " n"]:
        if self._waiting_count:
            self._join()
        label = np.full(len(self._core), -1, dtype=np.int64)
        roots = np.unique(self._root[self._core])
        label[self._core] = np.searchsorted(roots, self._root[self._core])
        border, touched = self._border
        number = np.searchsorted(roots, touched)
        best = np.full(len(label), len(roots))
        np.minimum.at(best, border, number)
        label[border] = best[border]
        return label


def _distinct(pairs: Int64[np.ndarray, "2 pair"], n: int) -> Int64[np.ndarray, "2 kept"]:
    return np.stack(np.divmod(np.unique(pairs[0] * n + pairs[1]), n))

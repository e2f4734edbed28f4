"""Spatial autocorrelation: Moran's I and Geary's C, global and local."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from jaxtyping import Bool, Float64, Int64

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.neighbours import SpatialWeights

ClusterName: TypeAlias = Literal["none", "high-high", "low-low", "high-low", "low-high"]
CLUSTERS: tuple[ClusterName, ...] = get_args(ClusterName)
"""What a sample is beside its neighbours, by the numbers of `LocalMoran.cluster`."""

_FEWEST = 4
_AT_ONCE = 64
_ROUNDING = 1e-12


@dataclass(frozen=True, slots=True, kw_only=True)
class Autocorrelation:
    """A statistic of neighbours' likeness against what chance would give.

    Attributes:
        name: ``moran`` or ``geary``.
        value: the statistic.
        expectation: where values are dealt to places at random.
        variance: likewise (randomisation: exact, whatever the values' distribution); 0 where every
            deal gives the same, as of one odd value among equal ones on an even ring.
        z: standard deviations that the value lies from its expectation; 0 where there are none.
        p: two-sided, by the normal approximation; 0 where float64 has no smaller number.
        permutation_p: two-sided, over random deals; None where none were asked for.
    """

    name: Literal["moran", "geary"]
    value: float
    expectation: float
    variance: float
    z: float
    p: float
    permutation_p: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The test as JSON objects."""
        return {
            "name": self.name,
            "value": self.value,
            "expectation": self.expectation,
            "variance": self.variance,
            "z": self.z,
            "p": self.p,
            "permutation_p": self.permutation_p,
        }


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalMoran:
    """Moran's I of each sample, and what it is beside its neighbours.

    Attributes:
        value: I of each; their mean over samples with neighbours is Moran's I.
        z: against dealing all other values to the other places at random.
        p: two-sided, by the normal approximation.
        cluster: number in `CLUSTERS`; ``none`` where p does not pass the false discovery rate.
        false_discovery_rate: expected share of the clustered samples that are none.
    """

    value: Float64[np.ndarray, " n"]
    z: Float64[np.ndarray, " n"]
    p: Float64[np.ndarray, " n"]
    cluster: Int64[np.ndarray, " n"]
    false_discovery_rate: float

    def counts(self) -> dict[str, int]:
        """Samples in each kind of cluster."""
        count = np.bincount(self.cluster, minlength=len(CLUSTERS))
        return {name: int(count[number]) for number, name in enumerate(CLUSTERS)}


def morans_i(
    value: Float64[np.ndarray, " n"],
    weights: SpatialWeights,
    *,
    permutations: int = 0,
    generator: np.random.Generator | None = None,
) -> Autocorrelation:
    """Moran's I: 1 where neighbours are alike, -1/(n - 1) by chance, below where they differ.

    Args:
        value: of each sample.
        weights: of each sample's neighbours.
        permutations: random deals for `permutation_p`.
        generator: of the deals; by default always the same.

    Raises:
        DataError: values are not finite, all equal, fewer than four, or not as many as weights.

    Source: A. D. Cliff and J. K. Ord, Spatial Processes, 1981, eqs. 1.35 and 1.44 (moments under
    randomisation); P. A. P. Moran, Biometrika 37, 1950.
    """
    z = _centred(value, weights)
    n, (s0, s1, s2), square = len(z), weights.sums(), float(z @ z)
    found = n / s0 * float(z @ weights.lag(z)) / square
    kurtosis = _kurtosis(z)
    upper = n * ((n * n - 3 * n + 3) * s1 - n * s2 + 3 * s0 * s0)
    lower = kurtosis * ((n * n - n) * s1 - 2 * n * s2 + 6 * s0 * s0)
    expectation = -1.0 / (n - 1)
    variance = (upper - lower) / ((n - 1) * (n - 2) * (n - 3) * s0 * s0) - expectation**2
    variance, score, p = _tested(found - expectation, variance, s1 / s0**2)
    dealt = None
    if permutations:
        draws = _dealt(z, weights, permutations, generator or np.random.default_rng(0))
        far = np.abs(draws * n / (s0 * square) - expectation) >= abs(found - expectation)
        dealt = float((1 + far.sum()) / (permutations + 1))
    return Autocorrelation(
        name="moran",
        value=found,
        expectation=expectation,
        variance=variance,
        z=score,
        p=p,
        permutation_p=dealt,
    )


def gearys_c(value: Float64[np.ndarray, " n"], weights: SpatialWeights) -> Autocorrelation:
    """Geary's C: 0 where neighbours are equal, 1 by chance, above where they differ.

    Args:
        value: of each sample.
        weights: of each sample's neighbours.

    Raises:
        DataError: as `morans_i`.

    Source: A. D. Cliff and J. K. Ord, Spatial Processes, 1981, eqs. 1.36 and 1.45; R. C. Geary, The
    Incorporated Statistician 5, 1954.
    """
    z = _centred(value, weights)
    n, (s0, s1, s2), matrix = len(z), weights.sums(), weights.matrix
    rows, columns = np.asarray(matrix.sum(axis=1)), np.asarray(matrix.sum(axis=0))
    squares = float((rows + columns) @ (z * z)) - 2.0 * float(z @ weights.lag(z))
    found = (n - 1) / (2.0 * s0) * squares / float(z @ z)
    b2 = _kurtosis(z)
    variance = (
        (n - 1) * s1 * (n * n - 3 * n + 3 - (n - 1) * b2)
        - (n - 1) * s2 * (n * n + 3 * n - 6 - (n * n - n + 2) * b2) / 4.0
        + s0 * s0 * (n * n - 3 - (n - 1) ** 2 * b2)
    ) / (n * (n - 2) * (n - 3) * s0 * s0)
    variance, score, p = _tested(found - 1.0, variance, s1 / s0**2)
    return Autocorrelation(
        name="geary", value=found, expectation=1.0, variance=variance, z=score, p=p
    )


def local_moran(
    value: Float64[np.ndarray, " n"],
    weights: SpatialWeights,
    *,
    false_discovery_rate: float = 0.05,
) -> LocalMoran:
    """Moran's I of each sample, with clusters of high and of low values.

    Args:
        value: of each sample.
        weights: of each sample's neighbours.
        false_discovery_rate: allowed among the samples that are said to be clustered.

    Raises:
        ConfigError: the rate is not in (0, 1).
        DataError: as `morans_i`.

    Source: L. Anselin, Geographical Analysis 27, 1995, eq. 12; moments given the sample's own
    value, R. R. Sokal, N. L. Oden and B. A. Thomson, Geographical Analysis 30, 1998; Y. Benjamini
    and Y. Hochberg, Journal of the Royal Statistical Society B 57, 1995.
    """
    if not 0.0 < false_discovery_rate < 1.0:
        raise ConfigError(f"a false discovery rate lies in (0, 1), not {false_discovery_rate}")
    z = _centred(value, weights)
    n, m2 = len(z), float(z @ z) / len(z)
    around = weights.lag(z)
    row = np.asarray(weights.matrix.sum(axis=1))
    row_squares = np.asarray(weights.matrix.multiply(weights.matrix).sum(axis=1))
    found = z / m2 * around
    expectation = -z * z * row / ((n - 1) * m2)
    other = (m2 - z * z / (n - 1)) * n / (n - 2)
    variance = np.square(z / m2) * other * (row_squares - row * row / (n - 1))
    score = np.zeros(n)
    known = variance > 0
    score[known] = (found[known] - expectation[known]) / np.sqrt(variance[known])
    p = _normal_p(score)
    named = np.select(
        [(z > 0) & (around > 0), (z <= 0) & (around <= 0), z > 0], [1, 2, 3], default=4
    )
    cluster = np.where(_discovered(p, false_discovery_rate), named, 0).astype(np.int64)
    return LocalMoran(
        value=found, z=score, p=p, cluster=cluster, false_discovery_rate=false_discovery_rate
    )


def _centred(value: np.ndarray, weights: SpatialWeights) -> np.ndarray:
    if len(value) != len(weights) or len(value) < _FEWEST:
        raise DataError(
            f"{len(value)} values for the neighbours of {len(weights)} samples: as many are "
            f"needed, {_FEWEST} at least"
        )
    if not np.isfinite(value).all():
        raise DataError("values must be finite: their autocorrelation is asked for")
    z = value - value.mean()
    if not float(z @ z) > 0 or value.min() == value.max():
        raise DataError("all values are equal: they have no autocorrelation")
    return z


def _kurtosis(z: np.ndarray) -> float:
    return float(np.mean(z**4) / np.mean(z * z) ** 2)


def _tested(gap: float, variance: float, usual: float) -> tuple[float, float, float]:
    """The variance without rounding, z and p, beside the variance of values that are normal."""
    if variance <= _ROUNDING * usual:
        return 0.0, 0.0, 1.0
    score = gap / math.sqrt(variance)
    return variance, score, math.erfc(abs(score) / math.sqrt(2.0))


def _normal_p(score: np.ndarray) -> np.ndarray:
    from scipy.special import erfc

    return np.asarray(erfc(np.abs(score) / math.sqrt(2.0)), dtype=np.float64)


def _discovered(p: np.ndarray, rate: float) -> Bool[np.ndarray, " n"]:
    order = np.argsort(p, kind="stable")
    passing = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / len(p))
    return p <= p[order[passing[-1]]] if len(passing) else np.zeros(len(p), dtype=bool)


def _dealt(
    z: np.ndarray, weights: SpatialWeights, permutations: int, generator: np.random.Generator
) -> np.ndarray:
    """The sum of w_ij z_i z_j in each of so many random deals of the values."""
    found: list[np.ndarray] = []
    for first in range(0, permutations, _AT_ONCE):
        width = min(_AT_ONCE, permutations - first)
        block = generator.permuted(np.repeat(z[:, None], width, axis=1), axis=0)
        found.append(np.einsum("nk,nk->k", block, weights.lag(block)))
    return np.concatenate(found)

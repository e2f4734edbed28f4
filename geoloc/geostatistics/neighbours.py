"""Spatial weights: who is whose neighbour, and how much each neighbour counts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int, Num
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.lags import LagBins, LagUnit, Metric
from geoloc.geostatistics.separation import Separation


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpatialWeights:
    """A sparse matrix of weights w_ij of sample j for sample i, rows summing to 1.

    A sample without any neighbour has a row of zeros.

    Attributes:
        matrix: scipy's csr_array, (n, n), zero on the diagonal.
        kind: how neighbours were chosen, in words.
    """

    matrix: Any
    kind: str

    def __len__(self) -> int:
        return int(self.matrix.shape[0])

    def lag(self, value: Float64[np.ndarray, "n ..."]) -> Float64[np.ndarray, "n ..."]:
        """The weighted mean of each sample's neighbours."""
        return self.matrix @ value

    def sums(self) -> tuple[float, float, float]:
        """S0, S1 and S2 of Cliff and Ord, Spatial Processes, 1981, p. 19."""
        both = self.matrix + self.matrix.T
        margins = np.asarray(self.matrix.sum(axis=0)) + np.asarray(self.matrix.sum(axis=1))
        return (
            float(self.matrix.sum()),
            float(both.multiply(both).sum()) / 2.0,
            float(np.square(margins).sum()),
        )


def nearest_neighbours(
    places: Num[np.ndarray, "n ..."], count: int = 8, *, metric: Metric = "great_circle"
) -> SpatialWeights:
    """The `count` nearest samples of each, all with one weight; found by a tree.

    Of samples at one place, or equally far, some are taken.

    Args:
        places: latitude and longitude in degrees, or coordinates in the plane.
        count: of neighbours.
        metric: ``great_circle`` or ``euclidean``.

    Raises:
        ConfigError: `count` is below 1.
        CoordinateError: a place is not finite or out of range.
        DataError: there are not more samples than neighbours wanted.
    """
    if count < 1:
        raise ConfigError(f"a sample needs one neighbour at least, not {count}")
    position = _positions(places, metric)
    n = len(position)
    if n <= count:
        raise DataError(f"{n} samples have no {count} neighbours each")
    # not balanced: many samples at one place would make a balanced tree very deep
    tree = KDTree(position, balanced_tree=False)
    found = np.asarray(tree.query(position, k=count + 1)[1], dtype=np.int64)
    extra = found == np.arange(n)[:, None]
    # among coincident samples a sample need not find itself: then the farthest is the one too many
    extra[~extra.any(axis=1), -1] = True
    neighbour = found[~extra].reshape(n, count)
    return _standardized(
        np.repeat(np.arange(n), count), neighbour.ravel(), n, kind=f"{count} nearest neighbours"
    )


def neighbours_within(
    places: Num[np.ndarray, "n ..."],
    radius: float,
    *,
    metric: Metric = "great_circle",
    unit: LagUnit = "km",
) -> SpatialWeights:
    """All samples up to a distance, all with one weight.

    Memory grows with the number of such pairs.

    Args:
        places: latitude and longitude in degrees, or coordinates in `unit`.
        radius: in `unit`.
        metric: ``great_circle`` or ``euclidean``.
        unit: of the radius.

    Raises:
        ConfigError: the radius is not positive, or the metric has no such unit.
        CoordinateError: a place is not finite or out of range.
        DataError: no two samples are that near.
    """
    if not radius > 0:
        raise ConfigError(f"neighbours lie within a positive distance, not {radius}")
    separation = Separation.of(LagBins(edges=(0.0, 1.0), unit=unit), metric)
    position = separation.positions(places).numpy()
    reach = math.sqrt(float(separation.squared(np.array([radius]))[0]))
    pair = KDTree(position).query_pairs(reach, output_type="ndarray")
    if not len(pair):
        raise DataError(f"no two samples lie within {radius:g} {unit} of each other")
    one, other = np.concatenate([pair, pair[:, ::-1]]).T
    return _standardized(one, other, len(position), kind=f"all within {radius:g} {unit}")


def _positions(places: Num[np.ndarray, "n ..."], metric: Metric) -> Float64[np.ndarray, "n 3"]:
    return Separation.of(LagBins(edges=(0.0, 1.0), unit="km"), metric).positions(places).numpy()


def _standardized(
    one: Int[np.ndarray, " pair"], other: Int[np.ndarray, " pair"], n: int, *, kind: str
) -> SpatialWeights:
    weight = 1.0 / np.bincount(one, minlength=n)[one]
    return SpatialWeights(matrix=csr_array((weight, (one, other)), shape=(n, n)), kind=kind)

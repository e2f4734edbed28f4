"""Pairs of Gaussians with their distance and lag, in blocks on the device, and their loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.geostatistics import VariogramFit
from geoloc.geostatistics.separation import Separation
from geoloc.regions.neighbour_gaussians import Gaussians, nearest_rows
from geoloc.regions.transport import transport_features, transport_squared

Distance: TypeAlias = Literal["embedding", "exact"]
"""``exact`` is W2 squared, ``embedding`` its upper bound as a squared distance of features."""

_BLOCK = 1024
_LISTED = 1 << 18


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Observations:
    """What pairs are taken from.

    Attributes:
        gaussians: one an observation.
        position: as `Separation` has it, on the same device.
        separation: how lags are measured.
        distance: of Gaussians.
        compared: pairs are those of an observation with its so many nearest in the metric, itself
            included; None for all pairs.
    """

    gaussians: Gaussians
    position: Float64[Tensor, "n 3"]
    separation: Separation
    distance: Distance = "embedding"
    compared: int | None = None

    def __len__(self) -> int:
        return len(self.position)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairPart:
    """Some pairs, each once.

    Attributes:
        one: row of one side.
        other: row of the other side, above `one`.
        transport: distance of the Gaussians, squared.
        lag: between the places, in the unit of the lags.
    """

    one: Int64[Tensor, " pair"]
    other: Int64[Tensor, " pair"]
    transport: Float64[Tensor, " pair"]
    lag: Float64[Tensor, " pair"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricConstraint:
    """How much a pair is charged for being less alike than pairs at its lag are.

    Attributes:
        weight: beta of the source; 0 for no constraint.
        margin: delta of the source, in squared units of the features.
        reach: rho, the lag beyond which nothing is charged.
        fit: semivariogram of the distances; twice a semivariance is the distance expected.
    """

    weight: float
    margin: float
    reach: float
    fit: VariogramFit


def pair_loss(
    transport: Float64[Tensor, " pair"], lag: Float64[Tensor, " pair"], constraint: MetricConstraint
) -> Float64[Tensor, " pair"]:
    """W2^2 + beta max(0, W2^2 - gamma(lag) + delta), the second term up to the lag rho only.

    gamma is the distance expected at a lag, twice the semivariance. At lag 0 it is the nugget's:
    two observations at one place differ as two at nearly one place do.

    Source: Z. Wang et al., ICML 2024 (see `neighbour_gaussians`), eq. 9.
    """
    if constraint.weight == 0:
        return transport
    expected = expected_transport(constraint.fit, lag)
    charged = (transport - expected + constraint.margin).clamp(min=0.0)
    return transport + constraint.weight * torch.where(lag <= constraint.reach, charged, 0.0)


def expected_transport(
    fit: VariogramFit, lag: Float64[Tensor, " pair"]
) -> Float64[Tensor, " pair"]:
    """The squared distance of Gaussians that a semivariogram expects at some lags."""
    return 2 * torch.where(lag > 0, fit(lag), fit.nugget)


def near_parts(observations: Observations, most: float) -> Iterator[PairPart]:
    """All pairs that are compared and whose Gaussians are no farther apart than `most`, squared."""
    if observations.compared is None:
        yield from _blocks(observations, most)
    else:
        yield from _neighbours(observations, most)


def _blocks(observations: Observations, most: float) -> Iterator[PairPart]:
    gaussians = observations.gaussians
    exact = observations.distance == "exact"
    # the means alone are never farther apart than the Gaussians are
    feature = gaussians.mean if exact else transport_features(gaussians)
    feature = feature - feature.mean(dim=0)
    norm = feature.square().sum(dim=1)
    n = len(feature)
    slack = 1e-9 * float(norm.max()) if exact else 0.0
    for first in range(0, n, _BLOCK):
        rows = slice(first, first + _BLOCK)
        for start in range(first, n, _BLOCK):
            columns = slice(start, start + _BLOCK)
            squared = torch.addmm(norm[columns], feature[rows], feature[columns].T, alpha=-2)
            squared += norm[rows, None]
            near = squared <= most + slack
            if start == first:
                near = near.triu(diagonal=1)
            one, other = near.nonzero(as_tuple=True)
            found = None if exact else squared[near].clamp(min=0.0)
            yield from _listed(observations, one + first, other + start, most, found)


def _neighbours(observations: Observations, most: float) -> Iterator[PairPart]:
    n = len(observations)
    position = observations.position.cpu().numpy()
    near = nearest_rows(position, min(int(observations.compared or n), n))
    own = np.repeat(np.arange(n), near.shape[1])
    low, high = np.minimum(own, near.ravel()), np.maximum(own, near.ravel())
    key = np.unique((low * n + high)[low < high])
    pairs = torch.from_numpy(np.stack(np.divmod(key, n))).to(observations.position.device)
    feature = transport_features(observations.gaussians)
    for one, other in zip(*(side.split(_LISTED) for side in pairs), strict=True):
        if observations.distance == "exact":
            yield from _listed(observations, one, other, most, None)
        else:
            squared = (feature[one] - feature[other]).square().sum(dim=1)
            near_enough = squared <= most
            kept = squared[near_enough]
            yield from _listed(observations, one[near_enough], other[near_enough], most, kept)


def _listed(
    observations: Observations,
    one: Int64[Tensor, " pair"],
    other: Int64[Tensor, " pair"],
    most: float,
    squared: Float64[Tensor, " pair"] | None,
) -> Iterator[PairPart]:
    """The pairs with their lags; where no distance is known, the exact one, up to `most`."""
    for first in range(0, len(one), _LISTED):
        part = slice(first, first + _LISTED)
        a, b = one[part], other[part]
        if squared is None:
            transport = transport_squared(observations.gaussians, a, b)
            kept = transport <= most
            a, b, transport = a[kept], b[kept], transport[kept]
        else:
            transport = squared[part]
        apart = (observations.position[a] - observations.position[b]).square().sum(dim=1)
        same = apart <= observations.separation.coincident()
        lag = torch.where(same, 0.0, observations.separation.lag(apart))
        yield PairPart(one=a, other=b, transport=transport, lag=lag)

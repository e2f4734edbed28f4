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
        fit: to the semivariogram of the Gaussians.
        reach: rho, the lag beyond which nothing is charged.
        distance: of Gaussians.
        compared: pairs are those of an observation with its so many nearest in the metric, itself
            included; None for all pairs.
    """

    gaussians: Gaussians
    position: Float64[Tensor, "n 3"]
    separation: Separation
    fit: VariogramFit
    reach: float
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
        expected: that distance, from the lag between the places; infinite beyond the range.
    """

    one: Int64[Tensor, " pair"]
    other: Int64[Tensor, " pair"]
    transport: Float64[Tensor, " pair"]
    expected: Float64[Tensor, " pair"]


def pair_loss(
    transport: Float64[Tensor, " pair"],
    expected: Float64[Tensor, " pair"],
    *,
    weight: float | int,
    margin: float | int,
) -> Float64[Tensor, " pair"]:
    """W2^2 + beta max(0, W2^2 - gamma + delta): what a pair costs.

    Args:
        transport: W2 squared.
        expected: gamma, at the lag of each pair; infinite where nothing is charged.
        weight: beta, at least 0.
        margin: delta, in the unit of W2 squared.

    Source: Z. Wang et al., ICML 2024 (see `neighbour_gaussians`), eq. 9.
    """
    if weight == 0:
        return transport
    return transport + weight * (transport - expected + margin).clamp(min=0.0)


def expected_transport(
    fit: VariogramFit, reach: float, lag: Float64[Tensor, " pair"]
) -> Float64[Tensor, " pair"]:
    """The squared distance of Gaussians that a fit expects at some lags: twice its semivariance.

    Infinite beyond `reach`. At lag 0 it is the nugget's: two observations at one place differ as
    two at nearly one place do.
    """
    grown = 2 * torch.where(lag > 0, fit(lag), fit.nugget)
    return torch.where(lag <= reach, grown, torch.inf)


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
            yield from _listed(observations, one + first, other + start, most=most, squared=found)


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
            yield from _listed(observations, one, other, most=most)
        else:
            squared = (feature[one] - feature[other]).square().sum(dim=1)
            near_enough = squared <= most
            one, other, squared = one[near_enough], other[near_enough], squared[near_enough]
            yield from _listed(observations, one, other, most=most, squared=squared)


def _listed(
    observations: Observations,
    one: Int64[Tensor, " pair"],
    other: Int64[Tensor, " pair"],
    *,
    most: float,
    squared: Float64[Tensor, " pair"] | None = None,
) -> Iterator[PairPart]:
    """The pairs as parts; where no distance is known, the exact one, up to `most`."""
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
        expected = expected_transport(observations.fit, observations.reach, lag)
        yield PairPart(one=a, other=b, transport=transport, expected=expected)

"""Ordinary kriging: the best linear unbiased estimate between places, and its variance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float64, Int64, Num
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.separation import Separation, sphere_radius
from geoloc.geostatistics.variogram_fit import VariogramFit

AtData: TypeAlias = Literal["exact", "filtered"]
"""What the nugget is: part of the field, or error of measurement."""
Duplicates: TypeAlias = Literal["error", "mean"]

MOST_PLACES = 10_000
_NUMBERS_AT_A_TIME = 1 << 23
_SUM_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kriged:
    """Estimates at targets.

    Attributes:
        value: the estimates; as many numbers a target as the values have a place.
        variance: of the error of the estimate, in squared units of the values as the variogram
            has them; the same for all numbers of a target, and never below 0.
    """

    value: Float64[Tensor, "target ..."]
    variance: Float64[Tensor, " target"]


def ordinary_kriging(
    places: Num[np.ndarray, "place ..."] | Num[Tensor, "place ..."],
    values: Num[np.ndarray, "value ..."] | Num[Tensor, "value ..."],
    targets: Num[np.ndarray, "target ..."] | Num[Tensor, "target ..."],
    fit: VariogramFit,
    *,
    neighbours: int | None = None,
    at_data: AtData | str = "exact",
    duplicates: Duplicates | str = "error",
) -> Kriged:
    """Estimate a field at targets from its values at places.

    The weights sum to one and make the variance of the error least: the mean of the field may be
    anything, so long as it is constant where the places used lie. Metric and unit are those of the
    variogram. Computed in float64 on the device of the places.

    Args:
        places: degrees, or with a Euclidean variogram one to three coordinates in its unit.
        values: at the places, a number or several each (then under one variogram).
        targets: like `places`.
        fit: the variogram's model.
        neighbours: how many of the nearest places each target is estimated from; None for all.
        at_data: ``exact`` gives a place its own value back, the nugget being variation within no
            distance; ``filtered`` takes the nugget for error of measurement and estimates the
            field without it, so that the estimate is as smooth as the model at lag 0.
        duplicates: what becomes of places given twice: an error, or one place with the mean of its
            values. Filtered with a nugget, repeated measurements are no trouble, and stay.

    Raises:
        ConfigError: the model is no covariance on the sphere, a choice is unknown, or there are
            too many places for all to be used at once.
        CoordinateError: a place or target is not finite or out of range.
        DataError: there are no places, values do not fit them or are not finite, a place is there
            twice, or the system has no solution.

    Source: G. Matheron, "Principles of geostatistics", Economic Geology 58, 1963; in the form of
    N. Cressie, Statistics for Spatial Data, 1993, eqs. 3.2.12 to 3.2.16, filtered as in 3.2.26.
    """
    _check_choices(fit, neighbours, at_data, duplicates)
    separation = _separation(fit)
    position = separation.positions(places)
    value = _values(values, position)
    repeats_stay = at_data == "filtered" and fit.nugget > 0
    if duplicates == "mean" or not repeats_stay:
        position, value = _distinct(position, value, separation, duplicates)
    target = separation.positions(targets).to(position.device)
    system = _System(fit=fit, separation=separation, filtered=at_data == "filtered")
    if neighbours is None or neighbours >= len(position):
        return system.from_all(position, value, target)
    return system.from_nearest(position, value, target, neighbours)


def krige_each(
    places: Num[Tensor, "batch place 2"],
    values: Num[Tensor, "batch place"],
    targets: Num[Tensor, "batch target 2"],
    fit: VariogramFit,
    *,
    at_data: AtData | str = "exact",
) -> tuple[Float64[Tensor, "batch target"], Float64[Tensor, "batch target"]]:
    """Estimates and variances of many fields at once, each from places of its own.

    Arguments and errors are those of `ordinary_kriging`, with a batch in front; places that
    repeat are only found out where the system has no solution.
    """
    _check_choices(fit, None, at_data, "error")
    separation = _separation(fit)
    batch, count = values.shape
    position = separation.positions(places.flatten(0, 1)).unflatten(0, (batch, count))
    target = separation.positions(targets.flatten(0, 1)).unflatten(0, (batch, targets.shape[1]))
    system = _System(fit=fit, separation=separation, filtered=at_data == "filtered")
    return system.estimate(system.between(position), position, values.to(position), target)


def kriging_weights(
    between: Float64[Tensor, "*batch place place"],
    to_target: Float64[Tensor, "*batch place target"],
) -> tuple[Float64[Tensor, "*batch place target"], Float64[Tensor, "*batch target"]]:
    """Weights of ordinary kriging and its Lagrange multiplier, from semivariances.

    Solves [G 1; 1' 0] [w; m] = [g; 1] for any number of targets and of systems; an estimate is
    the sum of w times values, its variance the sum of w times g, plus m.

    Args:
        between: semivariances of the places with one another, 0 on the diagonal.
        to_target: semivariances of the places with the targets.

    Raises:
        DataError: a system has no single solution.
    """
    size, targets = to_target.shape[-2:]
    # the ones beside semivariances: of a like size, whatever the unit of the values
    unit = between.amax(dim=(-2, -1), keepdim=True)
    unit = torch.where(unit > 0, unit, 1.0)
    ones = between.new_ones((*between.shape[:-2], size, 1))
    top = torch.cat([between / unit, ones], dim=-1)
    bottom = torch.cat([ones.mT, between.new_zeros((*between.shape[:-2], 1, 1))], dim=-1)
    wanted = torch.cat([to_target / unit, ones.new_ones((*ones.shape[:-2], 1, targets))], dim=-2)
    solution, info = torch.linalg.solve_ex(torch.cat([top, bottom], dim=-2), wanted)
    weight = solution[..., :size, :]
    wrong = (weight.sum(dim=-2) - 1.0).abs() > _SUM_TOLERANCE
    if bool(info.any()) or bool(wrong.any()) or not bool(torch.isfinite(weight).all()):
        raise DataError(
            "kriging: the system has no single solution; places are too near one another for this "
            "model: give it a nugget, or merge places"
        )
    return weight, solution[..., size, :] * unit[..., 0, :]


@dataclass(frozen=True, slots=True, kw_only=True)
class _System:
    """What turns positions into systems of kriging."""

    fit: VariogramFit
    separation: Separation
    filtered: bool

    def from_all(self, position: Tensor, value: Tensor, target: Tensor) -> Kriged:
        """Every target from every place: one matrix for all."""
        if len(position) > MOST_PLACES:
            raise ConfigError(
                f"kriging from {len(position)} places at once asks for a matrix of that many rows: "
                f"give neighbours, or at most {MOST_PLACES} places"
            )
        between = self.between(position)
        block = max(1, _NUMBERS_AT_A_TIME // len(position))
        blocks = target.split(block) if len(target) else (target,)
        parts = [self.estimate(between, position, value, some) for some in blocks]
        estimate, variance = (torch.cat(each) for each in zip(*parts, strict=True))
        return Kriged(value=estimate, variance=variance)

    def from_nearest(self, position: Tensor, value: Tensor, target: Tensor, k: int) -> Kriged:
        """Every target from its nearest places: one small matrix a target."""
        tree = KDTree(position.cpu().numpy())
        _, found = tree.query(target.cpu().numpy(), k=k)
        near = torch.from_numpy(np.asarray(found, dtype=np.int64).reshape(-1, k))
        near = near.to(position.device)
        block = max(1, _NUMBERS_AT_A_TIME // (k + 1) ** 2)
        estimates: list[Tensor] = [value.new_empty((0, *value.shape[1:]))]
        variances: list[Tensor] = [value.new_empty(0)]
        for rows, to in zip(near.split(block), target.split(block), strict=True):
            around = position[rows]
            part = self.estimate(self.between(around), around, value[rows], to[:, None])
            estimates.append(part[0][:, 0])
            variances.append(part[1][:, 0])
        return Kriged(value=torch.cat(estimates), variance=torch.cat(variances))

    def estimate(
        self, between: Tensor, position: Tensor, value: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Estimates and variances of one system, or of a batch of them."""
        semivariance = self._semivariance(self._lag(position, target), apart=1.0)
        weight, multiplier = kriging_weights(between, semivariance)
        variance = (weight * semivariance).sum(dim=-2) + multiplier
        if self.filtered:
            variance = variance - self.fit.nugget
        flat = value.reshape(*weight.shape[:-1], math.prod(value.shape[weight.ndim - 1 :]))
        estimate = (weight.mT @ flat).reshape(*variance.shape, *value.shape[weight.ndim - 1 :])
        return estimate, variance.clamp(min=0.0)

    def between(self, position: Tensor) -> Tensor:
        """Semivariances of places with one another."""
        lag = self._lag(position, position)
        apart = 1.0 - torch.eye(lag.shape[-1], dtype=lag.dtype, device=lag.device)
        return self._semivariance(lag, apart=apart)

    def _semivariance(self, lag: Tensor, *, apart: Tensor | float) -> Tensor:
        """Filtered, two measurements differ by the nugget even at one place; one by nothing."""
        if not self.filtered:
            return self.fit(lag)
        noise = self.fit.nugget
        return (self.fit(lag) - noise * (lag > 0).to(lag) + noise) * apart

    def _lag(self, one: Tensor, other: Tensor) -> Tensor:
        squared = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist").square()
        lag = self.separation.lag(squared)
        return torch.where(squared <= self.separation.coincident(), 0.0, lag)


def _separation(fit: VariogramFit) -> Separation:
    radius = sphere_radius(fit.unit) if fit.metric == "great_circle" else 0.0
    return Separation(metric=fit.metric, radius=radius)


def _check_choices(
    fit: VariogramFit, neighbours: int | None, at_data: str, duplicates: str
) -> None:
    if not fit.valid:
        raise ConfigError(
            f"kriging: {fit.model} is no covariance with great circles for lags; fit it with "
            "lag_metric='chord'"
        )
    if neighbours is not None and neighbours < 1:
        raise ConfigError(f"kriging needs one neighbour at least, not {neighbours}")
    if at_data not in get_args(AtData):
        raise ConfigError(f"at_data {at_data!r}: one of {', '.join(get_args(AtData))}")
    if duplicates not in get_args(Duplicates):
        raise ConfigError(f"duplicates {duplicates!r}: one of {', '.join(get_args(Duplicates))}")


def _values(values: np.ndarray | Tensor, position: Tensor) -> Tensor:
    given = torch.from_numpy(np.array(values)) if isinstance(values, np.ndarray) else values
    given = given.detach().to(position)
    if not len(position):
        raise DataError("kriging needs at least one place with a value")
    if len(given) != len(position):
        raise DataError(f"kriging: {len(given)} values for {len(position)} places")
    finite = torch.isfinite(given.reshape(len(given), -1)).all(dim=1)
    if not bool(finite.all()):
        row = int(torch.nonzero(~finite)[0])
        raise DataError(f"kriging: the value of place {row} is not finite; leave the place out")
    return given


def _distinct(
    position: Tensor, value: Tensor, separation: Separation, duplicates: str
) -> tuple[Tensor, Tensor]:
    """Places that differ, with the mean of their values; an error where that is asked for."""
    pairs = _coincident_pairs(position, separation)
    if not len(pairs):
        return position, value
    if duplicates == "error":
        one, other = (int(row) for row in pairs[0])
        raise DataError(
            f"kriging: places {one} and {other} are one place ({len(pairs)} such pairs): give "
            "duplicates='mean' to merge them"
        )
    count = len(position)
    linked = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, found = connected_components(linked, directed=False)
    _, first, label = np.unique(found, return_index=True, return_inverse=True)
    group = torch.from_numpy(label).to(position.device)
    total = value.new_zeros((len(first), *value.shape[1:])).index_add_(0, group, value)
    times = value.new_zeros(len(first)).index_add_(0, group, value.new_ones(count))
    mean = total / times.reshape(-1, *[1] * (value.ndim - 1))
    return position[torch.from_numpy(first).to(position.device)], mean


def _coincident_pairs(position: Tensor, separation: Separation) -> Int64[np.ndarray, "pair 2"]:
    tree = KDTree(position.cpu().numpy())
    found = tree.query_pairs(separation.coincident() ** 0.5, output_type="ndarray")
    return np.asarray(found, dtype=np.int64).reshape(-1, 2)

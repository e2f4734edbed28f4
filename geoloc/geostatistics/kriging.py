"""Kriging: the best linear unbiased estimate between places, and the variance of its error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float64, Num
from scipy.spatial import KDTree
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.kriging_places import Duplicates, distinct_places, usable_values
from geoloc.geostatistics.kriging_system import KrigingSystem
from geoloc.geostatistics.separation import Separation, sphere_radius
from geoloc.geostatistics.variogram_fit import VariogramFit

AtData: TypeAlias = Literal["exact", "filtered"]
"""What the nugget is: part of the field, or error of measurement."""
Mean: TypeAlias = float | np.ndarray | Tensor

MOST_PLACES = 10_000
_NUMBERS_AT_A_TIME = 1 << 22
_NUMBERS_IN_CACHE = 1 << 17


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

    Source: G. Matheron, "Principles of geostatistics", Economic Geology 58, 1963; N. Cressie,
    Statistics for Spatial Data, 1993, section 3.2, filtered as in eq. 3.2.26.
    """
    return _Field(fit, at_data, neighbours, duplicates).kriged(places, values, targets, mean=None)


def simple_kriging(
    places: Num[np.ndarray, "place ..."] | Num[Tensor, "place ..."],
    values: Num[np.ndarray, "value ..."] | Num[Tensor, "value ..."],
    targets: Num[np.ndarray, "target ..."] | Num[Tensor, "target ..."],
    fit: VariogramFit,
    *,
    mean: Mean,
    neighbours: int | None = None,
    at_data: AtData | str = "exact",
    duplicates: Duplicates | str = "error",
) -> Kriged:
    """Estimate a field whose mean is known: far from all places it is the mean.

    The weights are free, and the variance is never above that of `ordinary_kriging`, nor above
    the sill.

    Args:
        places: as in `ordinary_kriging`, like all that is not named here.
        values: at the places.
        targets: where to estimate.
        fit: the variogram's model.
        mean: of the field, for all values of a place or for each; 0 for residuals.
        neighbours: how many of the nearest places each target is estimated from.
        at_data: what the nugget is.
        duplicates: what becomes of places given twice.

    Raises:
        ConfigError: as `ordinary_kriging`; or the mean does not fit the values.
        CoordinateError: a place or target is not finite or out of range.
        DataError: as `ordinary_kriging`.

    Source: N. Cressie, Statistics for Spatial Data, 1993, eqs. 3.4.2 and 3.4.3.
    """
    return _Field(fit, at_data, neighbours, duplicates).kriged(places, values, targets, mean=mean)


def krige_each(
    places: Num[Tensor, "batch place 2"],
    values: Num[Tensor, "batch place"],
    targets: Num[Tensor, "batch target 2"],
    fit: VariogramFit,
    *,
    at_data: AtData | str = "exact",
) -> tuple[Float64[Tensor, "batch target"], Float64[Tensor, "batch target"]]:
    """Estimates and variances of many fields at once, each from places of its own.

    Arguments and errors are those of `ordinary_kriging`, with a batch in front; places are not
    asked whether they repeat.
    """
    field = _Field(fit, at_data, None, "error")
    batch, count = values.shape
    position = field.positions(places.flatten(0, 1)).unflatten(0, (batch, count))
    target = field.positions(targets.flatten(0, 1)).unflatten(0, (batch, targets.shape[1]))
    system = field.system(None)
    value, variance = system.estimate(
        system.solve(position, values.to(position)[..., None]), target
    )
    return value[..., 0], variance


class _Field:
    """A model of a field, and how it is to be kriged."""

    def __init__(
        self, fit: VariogramFit, at_data: str, neighbours: int | None, duplicates: str
    ) -> None:
        _check_choices(fit, neighbours, at_data, duplicates)
        self._fit, self._neighbours, self._duplicates = fit, neighbours, duplicates
        self._filtered = at_data == "filtered"
        radius = sphere_radius(fit.unit) if fit.metric == "great_circle" else 0.0
        self._separation = Separation(metric=fit.metric, radius=radius)

    def positions(self, places: np.ndarray | Tensor) -> Tensor:
        """Places as the model measures them."""
        return self._separation.positions(places)

    def system(self, known_mean: Tensor | None) -> KrigingSystem:
        """The equations of this field."""
        return KrigingSystem(
            fit=self._fit,
            separation=self._separation,
            filtered=self._filtered,
            known_mean=known_mean,
        )

    def kriged(
        self,
        places: np.ndarray | Tensor,
        values: np.ndarray | Tensor,
        targets: np.ndarray | Tensor,
        *,
        mean: Mean | None,
    ) -> Kriged:
        """Estimates at targets, from all places or the nearest."""
        position = self.positions(places)
        value = usable_values(values, position)
        if not (self._filtered and self._fit.nugget > 0) or self._duplicates == "mean":
            position, value = distinct_places(position, value, self._separation, self._duplicates)
        target = self.positions(targets).to(position.device)
        system = self.system(None if mean is None else _known_mean(mean, value))
        flat = value.reshape(len(value), -1)
        k = self._neighbours
        if k is None or k >= len(position):
            found = _from_all(system, position, flat, target)
        else:
            found = _from_nearest(system, position, flat, target, k=k)
        return Kriged(value=found[0].reshape(len(target), *value.shape[1:]), variance=found[1])


def _from_all(
    system: KrigingSystem, position: Tensor, value: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Every target from every place: one matrix, factored once."""
    if len(position) > MOST_PLACES:
        raise ConfigError(
            f"kriging from {len(position)} places at once asks for a matrix of that many rows: "
            f"give neighbours, or at most {MOST_PLACES} places"
        )
    solved = system.solve(position, value)
    block = max(1, _NUMBERS_AT_A_TIME // len(position))
    parts = [system.estimate(solved, some) for some in target.split(block)]
    return _joined(parts, value)


def _from_nearest(
    system: KrigingSystem, position: Tensor, value: Tensor, target: Tensor, *, k: int
) -> tuple[Tensor, Tensor]:
    """Every target from its nearest places: one small matrix a target."""
    tree = KDTree(position.cpu().numpy())
    _, found = tree.query(target.cpu().numpy(), k=k)
    near = torch.from_numpy(np.asarray(found, dtype=np.int64).reshape(-1, k))
    near = near.to(position.device)
    block = max(1, _NUMBERS_IN_CACHE // (k * k))
    # many targets share their places: looking covariances up costs less than computing them again
    shared = len(position) <= MOST_PLACES and len(position) ** 2 <= len(target) * k**2
    table = system.between(position).reshape(-1) if shared else None
    parts: list[tuple[Tensor, Tensor]] = []
    for rows, to in zip(near.split(block), target.split(block), strict=True):
        between = None
        if table is not None:
            pairs = rows[:, :, None] * len(position) + rows[:, None, :]
            between = table.index_select(0, pairs.reshape(-1)).reshape(pairs.shape)
        solved = system.solve(position[rows], value[rows], between=between)
        part = system.estimate(solved, to[:, None])
        parts.append((part[0][:, 0], part[1][:, 0]))
    return _joined(parts, value)


def _joined(parts: list[tuple[Tensor, Tensor]], value: Tensor) -> tuple[Tensor, Tensor]:
    nothing = (value[:0], value.new_empty(0))
    estimate, variance = zip(nothing, *parts, strict=True)
    return torch.cat(estimate), torch.cat(variance)


def _known_mean(mean: Mean, value: Tensor) -> Tensor:
    """The mean of each value of a place."""
    given = torch.as_tensor(mean).detach().to(value)
    if not bool(torch.isfinite(given).all()):
        raise ConfigError("kriging: the mean is not finite")
    try:
        return given.expand(value.shape[1:]).reshape(-1)
    except RuntimeError:
        raise ConfigError(
            f"kriging: a mean of shape {tuple(given.shape)} for values of {tuple(value.shape[1:])}"
        ) from None


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

"""How a field is kriged: under which model, from which places, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

import numpy as np
import torch
from jaxtyping import Float64, Int64, Num
from scipy.spatial import KDTree
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.kriging_places import Duplicates, distinct_places, usable_values
from geoloc.geostatistics.kriging_system import KrigingSystem
from geoloc.geostatistics.separation import Separation
from geoloc.geostatistics.space_filling import hilbert_order
from geoloc.geostatistics.variogram_fit import VariogramFit

AtData: TypeAlias = Literal["exact", "filtered"]
"""What the nugget is: part of the field, or error of measurement."""
Mean: TypeAlias = float | int | np.ndarray | Tensor

MOST_PLACES = 10_000
_NUMBERS_AT_A_TIME = 1 << 22
_NUMBERS_IN_CACHE = 1 << 19


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


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrigingMethod:
    """A model of a field, and how it is to be kriged; each as in `ordinary_kriging`.

    Attributes:
        fit: the variogram's model.
        mean: of the field, for simple kriging; None where it is not known.
        neighbours: how many of the nearest places an estimate is from; None for all.
        at_data: what the nugget is.
        duplicates: what becomes of places given twice.

    Raises:
        ConfigError: the model is no covariance on the sphere, or a choice is unknown.
        DataError: the model has no sill: nothing varies.
    """

    fit: VariogramFit
    mean: Mean | None = None
    neighbours: int | None = None
    at_data: AtData | str = "exact"
    duplicates: Duplicates | str = "error"

    def __post_init__(self) -> None:
        if not self.fit.valid:
            raise ConfigError(
                f"kriging: {self.fit.model} is no covariance with great circles for lags; fit it "
                "with lag_metric='chord'"
            )
        if not self.fit.sill > 0:
            raise DataError(
                "kriging: the variogram is 0 everywhere, as of values that are all equal: there is "
                "nothing to estimate"
            )
        if self.neighbours is not None and self.neighbours < 1:
            raise ConfigError(f"kriging needs one neighbour at least, not {self.neighbours}")
        if self.at_data not in get_args(AtData):
            raise ConfigError(f"at_data {self.at_data!r}: one of {', '.join(get_args(AtData))}")
        if self.duplicates not in get_args(Duplicates):
            raise ConfigError(
                f"duplicates {self.duplicates!r}: one of {', '.join(get_args(Duplicates))}"
            )

    def positions(self, places: np.ndarray | Tensor) -> Float64[Tensor, "place 3"]:
        """Places as the model measures them."""
        return self._separation.positions(places)

    def system(self, known_mean: Float64[Tensor, " value"] | None) -> KrigingSystem:
        """The equations of this field."""
        return KrigingSystem(
            fit=self.fit,
            separation=self._separation,
            filtered=self.at_data == "filtered",
            known_mean=known_mean,
        )

    def kriged(
        self,
        places: Num[np.ndarray, "place ..."] | Num[Tensor, "place ..."],
        values: Num[np.ndarray, "value ..."] | Num[Tensor, "value ..."],
        targets: Num[np.ndarray, "target ..."] | Num[Tensor, "target ..."],
    ) -> Kriged:
        """Estimates at targets, from all places or the nearest; errors as `ordinary_kriging`."""
        position, value = self._distinct(places, values)
        target = self.positions(targets).to(position.device)
        system = self.system(None if self.mean is None else _known_mean(self.mean, value))
        flat = value.reshape(len(value), -1)
        k = self.neighbours
        if k is None or k >= len(position):
            found = _from_all(system, position, flat, target)
        else:
            found = _from_nearest(system, position, flat, target, k=k)
        return Kriged(value=found[0].reshape(len(target), *value.shape[1:]), variance=found[1])

    def left_out(
        self,
        places: Num[np.ndarray, "place ..."] | Num[Tensor, "place ..."],
        values: Num[np.ndarray, "value ..."] | Num[Tensor, "value ..."],
    ) -> Kriged:
        """What the others say of each place's value, one place left out at a time.

        From all places in closed form, by one matrix; from the nearest, by a small one a place.
        Variances are of the errors against the values as measured: with ``filtered`` the nugget
        is in them. The variogram is the same throughout, and has seen all places.

        Returns:
            In the order of the places, which must differ whatever `duplicates` says.

        Raises:
            ConfigError: there are too many places for all to be used at once.
            DataError: as `ordinary_kriging`, or there is no other place.

        Source: O. Dubrule, "Cross validation of kriging in a unique neighborhood", Mathematical
        Geology 15, 1983.
        """
        position = self.positions(places)
        value = usable_values(values, position)
        if self._merges:
            distinct_places(position, value, self._separation, "error")
        if len(position) < 2:
            raise DataError("one place is left out at a time: two at least are needed")
        system = self.system(None if self.mean is None else _known_mean(self.mean, value))
        flat = value.reshape(len(value), -1)
        k = self.neighbours
        if k is None or k >= len(position) - 1:
            _refuse_too_many(position)
            estimate, variance = system.left_out(system.solve(position, flat), flat)
        else:
            estimate, variance = _from_nearest(system, position, flat, None, k=k)
            variance = variance + (self.fit.nugget if self.at_data == "filtered" else 0.0)
        return Kriged(value=estimate.reshape(value.shape), variance=variance)

    @property
    def _separation(self) -> Separation:
        return Separation.measuring(self.fit.metric, self.fit.unit)

    @property
    def _merges(self) -> bool:
        """Whether one place cannot be there twice: two values of one number have no solution."""
        return not (self.at_data == "filtered" and self.fit.nugget > 0)

    def _distinct(
        self, places: np.ndarray | Tensor, values: np.ndarray | Tensor
    ) -> tuple[Tensor, Tensor]:
        position = self.positions(places)
        value = usable_values(values, position)
        if self._merges or self.duplicates == "mean":
            return distinct_places(position, value, self._separation, self.duplicates)
        return position, value


def _from_all(
    system: KrigingSystem, position: Tensor, value: Tensor, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Every target from every place: one matrix, factored once."""
    _refuse_too_many(position)
    solved = system.solve(position, value)
    block = max(1, _NUMBERS_AT_A_TIME // len(position))
    parts = [system.estimate(solved, some) for some in target.split(block)]
    return _joined(parts, value)


def _from_nearest(
    system: KrigingSystem,
    position: Tensor,
    value: Tensor,
    target: Tensor | None,
    *,
    k: int,
) -> tuple[Tensor, Tensor]:
    """Every target from its nearest places, or without targets every place from its nearest others.

    One small matrix each. Along a curve they share their places, and what is read of these stays
    in the cache.
    """
    to_all = position if target is None else target
    order = torch.from_numpy(hilbert_order(to_all.cpu().numpy())).to(position.device)
    to_all = to_all[order]
    near = _nearest(position, to_all, k) if target is not None else _others(position, order, k)
    block = max(1, _NUMBERS_IN_CACHE // (k * k))
    # many targets share their places: looking covariances up costs less than computing them again
    shared = len(position) <= MOST_PLACES and len(position) ** 2 <= len(to_all) * k**2
    table = system.between(position).reshape(-1) if shared else None
    parts: list[tuple[Tensor, Tensor]] = []
    for rows, to in zip(near.split(block), to_all.split(block), strict=True):
        between = None
        if table is not None:
            row = rows.to(torch.int32)
            pairs = row[:, :, None] * len(position) + row[:, None, :]
            between = table.index_select(0, pairs.reshape(-1)).reshape(pairs.shape)
        solved = system.solve(position[rows], value[rows], between=between)
        part = system.estimate(solved, to[:, None])
        parts.append((part[0][:, 0], part[1][:, 0]))
    estimate, variance = _joined(parts, value)
    back = order.argsort()
    return estimate[back], variance[back]


def _nearest(position: Tensor, target: Tensor, k: int) -> Int64[Tensor, "target neighbour"]:
    _, found = KDTree(position.cpu().numpy()).query(target.cpu().numpy(), k=k)
    near = torch.from_numpy(np.asarray(found, dtype=np.int64).reshape(-1, k))
    return near.to(position.device)


def _others(
    position: Tensor, place: Int64[Tensor, " place"], k: int
) -> Int64[Tensor, "place neighbour"]:
    """The places nearest to each, itself not among them."""
    near = _nearest(position, position[place], k + 1)
    itself = near == place[:, None]
    # of many measurements at one place a place need not be among its own nearest
    itself[:, -1] |= ~itself.any(dim=1)
    return near[~itself].reshape(-1, k)


def _refuse_too_many(position: Tensor) -> None:
    if len(position) > MOST_PLACES:
        raise ConfigError(
            f"kriging from {len(position)} places at once asks for a matrix of that many rows: "
            f"give neighbours, or at most {MOST_PLACES} places"
        )


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

"""The equations of kriging, for one set of places or a batch of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import DataError
from geoloc.geostatistics.separation import Separation
from geoloc.geostatistics.variogram_fit import VariogramFit

_NUMBERS_AT_A_TIME = 1 << 22
_ROUNDING = 1e-10


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SolvedPlaces:
    """Places whose covariances are factored once, for any number of targets.

    Attributes:
        position: of the places.
        factor: L, where L L' are the covariances of the places.
        mean: of the field, for each value of a place.
        residual: inverse of L times (values - mean).
        ones: inverse of L times ones, where the mean was estimated; None where it is known.
    """

    position: Float64[Tensor, "*batch place 3"]
    factor: Float64[Tensor, "*batch place place"]
    mean: Float64[Tensor, "*batch 1 value"]
    residual: Float64[Tensor, "*batch place value"]
    ones: Float64[Tensor, "*batch place 1"] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrigingSystem:
    """What turns positions into systems of kriging, and these into estimates.

    With L L' the covariances of the places, c those of the places with a target, u = inv(L) c and
    y = inv(L) (z - m), the estimate is m + u'y and its variance c(0) - u'u. Where the mean is not
    known, m is o'inv(L)z / o'o with o = inv(L) 1, and (1 - u'o)^2 / o'o is added to the variance:
    the same weights as those of the system with a Lagrange multiplier, and one triangular solve a
    target instead of a solve of all.

    Attributes:
        fit: the variogram's model.
        separation: how far positions are apart.
        filtered: whether the nugget is error of measurement.
        known_mean: of each value; None where it is estimated.

    Source: N. Cressie, Statistics for Spatial Data, 1993, eqs. 3.2.21 to 3.2.26 and 3.4.2.
    """

    fit: VariogramFit
    separation: Separation
    filtered: bool
    known_mean: Float64[Tensor, " value"] | None

    def solve(
        self,
        position: Float64[Tensor, "*batch place 3"],
        value: Float64[Tensor, "*batch place value"],
        *,
        between: Float64[Tensor, "*batch place place"] | None = None,
    ) -> SolvedPlaces:
        """Factor the covariances of places, which are computed where they are not given.

        Raises:
            DataError: they have no inverse.
        """
        matrix = self.between(position) if between is None else between
        factor = _cholesky(matrix, self.fit.sill)
        if self.known_mean is not None:
            mean, ones = self.known_mean.expand(*value.shape[:-2], 1, value.shape[-1]), None
            residual = torch.linalg.solve_triangular(factor, value - mean, upper=False)
        else:
            beside = torch.cat([torch.ones_like(value[..., :1]), value], dim=-1)
            solved = torch.linalg.solve_triangular(factor, beside, upper=False)
            ones, whole = solved[..., :1], solved[..., 1:]
            mean = (ones.mT @ whole) / ones.square().sum(dim=-2, keepdim=True)
            residual = whole - ones * mean
        return SolvedPlaces(
            position=position, factor=factor, mean=mean, residual=residual, ones=ones
        )

    def estimate(
        self, solved: SolvedPlaces, target: Float64[Tensor, "*batch target 3"]
    ) -> tuple[Float64[Tensor, "*batch target value"], Float64[Tensor, "*batch target"]]:
        """Estimates at targets and the variances of their errors."""
        toward = self._covariance(solved.position, target)
        u = torch.linalg.solve_triangular(solved.factor, toward, upper=False)
        variance = self.fit.sill - u.square().sum(dim=-2)
        if self.filtered:
            variance = variance - self.fit.nugget
        if solved.ones is not None:
            missing = 1.0 - (u.mT @ solved.ones)[..., 0]
            variance = variance + missing.square() / solved.ones.square().sum(dim=-2)
        return solved.mean + u.mT @ solved.residual, variance.clamp(min=0.0)

    def left_out(
        self, solved: SolvedPlaces, value: Float64[Tensor, "place value"]
    ) -> tuple[Float64[Tensor, "place value"], Float64[Tensor, " place"]]:
        """Estimates of each place from all others, and the variances of their errors.

        With P the inverse of the covariances, or of the system with the unknown mean, the error at
        place i is (P z)_i / P_ii and its variance 1 / P_ii.
        """
        right = [solved.residual] if solved.ones is None else [solved.residual, solved.ones]
        back = torch.linalg.solve_triangular(solved.factor.mT, torch.cat(right, dim=1), upper=True)
        diagonal = torch.cholesky_inverse(solved.factor).diagonal()
        if solved.ones is not None:
            diagonal = diagonal - back[:, -1].square() / solved.ones.square().sum()
        variance = 1.0 / diagonal
        return value - back[:, : value.shape[1]] * variance[:, None], variance

    def between(
        self, position: Float64[Tensor, "*batch place 3"]
    ) -> Float64[Tensor, "*batch place place"]:
        """Covariances of places with one another, a band of rows at a time."""
        size = position.shape[-2]
        matrix = position.new_empty((*position.shape[:-1], size))
        band = max(1, _NUMBERS_AT_A_TIME * size // max(1, matrix.numel()))
        for first in range(0, size, band):
            rows = slice(first, first + band)
            matrix[..., rows, :] = self._covariance(position[..., rows, :], position)
        matrix.diagonal(dim1=-2, dim2=-1).fill_(self.fit.sill)
        return matrix

    def _covariance(self, one: Tensor, other: Tensor) -> Tensor:
        """Filtered, two measurements at one place share the field, and not their errors."""
        apart = torch.cdist(one, other, compute_mode="donot_use_mm_for_euclid_dist")
        apart.masked_fill_(apart <= self.separation.coincident() ** 0.5, 0.0)
        if self.fit.lag_metric == "great_circle":
            lag = self.separation.lag(apart.square())
        else:
            # positions lie on a sphere of radius 1, and what is between them is the chord
            lag = apart.mul_(self.separation.radius or 1.0)
        covariance = self.fit.at_model_lag(lag).neg_().add_(self.fit.sill)
        if self.filtered and self.fit.nugget > 0:
            covariance.sub_(self.fit.nugget * (lag == 0).to(lag))
        return covariance


def _cholesky(matrix: Tensor, sill: float) -> Tensor:
    """A factor of covariances; the smoothest models get their rounding on the diagonal."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    if bool((info > 0).any()):
        matrix.diagonal(dim1=-2, dim2=-1).add_(
            torch.where(info > 0, _ROUNDING * sill, 0.0).to(matrix)[..., None]
        )
        factor, info = torch.linalg.cholesky_ex(matrix)
    if bool((info > 0).any()):
        raise DataError(
            "kriging: the system has no single solution; places are too near one another for this "
            "model: give it a nugget, or merge places"
        )
    return factor

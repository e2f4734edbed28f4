"""Detail: what a fine field has beyond the interpolated coarse one, in units that networks like."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from geoloc.downscaling.grids import coarsen, conserve, interpolate
from geoloc.errors import DataError


@dataclass(frozen=True, slots=True, kw_only=True)
class Scales:
    """The units of a training set.

    Attributes:
        factor: fine cells along a coarse one.
        level: mean of the coarse fields.
        spread: their standard deviation.
        detail: root of the mean square of fine minus interpolated.
    """

    factor: int
    level: float
    spread: float
    detail: float

    @classmethod
    def of(cls, fine: Float[Tensor, "series time row column"], factor: int) -> Scales:
        """Those of fine fields.

        Raises:
            DataError: a value is not finite, or there is nothing to be learnt: the fine fields are
                no more than interpolated coarse ones, or all coarse values are equal.
        """
        if not bool(torch.isfinite(fine).all()):
            raise DataError("a fine field has values that are not finite: fill or crop them")
        coarse = coarsen(fine, factor)
        detail = float((fine - interpolate(coarse, factor)).square().mean().sqrt())
        spread = float(coarse.std())
        if not (detail > 0.0 and spread > 0.0):
            raise DataError("the fine fields have no detail beyond the coarse: nothing to learn")
        return cls(factor=factor, level=float(coarse.mean()), spread=spread, detail=detail)

    def normal(
        self, field: Float[Tensor, "*series row column"]
    ) -> Float32[Tensor, "*series row column"]:
        """A field, coarse or fine, of about mean 0 and variance 1."""
        return ((field - self.level) / self.spread).to(torch.float32)

    def detail_of(
        self, fine: Float[Tensor, "*series row column"]
    ) -> Float32[Tensor, "*series row column"]:
        """The detail of fine fields, of about variance 1."""
        smooth = interpolate(coarsen(fine, self.factor), self.factor)
        return ((fine - smooth) / self.detail).to(torch.float32)

    def conserved(
        self,
        detail: Float[Tensor, "*series row column"],
        coarse: Float[Tensor, "*series coarse_row coarse_column"],
    ) -> Float[Tensor, "*series row column"]:
        """Detail whose field has the coarse values for its block means."""
        missing = (coarse - coarsen(interpolate(coarse, self.factor), self.factor)) / self.detail
        return conserve(detail, missing.to(detail), self.factor)

    def field(
        self,
        detail: Float[Tensor, "*series row column"],
        coarse: Float[Tensor, "*series coarse_row coarse_column"],
    ) -> Float[Tensor, "*series row column"]:
        """The fine field that the detail makes of the coarse one."""
        return interpolate(coarse, self.factor) + detail.to(coarse) * self.detail


def lagged(
    coarse: Float[Tensor, "series time row column"], lags: int
) -> Float[Tensor, "series time lag row column"]:
    """For each step the last `lags` fields, the step's own last; before the first, the first."""
    before = coarse[:, :1].expand(-1, lags - 1, -1, -1)
    padded = torch.cat([before, coarse], dim=1)
    return torch.stack([padded[:, k : k + coarse.shape[1]] for k in range(lags)], dim=2)

"""Curves to be fitted, and the columns that a model lays under them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.geostatistics.models import Model

SHORTEST, LONGEST = 0.05, 1000.0
"""Scales looked at: from this part of the least lag to this multiple of the greatest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveProblem:
    """Semivariances against lags, of which only those with a weight count.

    The parameters that are searched, the *position*, are the logarithms of the scales, and behind
    them that of the shape where it is free. All else (nugget and partial sills) follows from them.

    Attributes:
        lag: of the bins; one row for all curves, or one for each.
        semivariance: finite everywhere.
        weight: 0 where a bin does not count.
        structures: one or two families.
        shapes: shape of each structure; None where it has none, or where it is free.
        nugget: whether the first column is a nugget.
    """

    lag: Float64[Tensor, "row bin"]
    semivariance: Float64[Tensor, "curve bin"]
    weight: Float64[Tensor, "curve bin"]
    structures: tuple[Model, ...]
    shapes: tuple[float | None, ...]
    nugget: bool

    @property
    def shape_is_free(self) -> bool:
        """Whether a shape is fitted: that of a single structure."""
        return self.structures[0].has_shape and self.shapes[0] is None

    @property
    def position_count(self) -> int:
        """Parameters that are searched."""
        return len(self.structures) + self.shape_is_free

    @property
    def column_count(self) -> int:
        """Parameters that follow by least squares."""
        return len(self.structures) + self.nugget

    def bounds(self) -> tuple[Float64[Tensor, "row position"], Float64[Tensor, "row position"]]:
        """Least and greatest position, for each row of lags."""
        counts = (self.weight > 0).any(0) if len(self.lag) == 1 else self.weight > 0
        counts = counts.expand(self.lag.shape)
        least = torch.where(counts, self.lag, torch.inf).amin(-1)
        greatest = torch.where(counts, self.lag, 0.0).amax(-1)
        known = greatest > 0
        low = torch.where(known, least, 1.0).log() + math.log(SHORTEST)
        high = torch.where(known, greatest, 1.0).log() + math.log(LONGEST)
        lows, highs = [low] * len(self.structures), [high] * len(self.structures)
        if self.shape_is_free:
            first, last = self.structures[0].shape_bounds or (1.0, 1.0)
            lows.append(torch.full_like(low, math.log(first)))
            highs.append(torch.full_like(high, math.log(last)))
        return torch.stack(lows, -1), torch.stack(highs, -1)

    def columns(
        self, position: Float64[Tensor, "*batch position"], lag: Float64[Tensor, "*#batch bin"]
    ) -> Float64[Tensor, "*batch column bin"]:
        """One column for the nugget and one for each structure, each of sill 1."""
        columns: list[Tensor] = []
        for number, (model, fixed) in enumerate(zip(self.structures, self.shapes, strict=True)):
            t = lag * torch.exp(-position[..., number, None])
            free = model.has_shape and fixed is None
            shape = position[..., -1, None].exp() if free else fixed
            columns.append(model.function(t, shape))
        if self.nugget:
            columns.insert(0, torch.ones_like(columns[0]))
        return torch.stack(columns, -2)

    def of_curves(self, curve: Int64[Tensor, " chosen"]) -> CurveProblem:
        """The problem of some of the curves, in the order given, perhaps repeated."""
        return replace(
            self,
            lag=self.lag if len(self.lag) == 1 else self.lag[curve],
            semivariance=self.semivariance[curve],
            weight=self.weight[curve],
        )

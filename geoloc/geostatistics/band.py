"""ConditionalBand: how unusual a dissimilarity is at its lag, F(dissimilarity | lag)."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.dissimilarity import ValueBins
from geoloc.geostatistics.estimators import histogram_quantiles
from geoloc.geostatistics.lags import LagUnit
from geoloc.geostatistics.slots import FIRST
from geoloc.geostatistics.sums import COUNT, LAG, PairSums

_GRID = 256
_HALF_TRUST = 30.0
"""A lag class of so many pairs counts half as much as one of very many when classes are mixed."""


class ConditionalBand:
    """The distribution of the dissimilarity at each lag, as a table on a device.

    Dissimilarities at short lags are strongly skewed, so that mean minus a multiple of the standard
    deviation lies below zero and flags nothing; the distribution itself has no such trouble.

    Each lag class is mixed with its two neighbours (weights 1, 2, 1, less where a class holds few
    pairs), which keeps every row a distribution function. Between the mean lags of classes the
    function is linear in the logarithm of the lag; before the first and beyond the last it stays.

    Args:
        accumulator: of the pairs that the distribution is taken from.
        device: where scores will be asked for; that of the accumulator by default.

    Attributes:
        unit: of the lags.

    Raises:
        DataError: no pair fell into a lag class.
    """

    def __init__(self, accumulator: PairSums, *, device: torch.device | str | None = None) -> None:
        where = accumulator.device if device is None else torch.device(device)
        occupied = accumulator.occupied()
        if not len(occupied):
            raise DataError("no pair lies in a lag class: there is nothing to score by")
        sums = accumulator.total()[FIRST + occupied]
        counts = accumulator.histogram.cpu().numpy()[FIRST + occupied].astype(np.float64)
        log_lag = np.log(sums[:, LAG] / sums[:, COUNT])
        self.unit: LagUnit = accumulator.bins.unit
        self._bins: ValueBins = accumulator.value_bins
        self._first = float(log_lag[0])
        self._step = float(log_lag[-1] - log_lag[0]) / (_GRID - 1)
        density = _mixed(counts, sums[:, COUNT])
        grid = self._first + self._step * np.arange(_GRID)
        self._density = np.stack([np.interp(grid, log_lag, column) for column in density.T], axis=1)
        reached = np.cumsum(self._density, axis=1)
        table = np.concatenate([np.zeros((_GRID, 1)), reached / reached[:, -1:]], axis=1)
        self._table = torch.from_numpy(table.astype(np.float32)).to(where)

    def score(
        self, lag: Float[Tensor, "*pair"], dissimilarity: Float[Tensor, "*pair"]
    ) -> Float[Tensor, "*pair"]:
        """The share u in [0, 1] of pairs at this lag that are less dissimilar.

        Uniform for pairs like those of the accumulator; near 0 for pairs more alike than their lag
        lets expect. NaN where the dissimilarity is. No value is read back from the device.

        Args:
            lag: in `unit`; 0 counts as the shortest lag known.
            dissimilarity: as the accumulator has it, of the same shape.
        """
        x = (lag.clamp(min=1e-30).log().to(torch.float32) - self._first) / max(self._step, 1e-30)
        x = x.clamp(0.0, _GRID - 1.0)
        row = x.floor().clamp(max=_GRID - 2.0)
        across = self._position(dissimilarity)
        column = across.floor().clamp(max=len(self._bins) - 1.0)
        down, along = x - row, across - column
        place = (row * self._table.shape[1] + column).nan_to_num().to(torch.int64)
        flat = self._table.view(-1)
        here = torch.lerp(flat[place], flat[place + 1], along)
        below = place + self._table.shape[1]
        there = torch.lerp(flat[below], flat[below + 1], along)
        return torch.lerp(here, there, down).to(dissimilarity.dtype)

    def quantile(
        self, level: float, lag: Float64[np.ndarray, " lag"]
    ) -> Float64[np.ndarray, " lag"]:
        """The dissimilarity that a share `level` of pairs at each lag stays below.

        Raises:
            ConfigError: the level is not in (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ConfigError(f"a quantile's level lies between 0 and 1, not at {level}")
        known = histogram_quantiles(self._density, self._bins.edges, (level,))[:, 0]
        grid = self._first + self._step * np.arange(_GRID)
        return np.interp(np.log(np.maximum(lag, 1e-300)), grid, known)

    def _position(self, value: Float[Tensor, "*pair"]) -> Float[Tensor, "*pair"]:
        """Number of the dissimilarity class, with the way through the class after the point.

        A float32 runs evenly through a class as its bits do.
        """
        bins = self._bins
        scaled = (value / bins.scale).to(torch.float32)
        bits = scaled.clamp(min=0.0).view(torch.int32) - (bins.first << bins.shift)
        position = bits.to(torch.float64).div(float(1 << bins.shift)).to(torch.float32)
        lowest = float(bins.edges[1]) / bins.scale
        position = torch.where(scaled < lowest, scaled / lowest, position)
        position = position.clamp(0.0, float(len(bins)))
        return torch.where(torch.isnan(scaled), torch.nan, position)


def _mixed(
    counts: Float64[np.ndarray, "class value"], total: Float64[np.ndarray, " class"]
) -> Float64[np.ndarray, "class value"]:
    """Shares of the dissimilarity classes, each lag class mixed with its neighbours."""
    share = counts / total[:, None]
    trust = (total / (total + _HALF_TRUST))[:, None]
    weight, mixed = 2.0 * trust, 2.0 * trust * share
    for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        weight[here] += trust[there]
        mixed[here] += trust[there] * share[there]
    return mixed / weight

"""Tiles: a field cut into overlapping squares, and put together again without seams."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tiling:
    """Where the tiles of a field lie.

    Tiles are `stride` apart at most, and the last ends where the field does.

    Attributes:
        rows: of the field.
        columns: of the field.
        tile: side of a tile, in cells.
        stride: from tile to tile, in cells; half a tile makes Hann weights sum to one by
            themselves.

    Raises:
        ConfigError: a tile does not fit the field, or tiles would leave gaps.
    """

    rows: int
    columns: int
    tile: int
    stride: int

    def __post_init__(self) -> None:
        if not 1 <= self.tile <= min(self.rows, self.columns):
            raise ConfigError(
                f"a tile of {self.tile} cells does not fit a field of {self.rows} by {self.columns}"
            )
        if not 1 <= self.stride <= self.tile:
            raise ConfigError(f"tiles of {self.tile} cells, {self.stride} apart, leave gaps")

    def corners(self) -> tuple[tuple[int, int], ...]:
        """First row and column of each tile, row by row."""
        rows, columns = (_starts(size, self) for size in (self.rows, self.columns))
        return tuple((row, column) for row in rows for column in columns)

    def cut(
        self, field: Float[Tensor, "batch channel row column"]
    ) -> Float[Tensor, "cut channel tile tile"]:
        """The tiles of each field: all first tiles, then all second ones, and so on."""
        size = self.tile
        return torch.cat([field[..., r : r + size, c : c + size] for r, c in self.corners()])

    def blend(
        self, tiles: Float[Tensor, "cut channel tile tile"]
    ) -> Float[Tensor, "batch channel row column"]:
        """Fields from their tiles: means weighted by Hann windows, which sum to one everywhere."""
        corners, size = self.corners(), self.tile
        parts = tiles.reshape(len(corners), -1, *tiles.shape[1:])
        window = hann_window(size).to(tiles)
        total = tiles.new_zeros((*parts.shape[1:3], self.rows, self.columns))
        weight = tiles.new_zeros((self.rows, self.columns))
        for part, (row, column) in zip(parts, corners, strict=True):
            here = (slice(row, row + size), slice(column, column + size))
            total[..., here[0], here[1]] += part * window
            weight[here] += window
        return total / weight


def hann_window(size: int) -> Float[Tensor, "size size"]:
    """Hann's bell over a square, sampled at the middles of cells: positive everywhere.

    Source: R. B. Blackman and J. W. Tukey, The Measurement of Power Spectra, 1958, B.5.
    """
    bell = torch.sin(math.pi * (torch.arange(size) + 0.5) / size).square()
    return bell[:, None] * bell[None, :]


def _starts(size: int, tiling: Tiling) -> tuple[int, ...]:
    free = size - tiling.tile
    steps = math.ceil(free / tiling.stride)
    return tuple(round(free * step / steps) for step in range(steps + 1)) if steps else (0,)

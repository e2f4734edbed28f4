"""All pairs of samples, tile by tile: nothing of the size of n squared is ever held."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.features import Block, Features
from geoloc.geostatistics.space_filling import hilbert_order
from geoloc.geostatistics.sums import PairSums

Backend: TypeAlias = Literal["auto", "torch", "numba", "triton"]
Progress: TypeAlias = Callable[[int, int], None]
"""Told (pairs done, pairs in all) now and then."""

_FEWEST_HALVES = 8
_ROW_BYTES = {"cpu": 128 << 20, "cuda": 2 << 30}


@runtime_checkable
class Tiles(Protocol):
    """Adds tiles of pairs to an accumulator.

    Attributes:
        tile_rows: rows and columns that a tile had best have.
    """

    tile_rows: int

    def add_tile(self, a: Block, b: Block, *, same: bool) -> None:
        """Add every pair of a row of `a` and a row of `b`; with `same`, each pair once."""
        ...

    def finish(self) -> None:
        """Bring all sums home; nothing may be added afterwards."""
        ...


class Samples:
    """Samples with what is compared of them, made ready where asked for.

    Args:
        features: their values.
        position: their positions, on the device of the features.
        group: their groups, numbered from 0.
    """

    def __init__(
        self,
        features: Features,
        position: Float64[Tensor, "n 3"],
        group: Int64[np.ndarray, " n"],
    ) -> None:
        self._features = features
        self._position = position
        self._group = group

    def __len__(self) -> int:
        return len(self._features)

    @property
    def feature_dim(self) -> int:
        """Numbers a sample has."""
        return self._features.feature_dim

    @property
    def device(self) -> torch.device:
        """Where samples are compared."""
        return self._position.device

    def measure_from(self, other: Samples) -> None:
        """Measure values from the same centre as another's, to be compared with them."""
        self._features.center = other._features.center

    @property
    def row_bytes(self) -> int:
        """Bytes of one row made ready."""
        return self._features.feature_dim * self._features.dtype.itemsize + 40

    @property
    def groups(self) -> Int64[np.ndarray, " n"]:
        """The group of each sample."""
        return self._group

    def rows(self, rows: Int64[np.ndarray, " row"]) -> Block:
        """These samples, in this order."""
        index = torch.from_numpy(rows)
        value, half = self._features.rows(index)
        return Block(
            position=self._position[index.to(self._position.device)],
            value=value,
            half=half,
            group=torch.from_numpy(self._group[rows]).to(half.device),
        )


def tiles_for(accumulator: PairSums, backend: Backend = "auto") -> Tiles:
    """The fastest way that this machine has, or the one asked for.

    ``auto`` is ``numba`` on the CPU where that package is installed, else ``torch``. ``triton`` is
    for CUDA devices (or any, through Triton's interpreter).

    Raises:
        ConfigError: the backend is unknown, not installed, or not for this device.
    """
    on_cpu = accumulator.device.type == "cpu"
    if backend in ("numba", "auto") and on_cpu:
        try:
            from geoloc.geostatistics.tiles_numba import NumbaTiles
        except ImportError:
            if backend == "numba":
                raise ConfigError("backend numba: install it (pip install numba)") from None
        else:
            return NumbaTiles(accumulator)
    if backend in ("torch", "auto"):
        from geoloc.geostatistics.tiles_torch import TorchTiles

        return TorchTiles(accumulator)
    if backend == "triton":
        try:
            from geoloc.geostatistics.tiles_triton import TritonTiles
        except ImportError:
            raise ConfigError("backend triton: install it (pip install triton)") from None
        return TritonTiles(accumulator)
    raise ConfigError(
        f"backend {backend!r} on {accumulator.device.type}: auto, torch, numba (CPU), triton (CUDA)"
    )


def add_all_pairs(
    samples: Samples,
    order: Int64[np.ndarray, " n"],
    tiles: Tiles,
    *,
    progress: Progress | None = None,
) -> None:
    """Add each pair of samples once.

    A strip of rows is made ready and kept while all later blocks pass by it, so that memory does
    not grow with the number of samples and rows are seldom made ready twice.

    Args:
        samples: what to compare.
        order: in which they are taken: one group after the other, and within a group along the
            ground, so that tiles are alike inside (`tile_order`).
        tiles: where pairs are added; not finished here.
        progress: told of pairs done.
    """
    size, strip = tiles.tile_rows, _strip(samples, tiles)
    total = len(samples) * (len(samples) - 1) // 2
    done = 0
    for top in range(0, len(samples), strip):
        bottom = min(top + strip, len(samples))
        rows = samples.rows(order[top:bottom])
        for first in range(top, len(samples), size):
            last = min(first + size, len(samples))
            inside = first < bottom
            across = (
                rows.part(slice(first - top, last - top))
                if inside
                else samples.rows(order[first:last])
            )
            for start in range(0, min(last, bottom) - top, size):
                down = rows.part(slice(start, min(start + size, bottom - top)))
                same = inside and start == first - top
                if same:
                    _add_triangle(down, tiles)
                else:
                    tiles.add_tile(down, across, same=False)
                done += len(down) * (len(down) - 1) // 2 if same else len(down) * len(across)
            if progress is not None:
                progress(done, total)


def _add_triangle(rows: Block, tiles: Tiles) -> None:
    """Add each pair among some rows once; halves of halves, so that little is computed twice."""
    half = len(rows) // 2
    if half < max(1, tiles.tile_rows // _FEWEST_HALVES):
        tiles.add_tile(rows, rows, same=True)
        return
    upper, lower = rows.part(slice(0, half)), rows.part(slice(half, len(rows)))
    _add_triangle(upper, tiles)
    tiles.add_tile(upper, lower, same=False)
    _add_triangle(lower, tiles)


def add_pairs_between(one: Samples, other: Samples, tiles: Tiles) -> None:
    """Add every pair of a sample of one set and a sample of another; see `add_all_pairs`."""
    size, strip = tiles.tile_rows, _strip(one, tiles)
    order_a, order_b = (
        np.argsort(one.groups, kind="stable"),
        np.argsort(other.groups, kind="stable"),
    )
    for top in range(0, len(one), strip):
        rows = one.rows(order_a[top : top + strip])
        for first in range(0, len(other), size):
            across = other.rows(order_b[first : first + size])
            for start in range(0, len(rows), size):
                tiles.add_tile(rows.part(slice(start, start + size)), across, same=False)


def _strip(samples: Samples, tiles: Tiles) -> int:
    """Rows that are kept ready: a whole number of tiles."""
    held = _ROW_BYTES["cpu" if samples.device.type == "cpu" else "cuda"]
    return max(1, held // (samples.row_bytes * tiles.tile_rows)) * tiles.tile_rows


def tile_order(
    position: Float64[np.ndarray, "n 3"], group: Int64[np.ndarray, " n"]
) -> Int64[np.ndarray, " n"]:
    """Rows by group, and within a group along a space-filling curve."""
    along = np.empty(len(position), dtype=np.int64)
    along[hilbert_order(position)] = np.arange(len(position))
    return np.lexsort((along, group))

"""Tiles fused in one Triton kernel: no matrix of pairs is ever written to memory.

A program takes some rows of one group against some rows of one group. It multiplies their features
(float32 sums, in tensor cores for 16-bit values), measures and sorts each pair in registers as
`tiles_torch` does, and adds up one lag slot after another: samples lie along a space-filling curve,
so that few slots occur. Its sums go to a place of its own and are added in float64 in a fixed
order; only the histogram is shared, and integers add up to the same in any order. So every run
gives the same bits.

Separations are differences of float64 positions, rounded as in `tiles_torch`: pairs fall into the
same slots. The lag and the dissimilarity of one pair are float32, as are sums over the 64 rows of a
program; everything beyond is float64. Sums agree with those of `tiles_torch` to 1e-6.

Tested through Triton's interpreter (TRITON_INTERPRET=1 before Triton is imported), where bfloat16
is widened first, and compiled for compute capability 9.0 (Triton 3.7): no GPU has run it yet, and
sizes of chunks are chosen by counting registers, not by timing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.features import Block
from geoloc.geostatistics.separation import arc_sine_series
from geoloc.geostatistics.sums import MOMENTS, PairSums
from geoloc.geostatistics.tiles_torch import TorchTiles
from geoloc.geostatistics.tiles_triton_kernel import Compiled, Side, Sides, Sums, Tables, add_chunks

_ROWS, _COLUMNS = 64, 64
_DEPTH_BYTES = 128
_PARTIAL_BYTES = 256 << 20
_MOST_BLOCKS = 65535
_LAUNCH: Any = {"num_warps": 8, "num_stages": 3, "maxnreg": 128, "enable_fp_fusion": False}
"""Without fusion a separation is rounded step by step, as torch does it."""


class TritonTiles:
    """Adds the pairs of blocks to an accumulator on a CUDA device, in one kernel a tile.

    Tiles may be large (16384 samples and more): only sums are kept of them. Features in float64
    have no tensor cores to gain from and go through `TorchTiles`.

    Args:
        accumulator: takes the sums.

    Attributes:
        tile_rows: rows and columns that a tile had best have.

    Raises:
        ConfigError: the accumulator is not on a CUDA device and Triton does not interpret.
    """

    def __init__(self, accumulator: PairSums) -> None:
        if accumulator.device.type != "cuda" and isinstance(add_chunks, triton.runtime.JITFunction):
            raise ConfigError("backend triton: a CUDA device, or TRITON_INTERPRET=1")
        self.tile_rows = 16384
        self._sums = accumulator
        self._plain = TorchTiles(accumulator)
        self._tables = _tables(accumulator)
        scale = accumulator.value_bins.scale
        root = scale**0.25 if accumulator.roots else 0.0
        unit = (1.0, 2.0 * accumulator.separation.radius or 1.0, scale, scale**2, root)
        self._unit = torch.tensor(unit, dtype=torch.float64, device=accumulator.device)

    @torch.no_grad()
    def add_tile(self, a: Block, b: Block, *, same: bool) -> None:
        """Add every pair of a row of `a` and a row of `b`; with `same`, each pair once."""
        if a.value.dtype == torch.float64:
            self._plain.add_tile(a, b, same=same)
            return
        if not (len(a) and len(b)):
            return
        a, rows = _chunks(a, _ROWS)
        b, columns = _chunks(b, _COLUMNS)
        compiled = self._compiled(a, same=same)
        shape = (len(columns.group), len(self._sums.slots), MOMENTS)
        at_once = min(max(_PARTIAL_BYTES // (8 * math.prod(shape)), 1), _MOST_BLOCKS)
        with torch.cuda.device_of(a.value):
            for first in range(0, len(rows.group), at_once):
                some = slice(first, first + at_once)
                part = _Chunks(rows.bounds[some], rows.group[some])
                partial = a.position.new_zeros((len(part.group), *shape))
                sides = Sides(_side(a, part), _side(b, columns))
                sums = Sums(partial, self._sums.histogram, shape[1])
                launch = add_chunks[len(columns.group), len(part.group)]
                launch(sides, self._tables, sums, compiled, **_LAUNCH)
                self._take(partial, part, columns)

    def finish(self) -> None:
        """Nothing is held back here."""

    def _compiled(self, block: Block, *, same: bool) -> Compiled:
        slots, values = self._sums.slots, self._sums.value_bins
        given = Compiled(
            rows=_ROWS,
            columns=_COLUMNS,
            depth=_DEPTH_BYTES // block.value.dtype.itemsize,
            same=same,
            scalar=block.value.shape[1] == 1,
            absolute=self._sums.dissimilarity == "absolute",
            sphere=self._sums.metric == "great_circle",
            shift=slots.shift,
            steps=slots.steps,
            value_shift=values.shift,
            # at least one class more than there are, and a power of two
            classes=1 << len(values).bit_length(),
        )
        return Compiled(*(tl.constexpr(option) for option in given))

    def _take(self, partial: Tensor, rows: _Chunks, columns: _Chunks) -> None:
        """Add the programs' sums to the accumulator, by pair of groups, in a fixed order."""
        by_run, groups = partial.flatten(2), []
        for axis, chunks in ((1, columns), (0, rows)):
            group, length = np.unique(chunks.group, return_counts=True)
            groups.append(torch.from_numpy(group).to(partial.device))
            # lengths are wanted for each index of the axes before
            length = np.tile(length, (*by_run.shape[:axis], 1))
            length = torch.from_numpy(length).to(partial.device)
            by_run = torch.segment_reduce(by_run, "sum", lengths=length, axis=axis, unsafe=True)
        total = by_run.unflatten(2, partial.shape[2:]) * self._unit
        other, one = torch.meshgrid(*groups, indexing="xy")
        low, high = torch.minimum(one, other), torch.maximum(one, other)
        # in two steps, so that none of them adds to one place twice
        for chosen in (one <= other, one > other):
            self._sums.moments[low[chosen], high[chosen]] += total[chosen]


class _Chunks(NamedTuple):
    """Pieces of a block, each inside one group: first row and end, and the group."""

    bounds: NDArray[np.int32]
    group: NDArray[np.int64]


def _chunks(block: Block, size: int) -> tuple[Block, _Chunks]:
    """The block with its groups in order, and cut into chunks of at most `size` rows."""
    group = block.group.cpu().numpy()
    if np.any(group[1:] < group[:-1]):
        order = torch.from_numpy(np.argsort(group, kind="stable")).to(block.group.device)
        block = Block(
            position=block.position[order],
            value=block.value[order],
            half=block.half[order],
            group=block.group[order],
        )
        group = np.sort(group)
    start = np.flatnonzero(np.diff(group, prepend=-1))
    # the run that each row is in starts at `begin`
    begin = np.repeat(start, np.diff(start, append=len(group)))
    first = np.flatnonzero((np.arange(len(group)) - begin) % size == 0)
    end = np.minimum(first + size, np.append(first[1:], len(group)))
    return block, _Chunks(np.stack([first, end], axis=1).astype(np.int32), group[first])


def _side(block: Block, chunks: _Chunks) -> Side:
    value = block.value.contiguous()
    if not value.is_cuda:
        # the interpreter multiplies the bits of a bfloat16 as an integer
        value = value.float()
    bounds = torch.from_numpy(chunks.bounds).to(value.device)
    return Side(value, block.half, block.position.contiguous(), bounds, value.shape[1])


def _tables(accumulator: PairSums) -> Tables:
    slots, values = accumulator.slots, accumulator.value_bins
    return Tables(
        threshold=torch.from_numpy(slots.threshold).to(accumulator.device),
        first_slot=torch.from_numpy(slots.first_slot).to(accumulator.device),
        first_cell=slots.first_cell,
        last_cell=len(slots.first_slot) - 1,
        series=tuple(reversed(arc_sine_series())),
        value_scale=1.0 / values.scale,
        first_value=values.first,
        value_count=len(values),
    )

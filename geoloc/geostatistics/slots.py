"""Slots: from squared separations to lag classes by arithmetic, without a search."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64, Int32
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.separation import Separation

COINCIDENT, BELOW, FIRST = 0, 1, 2
"""Slots of pairs at lag 0, of pairs not above the first edge, and of the first lag class."""
_MANTISSA_BITS = 52
_KEPT_BITS = range(5, 13)
_MANY_CELLS = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SlotTable:
    """Every pair has a slot: coincident, below, one of the lag classes, or beyond.

    The leading bits of a float64 are its exponent and the first binary digits after it: as an
    integer they number narrow cells of magnitude. `first_slot` gives the slot at the lower end of
    each cell; of a value in it, as many more slots are passed as there are thresholds below it
    (mostly none or one).

    Attributes:
        threshold: the greatest squared separation in each slot but the last, then infinity.
        first_slot: by cell; the last entry serves all greater values.
        shift: how many bits of a value are dropped.
        first_cell: number of the cell that `first_slot` starts with.
        steps: how many thresholds one cell may hold.
        crowded_below: no cell from this value on holds more than one threshold.
    """

    threshold: Float64[np.ndarray, " slot"]
    first_slot: Int32[np.ndarray, " cell"]
    shift: int
    first_cell: int
    steps: int
    crowded_below: float

    @classmethod
    def of(cls, bins: LagBins, separation: Separation) -> SlotTable:
        """The table of these bins: some 30 cells a factor of two between first and last edge.

        Raises:
            ConfigError: the last edge is shorter than a micrometre on the Earth.
        """
        # below any positive float64 where only zero itself is coincident
        coincident = max(separation.coincident(), 2.0**-1000)
        threshold = np.concatenate(
            [[coincident], separation.squared(np.array(bins.edges)), [np.inf]]
        )
        threshold = np.maximum.accumulate(threshold)
        # smaller values than any edge share the first cell, so the table stays small
        edge = threshold[1:-1][threshold[1:-1] > coincident]
        if not len(edge):
            raise ConfigError(f"lags up to {bins.edges[-1]:g} {bins.unit} are all of one place")
        shift = _shift(edge)
        cells = edge.view(np.int64) >> shift
        first_cell = int(cells.min())
        numbers = np.arange(first_cell, int(cells.max()) + 2, dtype=np.int64)
        lower_end = (numbers << shift).view(np.float64)
        first_slot = np.searchsorted(threshold, lower_end, side="left").astype(np.int32)
        first_slot[0] = 0
        held = np.bincount(cells - first_cell)
        held[0] += len(threshold) - 1 - len(edge)
        crowded = np.flatnonzero(held > 1)
        return cls(
            threshold=threshold,
            first_slot=first_slot,
            shift=shift,
            first_cell=first_cell,
            steps=int(held.max()),
            crowded_below=float(lower_end[crowded[-1] + 1]) if len(crowded) else 0.0,
        )

    def __len__(self) -> int:
        return len(self.threshold)


def _shift(edge: Float64[np.ndarray, " edge"]) -> int:
    """The fewest bits kept that put each edge into a cell of its own, in a table not too long."""
    shift = _MANTISSA_BITS - _KEPT_BITS[0]
    for bits in _KEPT_BITS:
        cells = edge.view(np.int64) >> (_MANTISSA_BITS - bits)
        if int(cells.max() - cells.min()) > _MANY_CELLS:
            break
        shift = _MANTISSA_BITS - bits
        if len(np.unique(cells[1:])) == len(edge) - 1:
            break
    return shift


class SlotLookup:
    """A `SlotTable` on a device, for tensors."""

    def __init__(self, table: SlotTable, device: torch.device) -> None:
        self._table = table
        self._threshold = torch.from_numpy(table.threshold).to(device)
        self._first_slot = torch.from_numpy(table.first_slot.astype(np.int64)).to(device)

    def __call__(self, squared: Float64[Tensor, "*pair"]) -> Tensor:
        """The slot of each pair, int64."""
        table = self._table
        cell = (squared.view(torch.int64) >> table.shift) - table.first_cell
        slot = self._first_slot[cell.clamp_(0, len(table.first_slot) - 1)]
        for _ in range(table.steps):
            slot = slot + (squared > self._threshold[slot])
        return slot

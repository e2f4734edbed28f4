"""Exact medians of the dissimilarity in each lag class, where all pairs can be held."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.geostatistics.dissimilarity import of_half_square
from geoloc.geostatistics.features import Block
from geoloc.geostatistics.slots import FIRST, SlotLookup
from geoloc.geostatistics.sums import PairSums
from geoloc.geostatistics.tiles_torch import half_squares, squared_separations

MOST_EXACT = 1 << 24
"""Pairs that may be held for exact medians: some 500 MB."""


class PairCollector:
    """Keeps slot and dissimilarity of every pair of the tiles it is given.

    Args:
        sums: of the kind whose medians are wanted; nothing is added to them.

    Attributes:
        tile_rows: rows and columns that a tile had best have.
    """

    def __init__(self, sums: PairSums) -> None:
        self.tile_rows = 1024
        self._kind = sums
        self._slot_of = SlotLookup(sums.slots, sums.device)
        self._slots: list[Tensor] = []
        self._values: list[Tensor] = []

    @torch.no_grad()
    def add_tile(self, a: Block, b: Block, *, same: bool) -> None:
        """Keep every pair of a row of `a` and a row of `b`; with `same`, each pair once."""
        slot = self._slot_of(squared_separations(a, b))
        value = of_half_square(half_squares(a, b), self._kind.dissimilarity).to(torch.float64)
        once = torch.ones_like(slot, dtype=torch.bool)
        once = once.triu_(diagonal=1) if same else once
        self._slots.append(slot[once].to(torch.int32).cpu())
        self._values.append(value[once].cpu())

    def finish(self) -> None:
        """Nothing is held back here."""

    def medians(self) -> Float64[np.ndarray, " bin"]:
        """The median of each lag class; NaN where it holds no pair."""
        slot = torch.cat(self._slots).numpy()
        value = torch.cat(self._values).numpy()
        order = np.argsort(slot, kind="stable")
        ends = np.searchsorted(slot[order], np.arange(len(self._kind.slots) + 1))
        medians = np.full(len(self._kind.bins), np.nan)
        for k in range(len(medians)):
            part = value[order[ends[FIRST + k] : ends[FIRST + k + 1]]]
            if len(part):
                medians[k] = np.median(part)
        return medians

"""Tiles in torch operations: every pair of two blocks, on any device."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from geoloc.geostatistics.dissimilarity import of_half_square
from geoloc.geostatistics.features import Block
from geoloc.geostatistics.slots import SlotLookup
from geoloc.geostatistics.sums import COUNT, LAG, MOMENTS, ROOT, SQUARE, VALUE, PairSums


def half_squares(a: Block, b: Block) -> Float[Tensor, "a b"]:
    """Half the squared distance between rows of two blocks, not yet clamped at 0.

    Scalars are subtracted; vectors are multiplied, in one matrix product.
    """
    if a.value.shape[1] == 1:
        return (a.value - b.value.T).square() / 2
    return a.half[:, None] + b.half - products(a.value, b.value)


def products(a: Float[Tensor, "a feature"], b: Float[Tensor, "b feature"]) -> Float[Tensor, "a b"]:
    """Inner products of rows, in float32 for bfloat16 rows: a rounded product would lose pairs.

    Autocast, under which a network may be training, has no say here.
    """
    with torch.autocast(a.device.type, enabled=False):
        if a.dtype != torch.bfloat16:
            return a @ b.T
        if a.is_cuda:
            return torch.mm(a, b.T, out_dtype=torch.float32)
        return a.float() @ b.float().T


def squared_separations(a: Block, b: Block) -> Float64[Tensor, "a b"]:
    """Squared separation of every pair, from differences of coordinates."""
    squared = torch.zeros((len(a), len(b)), dtype=torch.float64, device=a.position.device)
    for axis in range(3):
        squared += (a.position[:, None, axis] - b.position[:, axis]).square_()
    return squared


class TorchTiles:
    """Adds the pairs of blocks to an accumulator, on the device of both.

    Args:
        accumulator: takes the sums.

    Attributes:
        tile_rows: rows and columns that a tile had best have.
    """

    def __init__(self, accumulator: PairSums) -> None:
        self.tile_rows = 4096 if accumulator.device.type == "cuda" else 1024
        self._sums = accumulator
        self._slot_of = SlotLookup(accumulator.slots, accumulator.device)

    @torch.no_grad()
    def add_tile(
        self, a: Block, b: Block, *, same: bool, chosen: Bool[Tensor, "a b"] | None = None
    ) -> None:
        """Add every pair of a row of `a` and a row of `b`.

        Args:
            a: rows.
            b: columns.
            same: both are the same samples, and each pair counts once.
            chosen: which pairs count at all.
        """
        squared = squared_separations(a, b)
        value = of_half_square(half_squares(a, b), self._sums.dissimilarity)
        once = torch.ones_like(squared).triu_(diagonal=1) if same else None
        if chosen is not None:
            once = chosen.to(torch.float64) * (1.0 if once is None else once)
        groups = (a.group[:, None].expand(squared.shape), b.group.expand(squared.shape))
        self._scatter(groups, squared, value.to(torch.float64), once)

    @torch.no_grad()
    def add_aligned(self, a: Block, b: Block) -> None:
        """Add the pair of each row of `a` with the same row of `b`."""
        squared = (a.position - b.position).square().sum(dim=1)
        difference = a.value.to(a.half.dtype) - b.value.to(b.half.dtype)
        value = of_half_square(difference.square().sum(dim=1) / 2, self._sums.dissimilarity)
        self._scatter((a.group, b.group), squared, value.to(torch.float64), None)

    def finish(self) -> None:
        """Nothing is held back here."""

    def _scatter(
        self,
        groups: tuple[Int64[Tensor, "*pair"], Int64[Tensor, "*pair"]],
        squared: Float64[Tensor, "*pair"],
        value: Float64[Tensor, "*pair"],
        weight: Float64[Tensor, "*pair"] | None,
    ) -> None:
        """Add to the sums, always as float64; `weight` is 1 where a pair counts and 0 elsewhere."""
        sums = self._sums
        slot = self._slot_of(squared)
        low, high = torch.minimum(*groups), torch.maximum(*groups)
        key = ((low * sums.group_count + high) * len(sums.slots) + slot).mul_(MOMENTS).flatten()
        weight = torch.ones_like(squared) if weight is None else weight
        terms = {
            COUNT: weight,
            LAG: sums.separation.lag(squared) * weight,
            VALUE: value * weight,
            SQUARE: value.square() * weight,
        }
        if sums.roots:
            terms[ROOT] = value.sqrt().sqrt_() * weight
        flat = sums.moments.view(-1)
        for moment, term in terms.items():
            flat.scatter_add_(0, key + moment, term.flatten())
        cell = slot * len(sums.value_bins) + sums.value_bins.index(value)
        sums.histogram.view(-1).scatter_add_(0, cell.flatten(), weight.flatten().to(torch.int64))

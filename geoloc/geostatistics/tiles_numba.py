"""Tiles on the CPU: a matrix product by torch, then one compiled pass over its pairs.

The pass does for each row what `tiles_torch` does in some twenty operations on whole matrices.
Rows are dealt out to as many threads as torch uses.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from geoloc.geostatistics.features import Block
from geoloc.geostatistics.separation import arc_sine_series
from geoloc.geostatistics.sums import MOMENTS, PairSums
from geoloc.geostatistics.tiles_numba_kernel import COPIES, Room, Tables, Tile, add_rows
from geoloc.geostatistics.tiles_torch import products


class NumbaTiles:
    """Adds the pairs of blocks to an accumulator on the CPU.

    Sums of a worker are its own until `finish`.

    Args:
        accumulator: takes the sums; on the CPU.

    Attributes:
        tile_rows: rows and columns that a tile had best have.
    """

    def __init__(self, accumulator: PairSums) -> None:
        self.tile_rows = 1024
        self._sums = accumulator
        self._workers = torch.get_num_threads()
        self._pool = ThreadPoolExecutor(self._workers)
        self._tables = _tables(accumulator)
        self._moments = np.zeros((self._workers, *accumulator.moments.shape))
        self._histogram = np.zeros((self._workers, *accumulator.histogram.shape), dtype=np.int64)
        self._product = torch.empty(0)

    @torch.no_grad()
    def add_tile(self, a: Block, b: Block, *, same: bool) -> None:
        """Add every pair of a row of `a` and a row of `b`; with `same`, each pair once."""
        product, half_a, half_b = self._products(a, b)
        tile = Tile(
            product=product,
            half_a=half_a,
            half_b=half_b,
            position_a=np.ascontiguousarray(a.position.numpy().T),
            position_b=np.ascontiguousarray(b.position.numpy().T),
            group_a=a.group.numpy(),
            group_b=b.group.numpy(),
            run_a=_run_ends(a.group),
            run_b=_run_ends(b.group),
            same=same,
        )
        jobs = [
            self._pool.submit(add_rows, tile, self._room(worker, product), self._tables)
            for worker in range(self._workers)
        ]
        for job in jobs:
            job.result()

    def finish(self) -> None:
        """Hand the workers' sums over to the accumulator."""
        self._pool.shutdown()
        self._sums.moments += torch.from_numpy(self._moments.sum(axis=0))
        self._sums.histogram += torch.from_numpy(self._histogram.sum(axis=0))

    def _products(self, a: Block, b: Block) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """A matrix g and vectors p, q such that p + q - g is half the squared distance."""
        if a.value.shape[1] == 1:
            product = -(a.value - b.value.T).square() / 2
            return product.numpy(), np.zeros_like(a.half.numpy()), np.zeros_like(b.half.numpy())
        if a.value.dtype == torch.bfloat16:
            return products(a.value, b.value).numpy(), a.half.numpy(), b.half.numpy()
        shape = (len(a), len(b))
        if self._product.shape != shape or self._product.dtype != a.value.dtype:
            self._product = torch.empty(shape, dtype=a.value.dtype)
        torch.mm(a.value, b.value.T, out=self._product)
        return self._product.numpy(), a.half.numpy(), b.half.numpy()

    def _room(self, worker: int, product: NDArray[Any]) -> Room:
        columns = product.shape[1]
        return Room(
            least=np.empty(1),
            squared=np.empty(columns),
            lag=np.empty(columns),
            value=np.empty(columns, dtype=product.dtype),
            single=np.empty(columns, dtype=np.float32),
            root=np.empty(columns, dtype=product.dtype),
            slot=np.empty(columns, dtype=np.uint32),
            value_class=np.empty(columns, dtype=np.uint32),
            local=np.empty((COPIES, len(self._sums.slots), MOMENTS)),
            moments=self._moments[worker],
            histogram=self._histogram[worker],
            worker=worker,
            workers=self._workers,
        )


def _tables(accumulator: PairSums) -> Tables:
    slots, values = accumulator.slots, accumulator.value_bins
    return Tables(
        threshold=slots.threshold,
        first_slot=slots.first_slot.astype(np.uint32),
        shift=slots.shift,
        first_cell=slots.first_cell,
        steps=slots.steps,
        crowded_below=slots.crowded_below,
        radius=accumulator.separation.radius,
        series=np.array(arc_sine_series()),
        absolute=accumulator.dissimilarity == "absolute",
        roots=accumulator.roots,
        value_scale=values.scale,
        value_shift=values.shift,
        first_value=values.first,
        value_count=len(values),
    )


def _run_ends(group: torch.Tensor) -> NDArray[np.int64]:
    """Where each stretch of equal numbers ends."""
    changes = np.flatnonzero(np.diff(group.numpy())) + 1
    return np.append(changes, len(group)).astype(np.int64)

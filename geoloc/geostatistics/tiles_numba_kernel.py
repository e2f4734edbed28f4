"""The compiled pass over the pairs of a tile: loops over a row, then sums.

Loops count from 0 or by unsigned numbers, since a negative index would cost a test in every round,
and do one thing each, so that they are vectorised.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

COPIES = 4
"""Sums that neighbouring pairs are dealt out to, so that no addition waits for the one before."""
LONG_STRETCH = 2048
"""Pairs of two groups in a tile, on average, from which copies of their sums pay."""


def _compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first use (kept for later processes), without Python's lock while it runs.

    Sums may be reordered, and no pair holds a NaN.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",
        "fastmath": {"contract", "nsz", "reassoc", "arcp", "nnan"},
    }
    plain = inspect.unwrap(function)
    jit: Any = numba.njit
    try:
        return jit(cache=True, **options)(plain)
    except RuntimeError:
        # no folder to keep compiled code in
        return jit(**options)(plain)


class Tables(NamedTuple):
    """What is the same for all tiles."""

    threshold: NDArray[np.float64]
    first_slot: NDArray[np.uint32]
    shift: int
    first_cell: int
    steps: int
    crowded_below: float
    radius: float
    series: NDArray[np.float64]
    absolute: bool
    roots: bool
    value_scale: float
    value_shift: int
    first_value: int
    value_count: int


class Tile(NamedTuple):
    """The pairs of two blocks; runs are the ends of stretches of one group."""

    product: NDArray[Any]
    half_a: NDArray[Any]
    half_b: NDArray[Any]
    position_a: NDArray[np.float64]
    position_b: NDArray[np.float64]
    group_a: NDArray[np.int64]
    group_b: NDArray[np.int64]
    run_a: NDArray[np.int64]
    run_b: NDArray[np.int64]
    same: bool


class Room(NamedTuple):
    """One worker's room for a row, one entry a column, and its sums."""

    least: NDArray[np.float64]
    squared: NDArray[np.float64]
    lag: NDArray[np.float64]
    value: NDArray[Any]
    single: NDArray[np.float32]
    root: NDArray[Any]
    slot: NDArray[np.uint32]
    value_class: NDArray[np.uint32]
    local: NDArray[np.float64]
    moments: NDArray[np.float64]
    histogram: NDArray[np.int64]
    worker: int
    workers: int


@_compiled
def _separate(tile: Any, room: Any, tables: Any, span: Any) -> None:
    """Separation and lag of row span[0] with columns span[1] to span[2]."""
    row, first, last = span
    x, y, z = tile.position_a[0, row], tile.position_a[1, row], tile.position_a[2, row]
    there = tile.position_b[:, first:last]
    there_x, there_y, there_z = there[0], there[1], there[2]
    squared, lag = room.squared, room.lag
    count = last - first
    least = np.inf
    for j in range(count):
        east, north, up = x - there_x[j], y - there_y[j], z - there_z[j]
        squared[j] = east * east + north * north + up * up
        least = min(least, squared[j])
    room.least[0] = least
    if tables.radius > 0:
        _arcs(squared, lag, tables, count)
    else:
        for j in range(count):
            lag[j] = math.sqrt(squared[j])


@_compiled
def _compare(tile: Any, room: Any, tables: Any, span: Any) -> None:
    """Dissimilarity of row span[0] and columns span[1] to span[2]."""
    row, first, last = span
    product, half, half_b = tile.product[row, first:last], tile.half_a[row], tile.half_b[first:last]
    value, root = room.value, room.root
    nothing = half - half
    for j in range(last - first):
        value[j] = max(half + half_b[j] - product[j], nothing)
    if tables.absolute:
        for j in range(last - first):
            value[j] = math.sqrt(value[j] * value.dtype.type(0.5))
    if tables.roots:
        for j in range(last - first):
            root[j] = math.sqrt(math.sqrt(value[j]))


@_compiled
def _arcs(squared: Any, lag: Any, tables: Any, count: Any) -> None:
    """Great-circle lags of squared chords: see `Separation.lag` and `arc_sine_series`."""
    c = tables.series
    c0, c1, c2, c3, c4, c5 = c[0], c[1], c[2], c[3], c[4], c[5]
    c6, c7, c8, c9, c10, c11 = c[6], c[7], c[8], c[9], c[10], c[11]
    diameter = 2.0 * tables.radius
    quarter = 0.5 * math.pi * diameter
    for j in range(count):
        near = squared[j] * 0.25
        t = max(min(near, 1.0 - near), 0.0)
        total = ((c11 * t + c10) * t + c9) * t + c8
        total = (((total * t + c7) * t + c6) * t + c5) * t + c4
        total = (((total * t + c3) * t + c2) * t + c1) * t + c0
        arc = diameter * total * math.sqrt(t)
        lag[j] = arc if near <= 0.5 else quarter - arc


@_compiled
def _classify(room: Any, tables: Any, count: Any) -> None:
    """Slot and dissimilarity class of the columns."""
    squared, slot, value_class = room.squared, room.slot, room.value_class
    threshold, first_slot = tables.threshold, tables.first_slot
    bits, shift, first_cell = squared.view(np.int64), tables.shift, tables.first_cell
    last_cell = len(first_slot) - 1
    for j in range(count):
        cell = np.uint64(min(max((bits[j] >> shift) - first_cell, 0), last_cell))
        start = first_slot[cell]
        slot[j] = start + np.uint32(squared[j] > threshold[start])
    if room.least[0] < tables.crowded_below:
        for _ in range(1, tables.steps):
            for j in range(count):
                slot[j] += np.uint32(squared[j] > threshold[slot[j]])
    scale, value, single = 1.0 / tables.value_scale, room.value, room.single
    for j in range(count):
        single[j] = value[j] * value.dtype.type(scale)
    bits32, value_shift = single.view(np.int32), np.int32(tables.value_shift)
    lowest, highest = np.int32(tables.first_value), np.int32(tables.value_count - 1)
    for j in range(count):
        value_class[j] = min(max((bits32[j] >> value_shift) - lowest, np.int32(0)), highest)


@_compiled
def _add_row(room: Any, tables: Any, count: Any) -> None:
    """Add the columns to one pair of groups; neighbours go to different copies, not to wait."""
    local, lag, value, root, slot = room.local, room.lag, room.value, room.root, room.slot
    for j in range(count):
        sums = local[np.uint64(j & (COPIES - 1)), slot[j]]
        wide = np.float64(value[j])
        sums[0] += 1.0
        sums[1] += lag[j]
        sums[2] += wide
        sums[3] += wide * wide
    if tables.roots:
        for j in range(count):
            local[np.uint64(j & (COPIES - 1)), slot[j], 4] += np.float64(root[j])


@_compiled
def _add_row_by_group(tile: Any, room: Any, tables: Any, span: Any) -> None:
    """Add the columns of row span[0] from span[1] on, each to its own pair of groups."""
    row, first, last = span
    one, group_b = tile.group_a[row], tile.group_b[first:last]
    lag, value, root, slot = room.lag, room.value, room.root, room.slot
    for j in range(last - first):
        other = group_b[j]
        sums = room.moments[np.uint64(min(one, other)), np.uint64(max(one, other)), slot[j]]
        wide = np.float64(value[j])
        sums[0] += 1.0
        sums[1] += lag[j]
        sums[2] += wide
        sums[3] += wide * wide
        if tables.roots:
            sums[4] += np.float64(root[j])


@_compiled
def _count_row(room: Any, count: Any) -> None:
    """Add the columns to the histogram."""
    histogram, slot, value_class = room.histogram, room.slot, room.value_class
    for j in range(count):
        histogram[slot[j], value_class[j]] += 1


@_compiled
def _measure(tile: Any, room: Any, tables: Any, span: Any) -> None:
    """Everything about the pairs of row span[0] and columns span[1] to span[2], and count them."""
    _separate(tile, room, tables, span)
    _compare(tile, room, tables, span)
    _classify(room, tables, span[2] - span[1])
    _count_row(room, span[2] - span[1])


@_compiled
def _add_stretch(tile: Any, room: Any, tables: Any, ends: Any) -> None:
    """Add the pairs of two stretches of one group each: rows and columns between these ends."""
    begin_a, end_a, begin_b, end_b = ends
    room.local[:] = 0.0
    for row in range(begin_a, end_a):
        first = max(begin_b, row + 1) if tile.same else begin_b
        if row % room.workers == room.worker and first < end_b:
            _measure(tile, room, tables, (row, first, end_b))
            _add_row(room, tables, end_b - first)
    one, other = tile.group_a[begin_a], tile.group_b[begin_b]
    sums = room.moments[min(one, other), max(one, other)]
    for copy in range(COPIES):
        sums += room.local[copy]


@_compiled
def add_rows(tile: Any, room: Any, tables: Any) -> None:
    """Add every pair of this worker's rows.

    Where groups come in long stretches, stretch by stretch; where they are mixed, as in tiles of
    samples drawn at random, pair by pair.
    """
    rows, columns = tile.product.shape
    if rows * columns >= LONG_STRETCH * len(tile.run_a) * len(tile.run_b):
        begin_a = 0
        for end_a in tile.run_a:
            begin_b = 0
            for end_b in tile.run_b:
                _add_stretch(tile, room, tables, (begin_a, end_a, begin_b, end_b))
                begin_b = end_b
            begin_a = end_a
    else:
        for row in range(rows):
            first = row + 1 if tile.same else 0
            if row % room.workers == room.worker and first < columns:
                _measure(tile, room, tables, (row, first, columns))
                _add_row_by_group(tile, room, tables, (row, first, columns))

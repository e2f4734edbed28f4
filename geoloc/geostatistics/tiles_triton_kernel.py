"""The Triton kernel of `tiles_triton`: pairs measured, sorted and added up in registers.

Functions take few arguments, tuples of what belongs together: Triton takes named tuples apart, also
to pass them to the GPU. Nothing else may stand in an annotation, for Triton looks its names up.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import triton
import triton.language as tl


def _kernel(function: Callable[..., Any]) -> Any:
    """Compile at first use, the plain function: Triton cannot see through a check of types."""
    return triton.jit(inspect.unwrap(function))


class Side(NamedTuple):
    """Rows to compare; bounds are (first, end) of chunks, each inside one group."""

    value: Any
    half: Any
    position: Any
    bounds: Any
    width: int


class Sides(NamedTuple):
    """Rows and columns."""

    a: Side
    b: Side


class Chunk(NamedTuple):
    """Indices of some rows, and which of them there are."""

    index: Any
    there: Any


class Tables(NamedTuple):
    """What is the same for all tiles; see `SlotTable`, `ValueBins`, `arc_sine_series`."""

    threshold: Any
    first_slot: Any
    first_cell: int
    last_cell: int
    series: Any
    value_scale: float
    first_value: int
    value_count: int


class Sums(NamedTuple):
    """Sums by (row chunk, column chunk, slot, moment), and the histogram of all."""

    partial: Any
    histogram: Any
    slots: int


class Compiled(NamedTuple):
    """What is compiled in; all are `tl.constexpr`."""

    rows: Any
    columns: Any
    depth: Any
    same: Any
    scalar: Any
    absolute: Any
    sphere: Any
    shift: Any
    steps: Any
    value_shift: Any
    classes: Any


@_kernel
def _chunk(side: Side, number: tl.tensor, size: tl.tensor) -> Any:
    """Indices of a chunk's rows, and which of them there are."""
    index = tl.load(side.bounds + 2 * number) + tl.arange(0, size)
    return Chunk(index, index < tl.load(side.bounds + 2 * number + 1))


@_kernel
def _half_squares(sides: Sides, rows: Chunk, columns: Chunk, compiled: Compiled) -> Any:
    """Half the squared distance between features of a chunk's rows and another's, float32."""
    a, b = sides.a, sides.b
    row, row_there = rows.index, rows.there
    column, column_there = columns.index, columns.there
    if compiled.scalar:
        left = tl.load(a.value + row, mask=row_there, other=0.0).to(tl.float32)
        right = tl.load(b.value + column, mask=column_there, other=0.0).to(tl.float32)
        difference = left[:, None] - right[None, :]
        half = difference * difference * 0.5
    else:
        feature = tl.arange(0, compiled.depth)
        # int64, for a large block has more than 2**31 numbers
        left_at = a.value + row.to(tl.int64)[:, None] * a.width + feature[None, :]
        right_at = b.value + column.to(tl.int64)[None, :] * b.width + feature[:, None]
        product = tl.zeros((compiled.rows, compiled.columns), dtype=tl.float32)
        for done in range(0, a.width, compiled.depth):
            there = feature < a.width - done
            left = tl.load(left_at + done, mask=row_there[:, None] & there[None, :], other=0.0)
            right = tl.load(right_at + done, mask=there[:, None] & column_there[None, :], other=0.0)
            product = tl.dot(left, right, product, input_precision="ieee")
        half_a = tl.load(a.half + row, mask=row_there, other=0.0)
        half_b = tl.load(b.half + column, mask=column_there, other=0.0)
        half = half_a[:, None] + half_b[None, :] - product
    return tl.maximum(half, 0.0)


@_kernel
def _squared_separation(sides: Sides, rows: Chunk, columns: Chunk) -> Any:
    """Squared separations of a chunk's rows from another's, float64."""
    a, b = sides.a, sides.b
    row, row_there = rows.index, rows.there
    column, column_there = columns.index, columns.there
    x = tl.load(a.position + 3 * row, mask=row_there, other=0.0)
    x_there = tl.load(b.position + 3 * column, mask=column_there, other=0.0)
    difference = x[:, None] - x_there[None, :]
    squared = difference * difference
    for axis in tl.static_range(1, 3):  # pyright: ignore[reportGeneralTypeIssues]
        x = tl.load(a.position + 3 * row + axis, mask=row_there, other=0.0)
        x_there = tl.load(b.position + 3 * column + axis, mask=column_there, other=0.0)
        difference = x[:, None] - x_there[None, :]
        squared += difference * difference
    return squared


@_kernel
def _lag(squared: tl.tensor, tables: Tables, compiled: Compiled) -> Any:
    """Lags (on the sphere as parts of its diameter), float32: see `Separation.lag`."""
    if compiled.sphere:
        near = squared * 0.25
        t = tl.maximum(tl.minimum(near, 1.0 - near), 0.0).to(tl.float32)
        total = tl.zeros_like(t)
        for power in tl.static_range(len(tables.series)):  # pyright: ignore[reportGeneralTypeIssues]
            total = total * t + tables.series[power]
        arc = total * tl.sqrt(t)
        lag = tl.where(near <= 0.5, arc, 1.5707963267948966 - arc)
    else:
        lag = tl.sqrt(squared).to(tl.float32)
    return lag


@_kernel
def _slot(squared: tl.tensor, tables: Tables, compiled: Compiled) -> Any:
    """Slots of squared separations: see `SlotLookup`."""
    cell = (squared.to(tl.int64, bitcast=True) >> compiled.shift) - tables.first_cell
    cell = tl.minimum(tl.maximum(cell, 0), tables.last_cell).to(tl.int32)
    slot = tl.load(tables.first_slot + cell)
    for _ in tl.static_range(compiled.steps):  # pyright: ignore[reportGeneralTypeIssues]
        slot += (squared > tl.load(tables.threshold + slot)).to(tl.int32)
    return slot


@_kernel
def _value_class(value: tl.tensor, tables: Tables, compiled: Compiled) -> Any:
    """Classes of dissimilarities, measured in the scale of the classes: see `ValueBins.index`."""
    number = (value.to(tl.int32, bitcast=True) >> compiled.value_shift) - tables.first_value
    return tl.minimum(tl.maximum(number, 0), tables.value_count - 1)


@_kernel
def _store_sum(place: tl.tensor, term: tl.tensor, compiled: Compiled) -> None:
    """Store a sum over all pairs: over rows in float32, then over columns in float64."""
    by_column = tl.sum(tl.reshape(term, (compiled.rows, compiled.columns)), axis=0)
    tl.store(place, tl.sum(by_column.to(tl.float64), axis=0))


@_kernel
def _count_values(place: tl.tensor, number: tl.tensor, tables: Tables, compiled: Compiled) -> None:
    """Add to the histogram; the last class of all is of pairs that do not count."""
    held = tl.histogram(number, compiled.classes)
    column = tl.arange(0, compiled.classes)
    counted = (column < tables.value_count) & (held > 0)
    tl.atomic_add(place + column, held.to(tl.int64), mask=counted, sem="relaxed")


@_kernel
def add_chunks(sides: Sides, tables: Tables, sums: Sums, compiled: Compiled) -> None:
    """Sum up the pairs of one chunk of rows and one chunk of columns."""
    rows = _chunk(sides.a, tl.program_id(1), compiled.rows)
    columns = _chunk(sides.b, tl.program_id(0), compiled.columns)
    counted = rows.there[:, None] & columns.there[None, :]
    if compiled.same:
        counted = counted & (rows.index[:, None] < columns.index[None, :])
    squared = _squared_separation(sides, rows, columns)
    # one row of all pairs, so that the loop below need not rearrange them for each slot
    lag = tl.ravel(_lag(squared, tables, compiled))
    slots = tl.ravel(tl.where(counted, _slot(squared, tables, compiled), -1))
    value = tl.ravel(_half_squares(sides, rows, columns, compiled))
    if compiled.absolute:
        value = tl.sqrt_rn(value * 0.5)
    value = value * tables.value_scale
    value_class = _value_class(value, tables, compiled)
    highest = tl.max(slots, axis=0)
    lowest = tl.min(tl.where(slots < 0, highest, slots), axis=0)
    program = tl.program_id(1) * tl.num_programs(0) + tl.program_id(0)
    for slot in range(tl.maximum(lowest, 0), highest + 1):
        mine = slots == slot
        count = tl.sum(mine.to(tl.int32), axis=0)
        if count > 0:
            place = sums.partial + (program * sums.slots + slot) * 5
            tl.store(place, count.to(tl.float64))
            _store_sum(place + 1, tl.where(mine, lag, 0.0), compiled)
            chosen = tl.where(mine, value, 0.0)
            _store_sum(place + 2, chosen, compiled)
            _store_sum(place + 3, chosen * chosen, compiled)
            _store_sum(place + 4, tl.sqrt(tl.sqrt(chosen)), compiled)
            number = tl.where(mine, value_class, compiled.classes - 1)
            _count_values(sums.histogram + slot * tables.value_count, number, tables, compiled)

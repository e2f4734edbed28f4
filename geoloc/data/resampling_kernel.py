"""Compiled resampling: Pillow's arithmetic, bit for bit, in an order that fills vector registers.

A pixel is four bytes (red, green, blue, unused). Pillow resamples along rows, rounds, then along
columns. Weighted sums of whole rows are fast and sums along a row are not, so the picture is turned
over its diagonal for the first pass, pixels as single numbers, and back again.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from jaxtyping import Int32, Int64, UInt8, UInt32

BITS = 22
"""Weights are multiples of 2^-22, as in Pillow: 32 bits less 8 of the pixel and 2 of overshoot."""
_STRIP = 128


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile at first use (kept for later processes), without Python's lock while it runs.

    No `fastmath`: floating results are to be those of the C code that they are held against.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    plain = inspect.unwrap(function)
    jit: Any = numba.njit
    try:
        return jit(cache=True, **options)(plain)
    except RuntimeError:
        # no folder to keep compiled code in
        return jit(**options)(plain)


@compiled
def _filter(x: float, bicubic: bool) -> float:
    """Keys' cubic with a = -0.5 (Keys 1981, eq. 15), or the triangle."""
    x = abs(x)
    if not bicubic:
        return 1.0 - x if x < 1.0 else 0.0
    if x < 1.0:
        return (1.5 * x - 2.5) * x * x + 1.0
    return (((x - 5.0) * x + 8.0) * x - 4.0) * -0.5 if x < 2.0 else 0.0


@compiled
def taps(
    length: int, size: int, wanted: tuple[int, int], bicubic: bool
) -> tuple[Int64[np.ndarray, " out"], Int32[np.ndarray, "out tap"]]:
    """From which input each output begins, and the weights; the row is filled up with zeros.

    Args:
        length: of the input.
        size: of the whole output.
        wanted: the first output that is wanted, and how many are.
        bicubic: else bilinear.

    Source: Pillow 11, Resample.c, `precompute_coeffs` and `normalize_coeffs_8bpc`: the filter is
    as much wider as the picture is made smaller, and its weights are rounded half away from zero.
    """
    first, count = wanted
    scale = length / size
    wider = max(scale, 1.0)
    support = (2.0 if bicubic else 1.0) * wider
    # Four at a time are summed.
    most = (math.ceil(support) * 2 + 4) // 4 * 4
    start = np.empty(count, dtype=np.int64)
    weight = np.zeros((count, most), dtype=np.int32)
    exact = np.empty(most)
    for i in range(count):
        centre = (first + i + 0.5) * scale
        low = max(0, int(centre - support + 0.5))
        high = min(length, int(centre + support + 0.5))
        total = 0.0
        for k in range(high - low):
            exact[k] = _filter((k + low - centre + 0.5) * (1.0 / wider), bicubic)
            total += exact[k]
        start[i] = low
        for k in range(high - low):
            share = exact[k] / total if total != 0.0 else exact[k]
            weight[i, k] = int(share * (1 << BITS) + (0.5 if share >= 0 else -0.5))
    return start, weight


@compiled
def _turn(
    picture: UInt32[np.ndarray, "height width"], turned: UInt32[np.ndarray, "width height"]
) -> None:
    """Turn a picture over its diagonal."""
    height, width = picture.shape
    whole = width - width % 8
    for x in range(0, whole, 8):
        for y in range(height):
            for k in range(8):
                turned[x + k, y] = picture[y, x + k]
    for x in range(whole, width):
        for y in range(height):
            turned[x, y] = picture[y, x]


@compiled
def _add_eight(
    rows: UInt8[np.ndarray, "row byte"],
    first: int,
    weight: Int32[np.ndarray, " tap"],
    sums: Int32[np.ndarray, " byte"],
) -> None:
    # Beyond the picture the weights are zero, and any row will do.
    last = rows.shape[0] - 1
    a, b = rows[min(first, last)], rows[min(first + 1, last)]
    c, d = rows[min(first + 2, last)], rows[min(first + 3, last)]
    e, f = rows[min(first + 4, last)], rows[min(first + 5, last)]
    g, h = rows[min(first + 6, last)], rows[min(first + 7, last)]
    of_a, of_b, of_c, of_d = weight[0], weight[1], weight[2], weight[3]
    of_e, of_f, of_g, of_h = weight[4], weight[5], weight[6], weight[7]
    for j in range(len(sums)):
        sums[j] += (
            np.int32(a[j]) * of_a
            + np.int32(b[j]) * of_b
            + np.int32(c[j]) * of_c
            + np.int32(d[j]) * of_d
            + np.int32(e[j]) * of_e
            + np.int32(f[j]) * of_f
            + np.int32(g[j]) * of_g
            + np.int32(h[j]) * of_h
        )


@compiled
def _add_four(
    rows: UInt8[np.ndarray, "row byte"],
    first: int,
    weight: Int32[np.ndarray, " tap"],
    sums: Int32[np.ndarray, " byte"],
) -> None:
    last = rows.shape[0] - 1
    a, b = rows[min(first, last)], rows[min(first + 1, last)]
    c, d = rows[min(first + 2, last)], rows[min(first + 3, last)]
    of_a, of_b, of_c, of_d = weight[0], weight[1], weight[2], weight[3]
    for j in range(len(sums)):
        sums[j] += (
            np.int32(a[j]) * of_a
            + np.int32(b[j]) * of_b
            + np.int32(c[j]) * of_c
            + np.int32(d[j]) * of_d
        )


@compiled
def sum_rows(
    rows: UInt8[np.ndarray, "row byte"],
    start: Int64[np.ndarray, " out"],
    weight: Int32[np.ndarray, "out tap"],
    out: UInt8[np.ndarray, "out byte"],
) -> None:
    """Rows of the output as weighted sums of input rows, rounded and held within a byte."""
    count, length = weight.shape[1], rows.shape[1]
    sums = np.empty(length, dtype=np.int32)
    for i in range(len(start)):
        for j in range(length):
            sums[j] = 1 << (BITS - 1)
        done = 0
        while done < count:
            if done + 8 <= count:
                _add_eight(rows, start[i] + done, weight[i, done : done + 8], sums)
                done += 8
            else:
                _add_four(rows, start[i] + done, weight[i, done : done + 4], sums)
                done += 4
        for j in range(length):
            out[i, j] = np.uint8(min(max(sums[j] >> BITS, 0), 255))


@compiled
def sum_columns(
    picture: UInt32[np.ndarray, "height width"],
    start: Int64[np.ndarray, " out"],
    weight: Int32[np.ndarray, "out tap"],
    out: UInt32[np.ndarray, "height out"],
) -> None:
    """The same along rows, by turning strips of the picture, each small enough for the cache."""
    height, width = picture.shape
    turned = np.empty((width, _STRIP), dtype=np.uint32)
    narrow = np.empty((len(start), _STRIP), dtype=np.uint32)
    for first in range(0, height, _STRIP):
        tall = min(_STRIP, height - first)
        _turn(picture[first : first + tall], turned[:, :tall])
        sum_rows(turned.view(np.uint8), start, weight, narrow.view(np.uint8))
        _turn(narrow[:, :tall], out[first : first + tall])

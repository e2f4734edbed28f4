"""For each of many 64-bit hashes the nearest of many others, without comparing all with all."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64, UInt64

_BITS = 64
_MOST_BAND_BITS = 22
_AT_ONCE = 2**22
# What a look into a table costs, in comparisons of two hashes.
_LOOK = 4.0
_ONES = np.array([number.bit_count() for number in range(2**16)], dtype=np.uint8)


def nearest_hashes(
    query: UInt64[np.ndarray, " query"], candidate: UInt64[np.ndarray, " candidate"], *, within: int
) -> tuple[Int64[np.ndarray, " query"], Int64[np.ndarray, " query"]]:
    """The nearest candidate of each query in Hamming distance, where one is near enough.

    Two hashes that differ in at most `within` bits differ, in one of any n bands of their bits, in
    at most within / n (the pigeonhole principle). So the candidates are sorted by each band in
    turn, and of those whose band is that near all bits are compared. n is chosen so that the
    expected work on evenly spread hashes is least.

    Source: M. Norouzi, A. Punjani, D. Fleet, "Fast Search in Hamming Space with Multi-Index
    Hashing", CVPR 2012.

    Returns:
        Index of the candidate, the first of equally near ones, and its distance; -1 and -1
        where none lies within.

    Raises:
        ValueError: `within` is negative or more than 16, where nearly all images are near.
    """
    if not 0 <= within <= _BITS // 4:
        raise ValueError(f"within must lie in 0 to {_BITS // 4}, not {within}")
    asked, back = np.unique(query, return_inverse=True)
    known, first = np.unique(candidate, return_index=True)
    # Distance and index in one number, so that the least is the first of the nearest.
    nowhere = (_BITS + 1) * max(1, len(candidate))
    best = np.full(len(asked), nowhere, dtype=np.int64)
    for low, bits, radius in _bands(len(asked), len(known), within=within):
        band = (known >> np.uint64(low)) & np.uint64(2**bits - 1)
        order = np.argsort(band, kind="stable")
        ends = np.cumsum(np.bincount(band.astype(np.int64), minlength=2**bits))
        begins = np.concatenate(([0], ends[:-1]))
        own = ((asked >> np.uint64(low)) & np.uint64(2**bits - 1)).astype(np.int64)
        for flip in _flips(bits, radius):
            wanted = own ^ flip
            for row, at in _ranges(begins[wanted], ends[wanted]):
                there = order[at]
                distance = _distance(asked[row], known[there])
                near = distance <= within
                packed = distance[near] * len(candidate) + first[there[near]]
                np.minimum.at(best, row[near], packed)
    found = best < nowhere
    distance, index = np.divmod(best, max(1, len(candidate)))
    return np.where(found, index, -1)[back], np.where(found, distance, -1)[back]


def chance_pairs(queries: int, candidates: int, *, within: int) -> float:
    """How many pairs of hashes with half their bits set would lie within by chance.

    Two such hashes are 2j apart with probability C(32, j)^2 / C(64, 32).
    """
    half = _BITS // 2
    ways = sum(math.comb(half, j) ** 2 for j in range(within // 2 + 1))
    return queries * candidates * (ways / math.comb(_BITS, half))


def _bands(queries: int, candidates: int, *, within: int) -> list[tuple[int, int, int]]:
    """The plan that costs least on evenly spread hashes."""

    def work(bands: list[tuple[int, int, int]]) -> float:
        return sum(
            sum(math.comb(bits, flipped) for flipped in range(radius + 1))
            * queries
            * (_LOOK + candidates / 2**bits)
            + 2**bits
            for _, bits, radius in bands
        )

    fewest = math.ceil(_BITS / _MOST_BAND_BITS)
    return min((_plan(count, within) for count in range(fewest, _BITS // 4 + 1)), key=work)


def _plan(count: int, within: int) -> list[tuple[int, int, int]]:
    """Lowest bit and width of each of so many bands, and how many of its bits may differ."""
    edges = [round(_BITS * part / count) for part in range(count + 1)]
    return [(a, b - a, within // count) for a, b in itertools.pairwise(edges)]


def _flips(bits: int, radius: int) -> Iterator[int]:
    """Every number with at most `radius` of the lowest bits set."""
    for flipped in range(radius + 1):
        for places in itertools.combinations(range(bits), flipped):
            yield sum(1 << place for place in places)


def _ranges(
    begin: Int64[np.ndarray, " row"], end: Int64[np.ndarray, " row"]
) -> Iterator[tuple[Int64[np.ndarray, " pair"], Int64[np.ndarray, " pair"]]]:
    """Rows and all numbers from begin to end of each, in pieces that fit into memory."""
    rows = np.flatnonzero(end > begin)
    begin, count = begin[rows], (end - begin)[rows]
    cuts = np.flatnonzero(np.diff(np.cumsum(count) // _AT_ONCE)) + 1
    for piece in np.split(np.arange(len(rows)), cuts):
        if not len(piece):
            continue
        counts = count[piece]
        before = np.cumsum(counts) - counts
        step = np.arange(int(counts.sum())) - np.repeat(before, counts)
        yield np.repeat(rows[piece], counts), np.repeat(begin[piece], counts) + step


def _distance(
    a: UInt64[np.ndarray, " pair"], b: UInt64[np.ndarray, " pair"]
) -> Int64[np.ndarray, " pair"]:
    parts = (a ^ b).view(np.uint16).reshape(-1, 4)
    return _ONES[parts].sum(axis=1, dtype=np.int64)

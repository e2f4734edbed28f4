"""A sample of pairs for millions of samples: random tiles, and near neighbours for short lags.

Uniformly drawn pairs starve the short lags: of places all over the Earth some six in a million
pairs lie within a kilometre. So each class that random tiles would leave short of its share gets
pairs of its own, from the neighbourhoods of random samples (anchors). All neighbours in the class
are listed, so that each pair of the class is as likely as any other, and where there are more than
its share a random part of them is taken: the mean over a class stays unbiased.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from geoloc.geostatistics.all_pairs import Progress, Samples, Tiles
from geoloc.geostatistics.slots import FIRST, SlotLookup
from geoloc.geostatistics.sums import PairSums
from geoloc.geostatistics.tiles_torch import TorchTiles

_TILE_SHARE = 0.9
_TILES = ((1 << 22, 128), (1 << 26, 256))
"""Rows of a tile up to so many pairs: small tiles touch more samples, large ones take less time."""
_LARGE_TILE = 512
_FEWEST_TILES = 8
_PILOT_PAIRS = 1 << 18
_PILOT_ANCHORS = 256
_SHORT = 0.5
"""A class is short when tiles give it less than this part of its share."""
_LISTED = 1 << 22
_SURPLUS = 10.0
"""Pairs to list for each one wanted, so that those taken come from many anchors."""
_FEWEST_ANCHORS = 2000
_GATHERED = 1 << 14


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PairList:
    """Pairs by the rows of their samples, with their slots."""

    one: Int64[np.ndarray, " pair"]
    other: Int64[np.ndarray, " pair"]
    slot: Int64[np.ndarray, " pair"]

    def part(self, chosen: np.ndarray) -> PairList:
        """The chosen pairs, by number or by a mask."""
        return PairList(one=self.one[chosen], other=self.other[chosen], slot=self.slot[chosen])


class PairSampler:
    """Draws pairs and adds them to an accumulator.

    Args:
        accumulator: takes the sums; its device is where features are compared.
        samples: in any order.
        position: their positions in that order, on the CPU.
        generator: all chance comes from it; on the CPU.
    """

    def __init__(
        self,
        accumulator: PairSums,
        samples: Samples,
        position: Float64[np.ndarray, "n 3"],
        generator: torch.Generator,
    ) -> None:
        self._sums = accumulator
        self._samples = samples
        self._position = position
        self._generator = generator
        self._slot_of = SlotLookup(accumulator.slots, torch.device("cpu"))

    def add(self, pairs: int, tiles: Tiles, progress: Progress | None = None) -> None:
        """Add about `pairs` pairs: nine tenths in tiles, the rest where these leave classes short.

        The share of each of B classes, which it gets as far as it has pairs, is pairs / (10 B).

        Args:
            pairs: how many.
            tiles: where tiles are added; not finished here.
            progress: told of pairs done.
        """
        share = max(1, int((1 - _TILE_SHARE) * pairs / len(self._sums.bins)))
        in_tiles = int(_TILE_SHARE * pairs)
        expected = self._class_probability() * in_tiles
        short = [k for k in range(len(self._sums.bins)) if expected[k] < _SHORT * share]
        near = self._levels(short)
        done = self._add_tiles(in_tiles, tiles, progress, pairs)
        aligned = TorchTiles(self._sums)
        tree = KDTree(self._position) if near else None
        for level in near:
            listed = self._neighbours(tree, level, share)
            for first in range(0, len(listed.one), _GATHERED):
                part = slice(first, first + _GATHERED)
                one, other = listed.one[part], listed.other[part]
                aligned.add_aligned(self._samples.rows(one), self._samples.rows(other))
                done += len(one)
                if progress is not None:
                    progress(min(done, pairs), pairs)

    def _class_probability(self) -> Float64[np.ndarray, " bin"]:
        """Share of each class among all pairs, from random pairs of places."""
        n = len(self._position)
        one = torch.randint(n, (_PILOT_PAIRS,), generator=self._generator).numpy()
        step = torch.randint(1, n, (_PILOT_PAIRS,), generator=self._generator).numpy()
        slot = self._slots(one, (one + step) % n)
        count = np.bincount(slot, minlength=len(self._sums.slots))
        return count[FIRST : FIRST + len(self._sums.bins)] / _PILOT_PAIRS

    def _levels(self, short: list[int]) -> list[list[int]]:
        """Short classes in runs whose upper edges are within a factor of two."""
        upper = self._sums.bins.upper
        levels: list[list[int]] = []
        for k in short:
            if levels and upper[k] <= 2.0 * upper[levels[-1][0]]:
                levels[-1].append(k)
            else:
                levels.append([k])
        return levels

    def _add_tiles(self, pairs: int, tiles: Tiles, progress: Progress | None, total: int) -> int:
        n = len(self._position)
        size = next((rows for most, rows in _TILES if pairs <= most), _LARGE_TILE)
        size = max(1, min(size, n // 2, int((pairs / _FEWEST_TILES) ** 0.5)))
        done = 0
        while done < pairs:
            drawn = _distinct(n, 2 * size, self._generator)
            groups = self._samples.groups[drawn]
            # a tile is fastest where samples of one group stand together
            one = drawn[:size][np.argsort(groups[:size], kind="stable")]
            other = drawn[size:][np.argsort(groups[size:], kind="stable")]
            tiles.add_tile(self._samples.rows(one), self._samples.rows(other), same=False)
            done += size * size
            if progress is not None:
                progress(min(done, total), total)
        return done

    def _neighbours(self, tree: Any, level: list[int], share: int) -> PairList:
        """At most `share` pairs for each class of a level, from the balls around random anchors."""
        n = len(self._position)
        reach = self._sums.bins.upper[level[-1:]]
        radius = float(np.sqrt(self._sums.separation.squared(reach)[0])) * (1 + 1e-12)
        wanted = np.array(level) + FIRST
        order = torch.randperm(n, generator=self._generator).numpy()
        # the pilot decides how many anchors there are and is taken from the other end of the order
        held = tree.query_ball_point(
            self._position[order[-_PILOT_ANCHORS:]], radius, return_length=True
        )
        affordable = int(_LISTED / max(1.0, float(np.mean(held))))
        pilot = order[-max(1, min(_PILOT_ANCHORS, affordable)) :]
        found = np.bincount(self._around(tree, pilot, radius).slot, minlength=wanted[-1] + 1)
        rate = found[wanted].min() / len(pilot)
        needed = affordable if rate == 0 else int(_SURPLUS * share / rate) + 1
        anchors = order[: max(1, min(n, max(needed, _FEWEST_ANCHORS), affordable))]
        if len(anchors) < min(n, _FEWEST_ANCHORS):
            # the pairs of few anchors are worth less than the fewer pairs of many tiles
            return PairList(one=order[:0], other=order[:0], slot=order[:0])
        rank = np.full(n, n, dtype=np.int64)
        rank[anchors] = np.arange(len(anchors))
        listed = self._around(tree, anchors, radius)
        # a pair of two anchors comes from both balls and counts once
        once = rank[listed.other] > rank[listed.one]
        return self._thinned(listed.part(once & np.isin(listed.slot, wanted)), share)

    def _around(self, tree: Any, anchors: Int64[np.ndarray, " anchor"], radius: float) -> PairList:
        """The pairs of anchors with all other samples within a radius."""
        balls = KDTree(self._position[anchors])
        found = balls.sparse_distance_matrix(tree, radius, output_type="ndarray")
        one, other = anchors[found["i"]], found["j"].astype(np.int64)
        distinct = one != other
        one, other = one[distinct], other[distinct]
        return PairList(one=one, other=other, slot=self._slots(one, other))

    def _thinned(self, listed: PairList, share: int) -> PairList:
        """At most `share` pairs of each slot, drawn at random, in the order of their first rows."""
        shuffled = torch.randperm(len(listed.slot), generator=self._generator).numpy()
        by_slot = shuffled[np.argsort(listed.slot[shuffled], kind="stable")]
        slot = listed.slot[by_slot]
        place = np.arange(len(slot)) - np.searchsorted(slot, slot)
        kept = by_slot[place < share]
        return listed.part(kept[np.argsort(listed.one[kept], kind="stable")])

    def _slots(
        self, one: Int64[np.ndarray, " pair"], other: Int64[np.ndarray, " pair"]
    ) -> Int64[np.ndarray, " pair"]:
        difference = self._position[one] - self._position[other]
        squared = torch.from_numpy(np.square(difference).sum(axis=1))
        return self._slot_of(squared).numpy()


def _distinct(n: int, count: int, generator: torch.Generator) -> Int64[np.ndarray, " count"]:
    """`count` different numbers below `n`, at random; cheap for few out of many."""
    if count * 4 > n:
        return torch.randperm(n, generator=generator)[:count].numpy()
    drawn = np.empty(0, dtype=np.int64)
    while len(drawn) < count:
        more = torch.randint(n, (count + count // 8 + 8,), generator=generator).numpy()
        together = np.concatenate([drawn, more])
        _, first = np.unique(together, return_index=True)
        drawn = together[np.sort(first)]
    return drawn[:count]

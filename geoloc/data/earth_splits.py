"""Centres of Earth tiles: drawn evenly over land and dealt to splits that do not leak."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool, Float, Int

from geoloc.data.earth_blocks import BlockGrid, distance_to_bounds_km
from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import EARTH_RADIUS_KM, fibonacci_sphere, sample_sphere

IsLand: TypeAlias = Callable[[Float[np.ndarray, "n 2"]], Bool[np.ndarray, " n"]]

_PROBES = 40_000
_DRAW = 20_000
# 200 draws are four million places: more than any split of a 7 km picture can mean.
_MAX_DRAWS = 200
_ANTARCTIC_DEG = -60.0
_LEAST_LAND_IN_BLOCK = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockHoldout:
    """Which blocks are held out, and how far everything else stays away from them.

    Attributes:
        grid: the blocks of the Earth.
        block: numbers of the held-out blocks, ascending.
        buffer_km: no other centre lies within this distance of a held-out block.
        test_share: share of the land that lies in held-out blocks.
        kept_share: share of the land that is neither held out nor buffer.
    """

    grid: BlockGrid
    block: Int[np.ndarray, " b"]
    buffer_km: float
    test_share: float
    kept_share: float

    def is_test(self, latlon_deg: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Whether places lie in a held-out block."""
        return np.isin(self.grid.block_of(latlon_deg), self.block)

    def is_clear(self, latlon_deg: Float[np.ndarray, "n 2"]) -> Bool[np.ndarray, " n"]:
        """Whether places lie farther than `buffer_km` from every held-out block."""
        clear = np.ones(len(latlon_deg), dtype=np.bool_)
        reach_deg = math.degrees(self.buffer_km / EARTH_RADIUS_KM) + 1e-6
        for bounds_deg in self.grid.bounds_deg(self.block):
            south, _, north, _ = bounds_deg
            beside = (latlon_deg[:, 0] > south - reach_deg) & (latlon_deg[:, 0] < north + reach_deg)
            asked = np.flatnonzero(clear & beside)
            distance_km = distance_to_bounds_km(latlon_deg[asked], bounds_deg[None])[:, 0]
            clear[asked] = distance_km > self.buffer_km
        return clear


def choose_blocks(
    is_land: IsLand,
    *,
    block_deg: float,
    block_share: float,
    buffer_km: float,
    include_antarctica: bool,
    generator: np.random.Generator,
) -> BlockHoldout:
    """Hold out random blocks until they hold `block_share` of the land.

    Only blocks at least a quarter of whose area is land are drawn: a block of scattered islands
    costs as much buffer as a whole one and gives few tests. Shares are measured on an even lattice.

    Raises:
        ConfigError: `block_share` is not in [0, 1).
        DataError: the buffer leaves no land at all for training.
    """
    if not 0 <= block_share < 1:
        raise ConfigError(f"block_share must lie in [0, 1), not {block_share}")
    grid = BlockGrid(block_deg=block_deg)
    lattice = fibonacci_sphere(_PROBES)
    land = lattice[_usable(lattice, is_land, include_antarctica)]
    block = grid.block_of(land)
    total = int(grid.blocks_in_band.sum())
    per_block = np.bincount(block, minlength=total)
    enough = np.flatnonzero(per_block >= _LEAST_LAND_IN_BLOCK * _PROBES / total)
    order = generator.permutation(enough)
    reached = np.cumsum(per_block[order]) / len(land)
    taken = 0 if block_share == 0 else int(np.searchsorted(reached, block_share)) + 1
    chosen = np.sort(order[:taken])
    holdout = BlockHoldout(
        grid=grid, block=chosen, buffer_km=buffer_km, test_share=0.0, kept_share=1.0
    )
    kept_share = float(holdout.is_clear(land).mean())
    if kept_share == 0.0:
        raise DataError(
            f"holding out {len(chosen)} blocks with a buffer of {buffer_km:.0f} km leaves no land"
            " for training: take smaller tiles (tile_km), fewer blocks (block_share) or larger"
            " ones (block_deg)"
        )
    return BlockHoldout(
        grid=grid,
        block=chosen,
        buffer_km=buffer_km,
        test_share=float(np.isin(block, chosen).mean()),
        kept_share=kept_share,
    )


def draw_centres(
    is_land: IsLand,
    holdout: BlockHoldout,
    *,
    in_blocks: int,
    outside: Mapping[str, int],
    include_antarctica: bool,
    generator: np.random.Generator,
) -> tuple[Float[np.ndarray, "block 2"], dict[str, Float[np.ndarray, "n 2"]]]:
    """Random land places, even by area: some in the held-out blocks, the others clear of them.

    Splits are served in the order of `outside`, so that asking for more of the last one changes
    nothing in those before it.

    Returns:
        The places in held-out blocks, and those of each split outside.

    Raises:
        DataError: places are asked for where there is (almost) no land.
    """
    wanted = sum(outside.values())
    blocks: list[np.ndarray] = []
    clear: list[np.ndarray] = []
    for _ in range(_MAX_DRAWS):
        if _count(blocks) >= in_blocks and _count(clear) >= wanted:
            break
        drawn = sample_sphere(_DRAW, generator=generator)
        land = drawn[_usable(drawn, is_land, include_antarctica)]
        blocks.append(land[holdout.is_test(land)])
        clear.append(land[holdout.is_clear(land)])
    else:
        raise DataError(
            f"after {_MAX_DRAWS * _DRAW} random places only {_count(blocks)} of {in_blocks} lie on"
            f" land in held-out blocks and {_count(clear)} of {wanted} clear of them: ask for fewer"
            " tiles, or for more or fewer blocks (block_share)"
        )
    everything = np.concatenate((*clear, np.empty((0, 2))))
    ends = np.cumsum(list(outside.values()))
    parts = {
        name: everything[end - outside[name] : end]
        for name, end in zip(outside, ends.tolist(), strict=True)
    }
    return np.concatenate((*blocks, np.empty((0, 2))))[:in_blocks], parts


def buffer_km(*, tile_km: float, pixel_km: float, source_km: float) -> float:
    """How far centres must be apart so that their tiles share no source pixel, in km.

    The diagonal of a tile (two half diagonals), and what interpolation and smoothing reach beyond
    both tiles: together less than four times the larger of tile pixel and source pixel.
    """
    return math.sqrt(2.0) * tile_km + 4.0 * max(pixel_km, source_km)


def _usable(
    latlon_deg: Float[np.ndarray, "n 2"], is_land: IsLand, include_antarctica: bool
) -> Bool[np.ndarray, " n"]:
    usable = np.asarray(is_land(latlon_deg), dtype=np.bool_)
    return usable if include_antarctica else usable & (latlon_deg[:, 0] > _ANTARCTIC_DEG)


def _count(parts: list[np.ndarray]) -> int:
    return sum(len(part) for part in parts)

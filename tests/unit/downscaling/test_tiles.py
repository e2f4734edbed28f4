from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.downscaling import Tiling, hann_window
from geoloc.errors import ConfigError


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    tile = draw(st.integers(1, 9))
    return Tiling(
        rows=draw(st.integers(tile, 30)),
        columns=draw(st.integers(tile, 30)),
        tile=tile,
        stride=draw(st.integers(1, tile)),
    )


@given(tilings())
def test_weights_are_a_partition_of_unity(tiling: Tiling) -> None:
    # what is cut and blended is as before, so the weights sum to one everywhere
    field = torch.randn((2, 3, tiling.rows, tiling.columns), dtype=torch.float64)
    tiles = tiling.cut(field)
    assert tiles.shape == (2 * len(tiling.corners()), 3, tiling.tile, tiling.tile)
    assert torch.allclose(tiling.blend(tiles), field)


@given(tilings())
def test_tiles_cover_the_field_within_their_stride(tiling: Tiling) -> None:
    seen = torch.zeros((tiling.rows, tiling.columns), dtype=torch.bool)
    rows = sorted({row for row, _ in tiling.corners()})
    for row, column in tiling.corners():
        seen[row : row + tiling.tile, column : column + tiling.tile] = True
    assert seen.all()
    assert rows[0] == 0
    assert rows[-1] == tiling.rows - tiling.tile
    assert all(0 < after - before <= tiling.stride for before, after in pairwise(rows))


def test_hann_windows_half_a_tile_apart_sum_to_one_by_themselves() -> None:
    window = hann_window(8)
    assert torch.all(window > 0)
    once = window[:4, :4] + window[4:, :4] + window[:4, 4:] + window[4:, 4:]
    assert torch.allclose(once, torch.ones(4, 4))


def test_blending_is_the_weighted_mean_of_a_naive_loop() -> None:
    tiling = Tiling(rows=7, columns=11, tile=4, stride=3)
    tiles = torch.randn((2 * len(tiling.corners()), 1, 4, 4), dtype=torch.float64)
    found = tiling.blend(tiles)
    bell = [float(hann_window(4)[at, at] ** 0.5) for at in range(4)]
    for which in range(2):
        for row in range(7):
            for column in range(11):
                total = weight = 0.0
                for number, (top, left) in enumerate(tiling.corners()):
                    i, j = row - top, column - left
                    if 0 <= i < 4 and 0 <= j < 4:
                        total += bell[i] * bell[j] * float(tiles[2 * number + which, 0, i, j])
                        weight += bell[i] * bell[j]
                assert float(found[which, 0, row, column]) == pytest.approx(
                    total / weight, abs=1e-6
                )


@pytest.mark.parametrize(("tile", "stride"), [(9, 4), (4, 5), (4, 0)])
def test_impossible_tiles_are_refused(tile: int, stride: int) -> None:
    with pytest.raises(ConfigError, match=r"does not fit|leave gaps"):
        Tiling(rows=8, columns=20, tile=tile, stride=stride)

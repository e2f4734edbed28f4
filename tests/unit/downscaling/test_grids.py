from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import zoom

from geoloc.downscaling import coarsen, conserve, interpolate, spread
from geoloc.errors import ConfigError, DataError


def fields(rows: int, columns: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 3, rows, columns)))


def test_block_means_as_a_naive_loop() -> None:
    fine = fields(6, 9)
    coarse = coarsen(fine, 3)
    assert coarse.shape == (2, 3, 2, 3)
    for row in range(2):
        for column in range(3):
            block = fine[..., 3 * row : 3 * row + 3, 3 * column : 3 * column + 3]
            assert torch.allclose(coarse[..., row, column], block.mean(dim=(-1, -2)))


def test_a_grid_without_whole_blocks_is_refused() -> None:
    with pytest.raises(DataError, match="no whole blocks of 4 by 4: crop it"):
        coarsen(fields(8, 9), 4)
    with pytest.raises(ConfigError, match="at least one fine cell, not 0"):
        coarsen(fields(8, 8), 0)


def test_spread_is_what_block_means_undo() -> None:
    coarse = fields(3, 4)
    assert torch.allclose(coarsen(spread(coarse, 5), 5), coarse, rtol=1e-14)
    assert spread(coarse, 5)[0, 0, 4, 9] == coarse[0, 0, 0, 1]


def test_interpolation_keeps_a_plane_and_lies_where_cells_are_areas() -> None:
    row, column = torch.meshgrid(torch.arange(24.0), torch.arange(32.0), indexing="ij")
    plane = (2.0 * row - 3.0 * column)[None].to(torch.float64)
    found = interpolate(coarsen(plane, 4), 4)
    inner = (..., slice(8, -8), slice(8, -8))
    assert torch.allclose(found[inner], plane[inner])


def test_interpolation_is_nearer_to_a_wave_than_scipys_linear_one() -> None:
    row, column = torch.meshgrid(torch.arange(48.0), torch.arange(48.0), indexing="ij")
    wave = torch.sin(row / 6.0) + torch.cos(column / 7.0)
    coarse = coarsen(wave[None], 4)[0]
    linear = zoom(coarse.numpy(), 4, order=1, mode="nearest", grid_mode=True)
    inner = (slice(8, -8), slice(8, -8))
    cubic = interpolate(coarse[None], 4)[0]
    error = [
        (torch.as_tensor(each)[inner] - wave[inner]).square().mean() for each in (cubic, linear)
    ]
    assert error[0] < 0.7 * error[1]


@given(st.integers(1, 4), st.integers(0, 99))
def test_conserved_fields_have_the_coarse_values_and_are_the_nearest(
    factor: int, seed: int
) -> None:
    fine, coarse = fields(3 * factor, 2 * factor, seed), fields(3, 2, seed + 1)
    found = conserve(fine, coarse, factor)
    assert torch.allclose(coarsen(found, factor), coarse)
    other = found + (other_detail := fields(3 * factor, 2 * factor, seed + 2))
    other = other - spread(coarsen(other_detail, factor), factor)
    assert (found - fine).square().sum() <= (other - fine).square().sum() + 1e-9

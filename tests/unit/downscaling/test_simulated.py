from __future__ import annotations

import math
from itertools import product

import pytest
import torch

from geoloc.downscaling import drifting_fields
from geoloc.errors import ConfigError


def drawn(*, series: int, drift: tuple[float, float], seed: int = 0) -> torch.Tensor:
    return drifting_fields(
        lambda lag: 2.0 * torch.exp(-lag / 2.5),
        size=16,
        steps=4,
        series=series,
        persistence=0.8,
        drift_cells=drift,
        generator=torch.Generator().manual_seed(seed),
    )


@pytest.mark.parametrize("drift", [(0.0, 0.0), (1.0, -2.0), (0.5, 1.25)])
def test_covariances_in_space_and_time_are_those_asked_for(drift: tuple[float, float]) -> None:
    fields = drawn(series=1500, drift=drift)
    for apart, row, column in product((0, 1, 3), (0, 3), (0, -2)):
        here = fields[:, 0, 6, 6]
        there = fields[:, apart, 6 + row, 6 + column]
        lag = math.hypot(row - apart * drift[0], column - apart * drift[1])
        expected = 0.8**apart * 2.0 * math.exp(-lag / 2.5)
        # four standard errors of a covariance of 1500 pairs
        error = 4.0 * math.sqrt((4.0 + expected**2) / 1500)
        assert float((here * there).mean()) == pytest.approx(expected, abs=error)


def test_the_variance_is_the_same_at_every_step_and_cell() -> None:
    fields = drawn(series=1000, drift=(0.5, 1.25), seed=1)
    assert float(fields.square().mean()) == pytest.approx(2.0, rel=0.03)
    by_cell = fields.square().mean(dim=0)
    assert float(by_cell.min()) > 1.5
    assert float(by_cell.max()) < 2.5


def test_a_whole_cell_of_drift_moves_cells_when_nothing_is_forgotten() -> None:
    kept = drifting_fields(
        lambda lag: torch.exp(-lag / 2.0),
        size=12,
        steps=3,
        persistence=0.999999,
        drift_cells=(1.0, 2.0),
        generator=torch.Generator().manual_seed(0),
    )[0]
    moved = kept[0, :-1, :-2]
    assert float((kept[1, 1:, 2:] - moved).abs().max()) < 0.02


def test_a_covariance_that_is_too_long_is_refused() -> None:
    with pytest.raises(ConfigError, match="reaches too far for a field of 8"):
        drifting_fields(
            lambda lag: torch.exp(-lag / 30.0),
            size=8,
            steps=1,
            persistence=0.5,
            drift_cells=(0.0, 0.0),
            generator=torch.Generator(),
        )
    with pytest.raises(ConfigError, match=r"persistence 1\.0"):
        drifting_fields(
            lambda lag: torch.exp(-lag),
            size=8,
            steps=1,
            persistence=1.0,
            drift_cells=(0.0, 0.0),
            generator=torch.Generator(),
        )

from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.geodesy import fibonacci_sphere
from geoloc.inference.heat import HeatGrid


def test_heat_is_the_mass_of_each_cell() -> None:
    places_deg = np.array([[10.1, 20.1], [10.4, 20.4], [-5.0, 0.0], [10.6, 20.1]])
    grid = HeatGrid.of(places_deg)
    assert grid.cell_deg == 1.0
    (heat,) = grid.heats(torch.tensor([[0.3, 0.25, 0.45, 0.0]]))
    assert [cell[:2] for cell in heat.cells] == [(10.0, 20.0), (-5.0, 0.0)]
    assert [cell[2] for cell in heat.cells] == pytest.approx([0.55, 0.45])


@pytest.mark.parametrize("count", [300, 3000, 30_000])
def test_cells_hold_all_mass_and_lie_on_earth(count: int) -> None:
    places_deg = fibonacci_sphere(count)
    grid = HeatGrid.of(places_deg)
    probability = torch.full((1, count), 1.0 / count)
    (heat,) = grid.heats(probability)
    cells = np.array(heat.cells)
    assert cells[:, 2].sum() == pytest.approx(1.0, abs=1e-4)
    assert cells[:, 0].min() >= -90
    assert cells[:, 0].max() <= 90 - grid.cell_deg
    assert cells[:, 1].max() <= 180 - grid.cell_deg
    inside = places_deg - grid.corner_deg[grid.cell.numpy()]
    assert (inside > -1e-9).all()
    assert (inside < grid.cell_deg + 1e-9).all()


@pytest.mark.parametrize(("count", "side"), [(300, 5.0), (8000, 5.0), (30_000, 3.0)])
def test_cells_are_as_wide_as_the_gallery_is_coarse(count: int, side: float) -> None:
    assert HeatGrid.of(fibonacci_sphere(count)).cell_deg == side


def test_poles_antimeridian_repetitions_and_a_single_place() -> None:
    corners = np.array([[90.0, 180.0], [-90.0, -180.0], [90.0, -180.0], [0.0, 180.0]])
    grid = HeatGrid.of(corners)
    assert grid.corner_deg.min(axis=0).tolist() == [-90.0, -180.0]
    assert (grid.corner_deg.max(axis=0) == [90 - grid.cell_deg, 180 - grid.cell_deg]).all()
    assert HeatGrid.of(np.array([[1.0, 2.0], [1.0, 2.0]])).cell_deg == 0.5


def test_faint_cells_are_left_out() -> None:
    grid = HeatGrid.of(np.array([[0.0, 0.0], [50.0, 50.0], [-50.0, 50.0]]))
    (heat,) = grid.heats(torch.tensor([[0.9, 0.0995, 0.0005]]))
    assert len(heat.cells) == 2

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.geodesy import fibonacci_sphere, great_circle_km, sample_sphere
from geoloc.inference.answers import Heat
from geoloc.inference.coarseness import cell_of
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


SIDE = st.sampled_from([1.0, 25.0, 60.0, 400.0, 2000.0])
PLACE = st.tuples(st.floats(-90.0, 90.0), st.floats(-180.0, 180.0))


def shown_rows(heat: Heat) -> dict[float, list[float]]:
    """Western edges of the cells of each row."""
    rows: dict[float, list[float]] = {}
    for south, west, _ in heat.cells:
        rows.setdefault(south, []).append(west)
    return {south: sorted(edges) for south, edges in rows.items()}


@given(PLACE, SIDE)
def test_coarse_heat_is_nowhere_finer_than_asked(place: tuple[float, float], side: float) -> None:
    grid = HeatGrid.of(np.array([place]), side)
    (heat,) = grid.heats(torch.tensor([[1.0]]))
    assert heat.coarse_km == side
    assert sum(share for _, _, share in heat.cells) == pytest.approx(1.0)
    assert len({share for _, _, share in heat.cells}) == 1
    ((south, edges),) = shown_rows(heat).items()
    north = south + heat.cell_deg
    assert -90.0 <= south < north <= 90.0
    west, east = edges[0], edges[-1] + heat.cell_deg
    assert np.diff(edges) == pytest.approx(heat.cell_deg)
    assert -180.0 <= west < east <= 180.0
    centre = cell_of(place, side)
    assert south - 1e-9 <= centre[0] <= north + 1e-9
    assert west - 1e-9 <= centre[1] <= east + 1e-9
    assert great_circle_km(np.array([south, 0.0]), np.array([north, 0.0])) >= side - 1e-6
    if east - west < 360.0:
        for lat in (south, north):
            # more than half a ring is nowhere narrower than half of one
            reach = min(east - west, 180.0)
            assert great_circle_km(np.array([lat, 0.0]), np.array([lat, reach])) >= side - 1e-6


@pytest.mark.parametrize("side_km", [25.0, 300.0, 2000.0])
def test_coarse_heat_knows_nothing_but_the_cells_of_the_places(side_km: float) -> None:
    generator = np.random.default_rng(8)
    places = np.concatenate([sample_sphere(60, generator=generator), [[90.0, 5.0], [-89.9, 7.0]]])
    centres = np.array([cell_of((float(lat), float(lon)), side_km) for lat, lon in places])
    mass = torch.from_numpy(generator.dirichlet(np.ones(len(places))))[None]
    (one,), (other,) = (HeatGrid.of(each, side_km).heats(mass) for each in (places, centres))
    assert one.cells == other.cells
    assert sum(share for _, _, share in one.cells) == pytest.approx(1.0, abs=0.01)
    shares = [share for _, _, share in one.cells]
    assert shares == sorted(shares, reverse=True)
    assert len({cell[:2] for cell in one.cells}) == len(one.cells)


def test_the_sides_of_coarse_cells() -> None:
    sides = [HeatGrid.of(np.array([[1.0, 2.0]]), km).cell_deg for km in (25.0, 56.0, 600.0, 2000.0)]
    assert sides == [0.5, 1.0, 9.0, 18.0]

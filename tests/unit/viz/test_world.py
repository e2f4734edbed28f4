from __future__ import annotations

import numpy as np

from geoloc.places import Areas
from geoloc.viz.world import (
    COARSE_DEG,
    border_lines_deg,
    coarse_land_deg,
    fine_land_deg,
    polygon_holding,
)


def ring_area_deg2(ring: np.ndarray) -> float:
    lat, lon = ring[:, 0], ring[:, 1]
    return 0.5 * abs(float(np.sum(lon[:-1] * lat[1:] - lon[1:] * lat[:-1])))


def test_lines_are_places_dense_enough_to_bend() -> None:
    for lines in (coarse_land_deg(), border_lines_deg(COARSE_DEG)):
        points = np.concatenate(lines)
        assert np.abs(points[:, 0]).max() <= 90.0
        assert np.abs(points[:, 1]).max() <= 180.0
        steps = [np.linalg.norm(np.diff(line, axis=0), axis=1).max() for line in lines]
        assert max(steps) <= 1.0 + 1e-9


def test_coarse_land_keeps_the_land() -> None:
    fine = sum(ring_area_deg2(ring) for ring in fine_land_deg())
    coarse = sum(ring_area_deg2(ring) for ring in coarse_land_deg())
    assert 0.98 < coarse / fine < 1.01


def test_the_polygon_around_a_place_is_found_by_its_row() -> None:
    areas = Areas.load()
    (row,) = polygon_holding((48.8566, 2.3522))
    assert areas.country_code[areas.polygon_area[row]] == "FR"
    ring = fine_land_deg()[row]
    assert ring[:, 0].min() < 48.8566 < ring[:, 0].max()
    assert ring[:, 1].min() < 2.3522 < ring[:, 1].max()
    assert polygon_holding((0.0, -30.0)) == frozenset()

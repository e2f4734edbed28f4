from __future__ import annotations

import numpy as np
import pytest

from geoloc.geodesy import fibonacci_sphere, pairwise_great_circle_km
from geoloc.inference.resolution import median_spacing_km, resolution_km


@pytest.mark.parametrize("count", [2, 50, 700])
def test_spacing_is_the_median_distance_to_the_nearest_other(count: int) -> None:
    places_deg = np.random.default_rng(count).uniform((-90, -180), (90, 180), (count, 2))
    away = pairwise_great_circle_km(places_deg, places_deg)
    np.fill_diagonal(away, np.inf)
    naive = float(np.median(away.min(axis=1)))
    assert median_spacing_km(places_deg) == pytest.approx(naive, rel=1e-9)
    # Repetitions of a place are no neighbours of it.
    twice = np.concatenate([places_deg, places_deg])
    assert median_spacing_km(twice) == pytest.approx(naive, rel=1e-9)
    assert median_spacing_km(places_deg[:1]) == 0.0


def test_of_many_places_some_are_asked() -> None:
    places_deg = fibonacci_sphere(20_000)
    assert median_spacing_km(places_deg) == pytest.approx(150.0, rel=0.2)


@pytest.mark.parametrize(
    ("spacing_km", "told_km"),
    [(0.5, 25), (12.4, 25), (12.6, 50), (49.9, 100), (4000.0, 200), (0.0, 25)],
)
def test_a_resolution_is_the_next_round_distance(spacing_km: float, told_km: float) -> None:
    assert resolution_km(spacing_km) == told_km

from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import ConfigError, CoordinateError
from geoloc.geodesy import great_circle_km, pairwise_great_circle_km, sample_sphere
from geoloc.places import Areas
from geoloc.regions import spaced, thinned_to


def naive(places, spacing):
    """Greedy, by a double loop."""
    order = sorted(range(len(places)), key=lambda row: spacing[row])
    apart = [great_circle_km(place, places).tolist() for place in places]
    kept = []
    for row in order:
        if all(apart[row][each] >= spacing[row] for each in kept):
            kept.append(row)
    return sorted(kept)


def test_as_a_naive_loop_with_one_spacing_and_with_many():
    generator = np.random.default_rng(0)
    places = sample_sphere(150, generator=generator)
    places[100:] = places[:50] + generator.normal(0, 2.0, (50, 2)) * [1, 0.1]
    places = np.clip(places, [-90, -180], [90, 180])
    for spacing in (np.full(150, 700.0), generator.uniform(0, 3000, 150)):
        assert spaced(places, spacing).tolist() == naive(places, spacing)
    assert spaced(places, 700).tolist() == spaced(places, np.full(150, 700.0)).tolist()


@pytest.mark.parametrize("varied", [False, True])
def test_none_is_nearer_than_either_spacing_and_no_larger_gap_is_left(varied):
    generator = np.random.default_rng(1)
    # many more than are compared one by one
    places = generator.uniform([40, 0], [50, 20], (6000, 2))
    spacing = generator.uniform(20, 120, 6000) if varied else np.full(6000, 60.0)
    kept = spaced(places, spacing if varied else 60)
    apart = np.asarray(pairwise_great_circle_km(places[kept], places[kept]))
    np.fill_diagonal(apart, np.inf)
    either = np.maximum(spacing[kept][:, None], spacing[kept])
    assert (apart >= either * (1 - 1e-9)).all()
    gap = np.asarray(pairwise_great_circle_km(places, places[kept])).min(axis=1)
    gone = np.setdiff1d(np.arange(6000), kept)
    assert len(gone) > 3000
    assert (gap[gone] < spacing[gone]).all()


def test_the_first_of_equals_stays_and_order_is_kept():
    places = np.array([[10.0, 10.0], [10.0, 10.0], [-5.0, 3.0], [10.0, 10.001]])
    assert spaced(places, 1.0).tolist() == [0, 2]
    assert spaced(places, 0.0).tolist() == [0, 1, 2, 3]
    assert spaced(places[:0], 5.0).tolist() == []
    assert spaced(places, 50_000).tolist() == [0]


@pytest.mark.parametrize("count", [1, 7, 400, 1999, 2000])
def test_exactly_so_many_are_kept(count):
    places = Areas.load().even_land_points(2000)
    places = np.concatenate([places, places[:30]])[:2030]
    count = min(count, len(places) - 30)
    kept = thinned_to(places, count)
    assert len(kept) == len({tuple(place) for place in places[kept].tolist()}) == count
    assert (np.diff(kept) > 0).all()


def test_thinned_places_lie_farther_apart_than_places_drawn_at_random():
    places = sample_sphere(5000, generator=np.random.default_rng(2))
    kept = thinned_to(places, 500)
    drawn = np.random.default_rng(3).choice(5000, 500, replace=False)
    nearest = []
    for rows in (kept, drawn):
        apart = np.asarray(pairwise_great_circle_km(places[rows], places[rows]))
        np.fill_diagonal(apart, np.inf)
        nearest.append(np.quantile(apart.min(axis=1), 0.05))
    assert nearest[0] > 3 * nearest[1]


def test_density_goes_with_one_over_the_squared_relative_spacing():
    places = sample_sphere(40_000, generator=np.random.default_rng(4))
    north = places[:, 0] > 0
    kept = thinned_to(places, 2000, relative_spacing=np.where(north, 5.0, 10.0))
    share = north[kept].mean()
    assert share == pytest.approx(0.8, abs=0.02)


def test_what_cannot_be_thinned():
    places = np.zeros((3, 2))
    with pytest.raises(ConfigError, match="2 of 1 distinct"):
        thinned_to(places, 2)
    with pytest.raises(ConfigError, match="number >= 0"):
        spaced(places, -1.0)
    with pytest.raises(ConfigError, match="number >= 0"):
        spaced(places, float("nan"))
    with pytest.raises(ConfigError, match="2 spacings for 3 places"):
        spaced(places, np.ones(2))
    with pytest.raises(ConfigError, match="above 0"):
        thinned_to(np.eye(3)[:, :2], 1, relative_spacing=np.zeros(3))
    with pytest.raises(CoordinateError):
        spaced(np.array([[0.0, 181.0]]), 1.0)

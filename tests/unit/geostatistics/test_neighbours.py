from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import pairwise_great_circle_km, sample_sphere
from geoloc.geostatistics import nearest_neighbours, neighbours_within


def test_nearest_neighbours_are_those_of_a_full_search():
    places = sample_sphere(200, generator=np.random.default_rng(0))
    matrix = nearest_neighbours(places, 5).matrix.toarray()
    distance = pairwise_great_circle_km(places, places)
    np.fill_diagonal(distance, np.inf)
    for row, near in zip(matrix, np.argsort(distance, axis=1)[:, :5], strict=True):
        assert set(np.flatnonzero(row)) == set(near)
        np.testing.assert_allclose(row[near], 0.2)


def test_no_sample_is_its_own_neighbour_even_among_many_at_one_place():
    places = np.concatenate([np.zeros((30, 2)), np.full((30, 2), 10.0)])
    matrix = nearest_neighbours(places, 4).matrix
    assert matrix.diagonal().max() == 0.0
    np.testing.assert_allclose(np.asarray(matrix.sum(axis=1)), 1.0)
    assert matrix.toarray()[:30, 30:].max() == 0.0


def test_neighbours_within_a_great_circle_across_the_antimeridian():
    places = np.array([[0.0, 179.9], [0.0, -179.9], [0.0, 178.0], [60.0, 0.0]])
    weights = neighbours_within(places, 30.0)
    np.testing.assert_array_equal(
        weights.matrix.toarray(), [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    )
    np.testing.assert_array_equal(weights.lag(np.array([1.0, 2.0, 3.0, 4.0])), [2, 1, 0, 0])


def test_sums_of_cliff_and_ord_by_loops():
    places = sample_sphere(12, generator=np.random.default_rng(1))
    weights = nearest_neighbours(places, 3)
    w = weights.matrix.toarray()
    s1 = sum((w[i, j] + w[j, i]) ** 2 for i in range(12) for j in range(12)) / 2
    s2 = sum((w[i].sum() + w[:, i].sum()) ** 2 for i in range(12))
    assert weights.sums() == pytest.approx((12.0, s1, s2))


def test_what_cannot_be_asked():
    places = np.zeros((4, 2))
    with pytest.raises(DataError, match="4 samples have no 4 neighbours"):
        nearest_neighbours(places, 4)
    with pytest.raises(ConfigError, match="one neighbour at least"):
        nearest_neighbours(places, 0)
    with pytest.raises(ConfigError, match="positive distance"):
        neighbours_within(places, 0.0)
    with pytest.raises(DataError, match="no two samples"):
        neighbours_within(np.array([[0.0, 0.0], [50.0, 0.0]]), 10.0)

from __future__ import annotations

import math

import numpy as np
import pytest

from geoloc.evaluation import (
    accuracy_within,
    geoscore,
    mean_of,
    median_of,
    nearest_place_index,
    recall_at_k,
)
from geoloc.geodesy import pairwise_great_circle_km, sample_sphere


def test_accuracy_within_differs_only_at_the_radius():
    km = np.array([24.999, 25.0, 25.001])
    assert accuracy_within(km, 25.0, strict=True).tolist() == [True, False, False]
    assert accuracy_within(km, 25.0, strict=False).tolist() == [True, True, False]


def test_geoscore_known_values():
    km = np.array([0.0, 1492.7, 1492.7 * math.log(2)])
    np.testing.assert_allclose(geoscore(km), [5000.0, 5000.0 / math.e, 2500.0])


def test_mean_and_median():
    km = np.array([1.0, 2.0, 3.0, 10.0])
    assert (mean_of(km), median_of(km)) == (4.0, 2.5)
    for metric in (mean_of, median_of):
        with pytest.raises(ValueError, match="no values"):
            metric(np.array([]))


def test_recall_at_k_counts_ranks_from_one():
    rank = np.array([1, 2, 5, 6])
    assert [recall_at_k(rank, k) for k in (1, 2, 5, 6)] == [0.25, 0.5, 0.75, 1.0]
    with pytest.raises(ValueError, match="recall@k"):
        recall_at_k(np.array([0, 1]), 1)
    with pytest.raises(ValueError, match="recall@k"):
        recall_at_k(rank, 0)


def test_nearest_place_is_nearest_on_the_sphere_across_the_antimeridian_and_the_pole():
    generator = np.random.default_rng(1)
    places = sample_sphere(300, generator=generator)
    queries = sample_sphere(200, generator=generator)
    queries[:3] = [[89.9, 10.0], [-10.0, 180.0], [5.0, -179.99]]
    got = nearest_place_index(queries, places)
    km = pairwise_great_circle_km(queries, places)
    np.testing.assert_array_equal(got, km.argmin(axis=1))
    with pytest.raises(ValueError, match="empty gallery"):
        nearest_place_index(queries, np.empty((0, 2)))

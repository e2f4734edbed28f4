from __future__ import annotations

import numpy as np
import pytest

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km, sample_sphere, unit_vectors
from geoloc.regions import mean_places
from geoloc.regions.partitions import PARTITIONS, partition, partition_worth


def world(count=600):
    generator = np.random.default_rng(0)
    places = sample_sphere(count, generator=generator)
    return places, np.sin(3.0 * unit_vectors(places)) + 0.1 * generator.normal(size=(count, 3))


@pytest.mark.parametrize("name", PARTITIONS)
def test_each_partition_has_about_as_many_cells_without_gaps(name):
    places, features = world()
    cell = partition(name, places, features, count=40)
    count = int(cell.max()) + 1
    assert np.unique(cell).tolist() == list(range(count))
    # three boxes come with every quarter; levels of H3 are seven times as many
    low, high = {"quadtree": (35, 45), "h3": (10, 122)}.get(name, (38, 40))
    assert low <= count <= high
    np.testing.assert_array_equal(cell, partition(name, places, features, count=40))


def test_features_have_a_say_in_all_but_places_alone():
    places, features = world()
    worth = {
        name: partition_worth(places, features, partition(name, places, features, count=40))
        for name in PARTITIONS
    }
    assert worth["k-means-both"].within_variance < worth["k-means"].within_variance
    assert worth["cuts"].within_variance < worth["quadtree"].within_variance
    assert worth["k-means"].spread_km < worth["k-means-both"].spread_km


def test_worth_by_hand():
    places = np.array([[0.0, 0.0], [0.0, 2.0], [50.0, 0.0], [50.0, 0.0], [50.0, 0.0]])
    features, cell = np.array([[1.0], [3.0], [8.0], [8.0], [10.0]]), np.array([0, 0, 1, 1, 1])
    worth = partition_worth(places, features, cell)
    assert (worth.cells, worth.smallest, worth.largest) == (2, 2, 3)
    assert worth.evenness == pytest.approx(-(0.4 * np.log2(0.4) + 0.6 * np.log2(0.6)))
    within = (1.0 + 1.0) + 2 * (2.0 / 3.0) ** 2 + (4.0 / 3.0) ** 2
    assert worth.within_variance == pytest.approx(within / ((features - 6.0) ** 2).sum())
    centre = mean_places(places, cell)[cell]
    assert worth.spread_km == pytest.approx(np.median(great_circle_km(places, centre)))
    one = partition_worth(places, features, np.zeros(5, dtype=int))
    assert (one.evenness, one.within_variance) == (1.0, pytest.approx(1.0))


@pytest.mark.parametrize("count", [0, 601])
def test_an_impossible_number_of_cells_is_refused(count):
    with pytest.raises(ConfigError, match="cells of 600 places"):
        partition("k-means", *world(), count=count)


def test_hexagons_of_a_town_are_small_ones():
    generator = np.random.default_rng(0)
    places = np.array([46.2, 6.1]) + generator.uniform(-0.05, 0.05, (400, 2))
    cell = partition("h3", places, generator.normal(size=(400, 2)), count=40)
    # a level has seven times as many as the one before
    assert 40 / 7 < int(cell.max()) + 1 < 40 * 7

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import pairwise_great_circle_km, sample_sphere, unit_vectors
from geoloc.regions import NOISE, CellSizes, sized_cells
from geoloc.regions.cell_merging import merged_cells
from geoloc.regions.sphere_neighbours import neighbour_edges


def places_and_features(count, seed=0):
    generator = np.random.default_rng(seed)
    places = sample_sphere(count, generator=generator)
    return places, unit_vectors(places) @ generator.normal(size=(3, 4))


def naive_merge(places, cell, smallest, count):
    """Join the smallest cell, of equals the lowest number, to the cell of its nearest outsider."""
    apart, cell = pairwise_great_circle_km(places, places), cell.copy()
    while len(numbers := np.unique(cell)) > 1:
        sizes = [(int((cell == each).sum()), int(each)) for each in numbers]
        size, each = min(sizes)
        if size >= smallest and (count is None or len(numbers) <= count):
            break
        inside = cell == each
        block = np.where(inside[:, None] & ~inside[None], apart, np.inf)
        cell[inside] = cell[np.unravel_index(block.argmin(), block.shape)[1]]
    return np.unique(cell, return_inverse=True)[1]


@pytest.mark.parametrize(("smallest", "count"), [(4, None), (1, 5), (9, None), (1, 1)])
def test_merging_as_a_naive_loop_over_all_pairs(smallest, count):
    for seed in range(4):
        places, _ = places_and_features(90, seed)
        label = np.random.default_rng(seed).integers(0, 30, 90)
        cell = np.unique(label, return_inverse=True)[1]
        edges = neighbour_edges(places)
        found = merged_cells(places, cell, edges, smallest=smallest, count=count)
        np.testing.assert_array_equal(found, naive_merge(places, cell, smallest, count))


def test_the_nearest_pair_across_any_border_is_an_edge_also_of_places_on_one_circle():
    places, _ = places_and_features(60, 3)
    for each in (places, np.stack([np.zeros(20), np.linspace(-170, 160, 20)], axis=1), places[:5]):
        edges = {tuple(edge) for edge in neighbour_edges(each).tolist()}
        apart = pairwise_great_circle_km(each, each)
        for seed in range(5):
            inside = np.random.default_rng(seed).random(len(each)) < 0.4
            inside[:2] = True, False
            block = np.where(inside[:, None] & ~inside[None], apart, np.inf)
            shortest = {
                tuple(sorted(pair)) for pair in np.argwhere(block < block.min() + 1e-6).tolist()
            }
            assert shortest & edges


@pytest.mark.parametrize("size_deg", [1.0, 1e-3, 1e-5])
def test_neighbours_in_a_small_region_are_those_of_the_plane(size_deg):
    generator = np.random.default_rng(3)
    plane = generator.uniform(-0.5, 0.5, (300, 2))
    places = np.array([0.0, 170.0]) + plane * size_deg
    flat = Delaunay(plane).simplices
    pairs = np.concatenate([flat[:, [0, 1]], flat[:, [0, 2]], flat[:, [1, 2]]])
    found = {tuple(edge) for edge in neighbour_edges(places).tolist()}
    near = {tuple(sorted(edge)) for edge in pairs.tolist()}
    # round the sphere's far side places of the rim are neighbours too
    assert len(near - found) <= 2
    assert len(near) > 850


@settings(max_examples=40, deadline=None)
@given(
    st.integers(20, 150),
    st.integers(1, 8),
    st.integers(2, 5),
    st.floats(0.05, 0.5),
    st.integers(0, 10_000),
)
def test_no_cell_is_smaller_or_larger_than_allowed(count, smallest, factor, share, seed):
    places, features = places_and_features(count, seed)
    label = np.random.default_rng(seed).integers(NOISE, 12, count)
    sizes = CellSizes(smallest=smallest, largest=factor * smallest, least_share=share)
    size = np.bincount(sized_cells(places, features, label, sizes))
    assert size.min() >= smallest
    assert size.max() <= factor * smallest


@pytest.mark.parametrize("clusters", [1, 5, 60])
def test_there_are_as_many_cells_as_wanted(clusters):
    places, features = places_and_features(400)
    label = np.random.default_rng(1).integers(0, clusters, 400)
    cell = sized_cells(places, features, label, CellSizes(count=23))
    assert np.unique(cell).tolist() == list(range(23))


def test_clusters_of_good_size_stay_and_noise_goes_to_the_nearest():
    places = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0], [40.0, 0.0], [41.0, 0.0], [43.0, 0.0]])
    label = np.array([4, 4, NOISE, 8, 8, NOISE])
    found = sized_cells(places, np.zeros((6, 1)), label, CellSizes(smallest=2, largest=4))
    assert found.tolist() == [0, 0, 0, 1, 1, 1]
    alone = sized_cells(places, np.zeros((6, 1)), np.full(6, NOISE), CellSizes())
    assert alone.tolist() == [0] * 6


def test_the_cut_is_the_best_of_all_that_its_side_allows():
    places, _ = places_and_features(60, 5)
    features = np.random.default_rng(5).normal(size=(60, 3))
    found = sized_cells(
        places, features, np.zeros(60, dtype=int), CellSizes(count=2, place_weight=0.0)
    )

    def left_over(side):
        parts = (features[side], features[~side])
        return sum(((part - part.mean(axis=0)) ** 2).sum() for part in parts)

    xyz = unit_vectors(places)
    _, _, across = np.linalg.svd(xyz - xyz.mean(axis=0))
    options = []
    for direction in across:
        rank = np.argsort(np.argsort(xyz @ direction))
        options += [left_over(rank < before) for before in range(18, 43)]
    assert left_over(found == 0) == pytest.approx(min(options))
    assert left_over(found == 0) < np.median(options)


def test_two_lands_of_different_features_are_told_apart_by_the_first_cut():
    generator = np.random.default_rng(2)
    places = np.stack([generator.uniform(-20, 20, 200), generator.uniform(-60, 60, 200)], axis=1)
    east = places[:, 1] > 20.0
    features = np.where(east, 3.0, -1.0)[:, None] + 0.1 * generator.normal(size=(200, 1))
    found = sized_cells(places, features, np.zeros(200, dtype=int), CellSizes(count=2))
    wrong = min((found == east).mean(), (found != east).mean())
    assert wrong < 0.06


@pytest.mark.parametrize(
    ("sizes", "told"),
    [
        ({"smallest": 0}, "1 or more"),
        ({"largest": 5, "count": 3}, "not both"),
        ({"smallest": 4, "largest": 7}, "below twice"),
        ({"least_share": 0.6}, "least share"),
        ({"place_weight": -1.0}, "weight of places"),
    ],
)
def test_impossible_sizes_are_refused(sizes, told):
    with pytest.raises(ConfigError, match=told):
        CellSizes(**sizes)


def test_too_few_places_are_refused():
    places, features = places_and_features(10)
    with pytest.raises(DataError, match="cannot fill"):
        sized_cells(places, features, np.zeros(10, dtype=int), CellSizes(smallest=3, count=4))

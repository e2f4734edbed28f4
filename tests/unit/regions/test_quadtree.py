from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc.errors import ConfigError, CoordinateError, DataError
from geoloc.regions import quadtree


def naive(places, *, split_at, depth):
    """Leaves in order, as (south-west, north-east, rows), by recursion over lists."""
    rows = list(range(len(places)))
    low = [min(places[r][axis] for r in rows) for axis in (0, 1)]
    high = [max(places[r][axis] for r in rows) for axis in (0, 1)]

    def leaves(rows, low, high, left):
        if left == 0 or len(rows) < split_at:
            return [(low, high, rows)]
        lat, lon = (0.5 * (low[0] + high[0]), 0.5 * (low[1] + high[1]))
        found = []
        for north in (False, True):
            for east in (False, True):
                inside = [
                    r for r in rows if (places[r][0] >= lat, places[r][1] >= lon) == (north, east)
                ]
                if inside:
                    corner = [lat if north else low[0], lon if east else low[1]]
                    far = [high[0] if north else lat, high[1] if east else lon]
                    found += leaves(inside, corner, far, left - 1)
        return found

    return leaves(rows, low, high, depth)


@pytest.mark.parametrize(("split_at", "depth"), [(1, 3), (5, 10), (40, 10), (1000, 10), (2, 0)])
def test_leaf_by_leaf_as_a_naive_recursion(split_at, depth):
    generator = np.random.default_rng(0)
    towns = generator.uniform([-50, -170], [70, 170], (12, 2))
    towns = towns[generator.integers(12, size=380)] + generator.normal(0, 0.4, (380, 2))
    # a lattice whose rows and columns lie on the lines that halve
    lattice = np.stack(np.meshgrid([-64.0, 0.0, 64.0], [-176.0, 0.0, 88.0, 176.0]), -1)
    places = np.concatenate([towns, towns[:9], lattice.reshape(-1, 2)])
    tree = quadtree(places, split_at=split_at, depth=depth)
    expected = naive(places.tolist(), split_at=split_at, depth=depth)
    assert len(tree.count) == len(expected)
    for leaf, (low, high, rows) in enumerate(expected):
        assert tree.low_deg[leaf].tolist() == low
        assert tree.high_deg[leaf].tolist() == high
        assert np.flatnonzero(tree.number == leaf).tolist() == rows
        assert tree.count[leaf] == len(rows)
    np.testing.assert_array_equal(tree.centres(), [np.add(a, b) / 2 for a, b, _ in expected])


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-90, 90), st.floats(-180, 180)), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(0, 6),
)
def test_no_leaf_is_too_full_above_the_greatest_depth_and_means_lie_inside(places, most, depth):
    places = np.array(places, dtype=np.float64)
    tree = quadtree(places, split_at=most, depth=depth)
    assert ((tree.count < most) | (tree.depth == depth)).all()
    assert tree.count.sum() == len(places)
    means = tree.means(places)
    for inside, number in ((places, tree.number), (means, np.arange(len(means)))):
        assert (inside >= tree.low_deg[number]).all()
        assert (inside <= tree.high_deg[number]).all()


def test_the_mean_of_a_leaf_is_that_of_its_degrees():
    places = np.array([[0.0, 0.0], [1.0, 3.0], [50.0, 90.0]])
    tree = quadtree(places, split_at=3)
    np.testing.assert_allclose(tree.means(places), [[0.5, 1.5], [50.0, 90.0]])


def test_what_makes_no_tree():
    with pytest.raises(DataError, match="at least one place"):
        quadtree(np.empty((0, 2)), split_at=5)
    with pytest.raises(ConfigError, match="at least 1"):
        quadtree(np.zeros((1, 2)), split_at=0)
    with pytest.raises(ConfigError, match="from 0 to 31"):
        quadtree(np.zeros((1, 2)), split_at=1, depth=32)
    with pytest.raises(CoordinateError):
        quadtree(np.array([[0.0, 200.0]]), split_at=1)
    assert len(quadtree(np.zeros((9, 2)), split_at=2, depth=31).count) == 1

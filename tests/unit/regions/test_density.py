from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import DBSCAN

from geoloc.errors import ConfigError
from geoloc.regions import density
from geoloc.regions.density import density_clusters


def pairs_of(loss, eps, part, generator):
    """The near pairs in parts, in any order and with either side first."""
    one, other = np.nonzero(np.triu(loss <= eps, 1))
    order = generator.permutation(len(one))
    swap = generator.random(len(one)) < 0.5
    one, other = np.where(swap, other, one)[order], np.where(swap, one, other)[order]
    return lambda: (
        (one[first : first + part], other[first : first + part])
        for first in range(0, len(one), part)
    )


@settings(max_examples=40, deadline=None)
@given(
    st.integers(2, 60),
    st.integers(0, 10**6),
    st.floats(0.02, 0.5),
    st.integers(1, 8),
    st.booleans(),
)
def test_equals_scikit_learn_number_for_number(count, seed, eps, least, held):
    generator = np.random.default_rng(seed)
    point = generator.random((count, 2))
    loss = np.linalg.norm(point[:, None] - point[None], axis=-1)
    theirs = DBSCAN(eps=eps, min_samples=least, metric="precomputed").fit(loss)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(density, "MOST_HELD", 10**6 if held else 3)
        label, core = density_clusters(count, pairs_of(loss, eps, 5, generator), min_samples=least)
    assert label.tolist() == theirs.labels_.tolist()
    assert np.flatnonzero(core).tolist() == theirs.core_sample_indices_.tolist()


def test_without_pairs_all_is_noise_or_each_is_its_own():
    empty = np.empty(0, dtype=np.int64)
    assert density_clusters(3, lambda: [(empty, empty)], min_samples=2)[0].tolist() == [-1] * 3
    assert density_clusters(3, list, min_samples=1)[0].tolist() == [0, 1, 2]
    with pytest.raises(ConfigError, match="at least"):
        density_clusters(3, list, min_samples=0)


def test_a_border_of_two_clusters_joins_the_first():
    point = np.array([0.75, 1.2, 1.3, 1.4, 1.5, 0.0, 0.1, 0.2, 0.3])
    loss = np.abs(point[:, None] - point)
    pairs = pairs_of(loss, 0.5, 4, np.random.default_rng(0))
    label, core = density_clusters(9, pairs, min_samples=4)
    assert label.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1]
    assert core.tolist() == [False] + [True] * 8

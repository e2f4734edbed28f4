from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.negatives import compose_batches


def random_hard(n: int, per_anchor: int, seed: int) -> np.ndarray:
    hard = np.random.default_rng(seed).integers(-1, n, size=(n, per_anchor))
    return np.where(hard == np.arange(n)[:, None], -1, hard)


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 90),
    batch_size=st.integers(1, 40),
    share=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
    seed=st.integers(0, 5),
)
def test_every_sample_comes_once_in_full_batches(n, batch_size, share, seed):
    latlon = sample_sphere(n, generator=np.random.default_rng(seed))
    hard = random_hard(n, 3, seed)
    batches = compose_batches(
        hard, latlon, batch_size=batch_size, share=share, same_place_km=500.0, seed=seed
    )
    assert sorted(np.concatenate(batches).tolist()) == list(range(n))
    assert all(len(batch) == batch_size for batch in batches[:-1])


def met(batches: list[np.ndarray], hard: np.ndarray) -> int:
    """Hard pairs (anchor, its hard negative) whose two samples share a batch."""
    batch_of = {int(row): number for number, rows in enumerate(batches) for row in rows}
    return sum(
        batch_of[row] == batch_of[other]
        for row, others in enumerate(hard.tolist())
        for other in others
        if other >= 0
    )


def test_hard_negatives_meet_their_anchors_up_to_the_share():
    n = 1000
    latlon = sample_sphere(n, generator=np.random.default_rng(0))
    # a chance pairing: each sample has one partner
    partner = np.random.default_rng(1).permutation(n).reshape(-1, 2)
    hard = np.empty((n, 1), dtype=np.int64)
    hard[partner[:, 0], 0], hard[partner[:, 1], 0] = partner[:, 1], partner[:, 0]
    count = {
        share: met(compose_batches(hard, latlon, batch_size=50, share=share), hard)
        for share in (0.0, 0.2, 0.5)
    }
    assert count[0.0] < 120
    assert 380 <= count[0.2] <= 500
    assert count[0.5] >= 950


def test_no_two_samples_of_one_place_share_a_batch_where_that_can_be():
    places = sample_sphere(40, generator=np.random.default_rng(0))
    latlon = np.repeat(places, 5, axis=0)
    hard = random_hard(200, 2, 0)
    batches = compose_batches(hard, latlon, batch_size=20, share=0.3, same_place_km=1.0)
    for rows in batches[:-2]:
        lag_km = great_circle_km(latlon[rows][:, None], latlon[rows][None])
        assert int((lag_km <= 1.0).sum()) == len(rows)


def test_more_samples_of_one_place_than_batches_are_still_all_given():
    latlon = np.zeros((30, 2))
    batches = compose_batches(
        np.full((30, 1), -1), latlon, batch_size=10, share=0.5, same_place_km=1.0
    )
    assert sorted(np.concatenate(batches).tolist()) == list(range(30))


def test_the_order_depends_on_seed_and_epoch_alone():
    latlon = sample_sphere(100, generator=np.random.default_rng(0))
    hard = random_hard(100, 2, 0)

    def order(seed: int, epoch: int) -> list[int]:
        batches = compose_batches(hard, latlon, batch_size=10, share=0.3, seed=seed, epoch=epoch)
        return np.concatenate(batches).tolist()

    assert order(1, 2) == order(1, 2)
    assert order(1, 2) != order(1, 3)
    assert order(1, 2) != order(2, 2)


def test_impossible_sizes_are_refused():
    hard, latlon = np.full((3, 1), -1), np.zeros((3, 2))
    with pytest.raises(ConfigError):
        compose_batches(hard, latlon, batch_size=0, share=0.0)
    with pytest.raises(ConfigError):
        compose_batches(hard, latlon, batch_size=2, share=1.0)

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import CheckpointError, ConfigError
from geoloc.negatives import PlaceQueue


def numbered(first: int, count: int) -> torch.Tensor:
    """Places (i, -i) for i from `first`: each row says when it was pushed."""
    number = torch.arange(first, first + count, dtype=torch.float64)
    return torch.stack([number, -number], dim=1)


def test_starts_empty_so_no_made_up_place_is_a_candidate():
    queue = PlaceQueue(4096)
    assert len(queue) == 0
    assert queue.places().shape == (0, 2)


def test_only_filled_slots_are_handed_out():
    queue = PlaceQueue(8)
    queue.push(numbered(0, 3))
    assert torch.equal(queue.places(), numbered(0, 3))
    assert queue.places().dtype == torch.float64


@given(capacity=st.integers(1, 9), sizes=st.lists(st.integers(0, 20), max_size=12))
def test_holds_the_last_places_whatever_the_batch_sizes(capacity: int, sizes: list[int]):
    queue = PlaceQueue(capacity)
    naive: list[float] = []
    for size in sizes:
        queue.push(numbered(len(naive), size))
        naive += [float(len(naive) + i) for i in range(size)]
    assert sorted(queue.places()[:, 0].tolist()) == naive[-capacity:]
    assert len(queue) == min(capacity, len(naive))
    assert torch.equal(queue.places()[:, 0], -queue.places()[:, 1])


def test_wraps_around_the_end_when_the_batch_does_not_divide_the_capacity():
    queue = PlaceQueue(5)
    queue.push(numbered(0, 3))
    queue.push(numbered(3, 3))
    assert queue.places()[:, 0].tolist() == [5.0, 1.0, 2.0, 3.0, 4.0]


def test_places_handed_out_do_not_change_with_the_next_push():
    queue = PlaceQueue(4)
    queue.push(numbered(0, 4))
    before = queue.places()
    queue.push(numbered(10, 4))
    assert torch.equal(before, numbered(0, 4))


def test_features_stay_beside_their_places_and_are_nan_where_none_was_given():
    queue = PlaceQueue(3, feature_dim=1)
    queue.push(numbered(0, 2), torch.tensor([[0.0], [1.0]]))
    queue.push(numbered(2, 2))
    features = queue.features()
    assert features is not None
    pairs = dict(zip(queue.places()[:, 0].tolist(), features[:, 0].tolist(), strict=True))
    assert pairs.pop(1.0) == 1.0
    assert set(pairs) == {2.0, 3.0}
    assert all(value != value for value in pairs.values())


def test_a_queue_of_places_alone_has_no_features():
    queue = PlaceQueue(3)
    queue.push(numbered(0, 2), torch.zeros(2, 4))
    assert queue.features() is None


@given(sizes=st.lists(st.integers(1, 7), min_size=2, max_size=6), cut=st.integers(0, 5))
def test_a_restored_queue_goes_on_exactly(sizes: list[int], cut: int):
    straight, first = PlaceQueue(5, feature_dim=1), PlaceQueue(5, feature_dim=1)
    done = 0
    for number, size in enumerate(sizes):
        if number == min(cut, len(sizes) - 1):
            state = first.state_dict()
            first = PlaceQueue(5, feature_dim=1)
            first.load_state_dict(state)
        for queue in (straight, first):
            queue.push(numbered(done, size), torch.full((size, 1), float(done)))
        done += size
    for name, value in straight.state_dict().items():
        assert torch.equal(value.nan_to_num(-1), first.state_dict()[name].nan_to_num(-1))


def test_the_state_is_a_copy():
    queue = PlaceQueue(2)
    state = queue.state_dict()
    queue.push(numbered(0, 2))
    assert torch.isnan(state["latlon_deg"]).all()


def test_state_of_another_capacity_is_refused():
    with pytest.raises(CheckpointError, match="queue size"):
        PlaceQueue(4).load_state_dict(PlaceQueue(5).state_dict())


@pytest.mark.parametrize(("capacity", "dim"), [(0, None), (3, 0)])
def test_impossible_sizes_are_refused(capacity: int, dim: int | None):
    with pytest.raises(ConfigError):
        PlaceQueue(capacity, feature_dim=dim)

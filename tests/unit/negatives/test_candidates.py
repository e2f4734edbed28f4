from __future__ import annotations

import pytest
import torch

from geoloc.batch import GeoBatch
from geoloc.errors import CheckpointError
from geoloc.negatives import BatchAndQueue, PlaceQueue


def batch(first: int, count: int) -> GeoBatch:
    number = torch.arange(first, first + count, dtype=torch.float64)
    return GeoBatch(
        key=tuple(f"k{first + i}" for i in range(count)),
        latlon_deg=torch.stack([number, number], dim=1),
        feature=number[:, None].float().repeat(1, 2),
    )


def test_the_first_candidates_are_the_own_places_then_the_queue():
    source = BatchAndQueue(PlaceQueue(8))
    assert source.candidates(batch(0, 3)).own().shape == (3, 3)
    source.update(batch(0, 3))
    candidates = source.candidates(batch(5, 2))
    assert candidates.batch_places == 2
    assert candidates.latlon_deg[:, 0].tolist() == [5, 6, 0, 1, 2]
    assert torch.equal(candidates.own(), torch.eye(2, 5, dtype=torch.bool))
    assert torch.equal(candidates.own(slice(1, 2)), torch.eye(2, 5, dtype=torch.bool)[1:])


def test_asking_for_candidates_changes_nothing():
    source = BatchAndQueue(PlaceQueue(8))
    source.candidates(batch(0, 3))
    assert source.candidates(batch(0, 3)).latlon_deg.shape == (3, 2)


def test_features_of_a_queue_of_places_alone_are_unknown():
    source = BatchAndQueue(PlaceQueue(8))
    source.update(batch(0, 3))
    feature = source.candidates(batch(5, 2)).feature
    assert feature is not None
    assert feature[:2, 0].tolist() == [5.0, 6.0]
    assert torch.isnan(feature[2:]).all()


def test_features_of_a_queue_that_keeps_them_are_those_of_the_places():
    source = BatchAndQueue(PlaceQueue(4, feature_dim=2))
    source.update(batch(0, 3))
    source.update(batch(3, 3))
    candidates = source.candidates(batch(9, 1))
    assert candidates.feature is not None
    assert torch.equal(candidates.feature[:, 0].double(), candidates.latlon_deg[:, 0])


def test_without_a_queue_the_batch_is_compared_with_itself():
    source = BatchAndQueue()
    source.update(batch(0, 3))
    assert source.candidates(batch(4, 2)).own().shape == (2, 2)
    assert source.state_dict() == {}


def test_state_of_a_queue_is_refused_without_one():
    with pytest.raises(CheckpointError, match="none"):
        BatchAndQueue().load_state_dict(PlaceQueue(2).state_dict())

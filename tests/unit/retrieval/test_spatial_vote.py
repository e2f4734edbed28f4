from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km
from geoloc.retrieval import ExactIndex, SpatialVoteIndex


def test_a_crowd_outvotes_a_lone_best():
    """The best is alone in Fiji; the next four stand around Paris."""
    angle = [0.30, 0.31, 0.32, 0.33, 0.34, 1.0]
    vectors = torch.tensor([[math.cos(a), math.sin(a)] for a in angle])
    places = np.array(
        [[-17.7, 178.0], [48.8, 2.3], [48.9, 2.4], [48.7, 2.3], [48.8, 2.2], [35.7, 139.7]]
    )
    query = torch.tensor([[1.0, 0.0]])
    inner = ExactIndex(vectors)
    assert inner.search(query, 1).index.item() == 0
    voted = SpatialVoteIndex(inner, places, scale=10.0, bandwidth_km=50.0).search(query, 3)
    assert 0 not in voted.index[0].tolist()
    # With a scale at which only the best counts there is nothing to vote about.
    sharp = SpatialVoteIndex(inner, places, scale=1e4, bandwidth_km=50.0).search(query, 1)
    assert sharp.index.item() == 0


def test_density_equals_a_naive_loop(rows):
    vectors, query = rows(40, 8, 0), rows(3, 8, 1)
    places = np.random.default_rng(0).uniform((-60, -170), (60, 170), size=(40, 2))
    inner, scale, wide_km = ExactIndex(vectors), 7.0, 3000.0
    found = SpatialVoteIndex(inner, places, scale=scale, bandwidth_km=wide_km, voters=12)
    voted = found.search(query, 12)
    for row in range(3):
        short = inner.search(query[row : row + 1], 12)
        index, score = short.index[0].tolist(), short.score[0].tolist()
        weight = [math.exp(scale * (s - score[0])) for s in score]
        density = [
            sum(
                w * math.exp(-0.5 * (float(great_circle_km(places[i], places[j])) / wide_km) ** 2)
                for j, w in zip(index, weight, strict=True)
            )
            for i in index
        ]
        expected = [index[at] for at in np.argsort(-np.array(density), kind="stable")]
        assert voted.index[row].tolist() == expected
        told = dict(zip(index, score, strict=True))
        assert voted.score[row].tolist() == [told[i] for i in expected]


def test_equal_places_keep_the_order_of_their_scores(rows):
    vectors, query = rows(6, 8, 0), rows(1, 8, 1)
    inner, places = ExactIndex(vectors), np.full((6, 2), 12.5)
    voted = SpatialVoteIndex(inner, places, scale=5.0, bandwidth_km=10.0).search(query, 6)
    assert torch.equal(voted.index, inner.search(query, 6).index)


def test_a_bandwidth_of_nothing_is_refused(rows):
    inner = ExactIndex(rows(4, 8, 0))
    for wrong in (0.0, -1.0, float("nan")):
        with pytest.raises(ConfigError, match="bandwidth"):
            SpatialVoteIndex(inner, np.zeros((4, 2)), scale=1.0, bandwidth_km=wrong)
    some = SpatialVoteIndex(inner, np.zeros((4, 2)), scale=1.0, bandwidth_km=1.0)
    with pytest.raises(ValueError, match="k must be"):
        some.search(rows(1, 8, 1), 0)
    with pytest.raises(ValueError, match="3 places for 4"):
        SpatialVoteIndex(inner, np.zeros((3, 2)), scale=1.0, bandwidth_km=1.0)


def test_who_votes_does_not_depend_on_how_many_are_asked_for(rows):
    gallery, query = rows(200, 8, seed=0), rows(3, 8, seed=1)
    places = np.random.default_rng(0).uniform((-60, -180), (60, 180), (200, 2))
    index = SpatialVoteIndex(
        ExactIndex(gallery), places, scale=10.0, bandwidth_km=2000.0, voters=20
    )
    deep = index.search(query, 200).index
    for k in (1, 5, 20, 21, 60):
        assert torch.equal(index.search(query, k).index, deep[:, :k])
    by_score = ExactIndex(gallery).search(query, 200).index
    assert {*deep[0, :20].tolist()} == {*by_score[0, :20].tolist()}
    assert torch.equal(deep[:, 20:], by_score[:, 20:])

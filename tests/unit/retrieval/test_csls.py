from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.retrieval import csls, hubness, nearness_to_queries


def _naive_csls(query, candidate, calibration, k):
    """Equation 3 of Conneau et al. 2018, pair by pair."""
    table = np.empty((len(query), len(candidate)))
    for x in range(len(query)):
        for y in range(len(candidate)):
            to_targets = sorted((float(query[x] @ c) for c in candidate), reverse=True)[:k]
            to_sources = sorted((float(q @ candidate[y]) for q in calibration), reverse=True)[:k]
            cosine = float(query[x] @ candidate[y])
            table[x, y] = 2 * cosine - sum(to_targets) / k - sum(to_sources) / k
    return table


@pytest.mark.parametrize("k", [1, 3, 10])
def test_the_offset_orders_as_equation_3_does(rows, k, monkeypatch):
    # Few scores at a time, so that candidates are passed over in blocks.
    monkeypatch.setattr(csls, "_SCORES_AT_A_TIME", 64)
    query, candidate, calibration = rows(6, 8, 0), rows(40, 8, 1), rows(25, 8, 2)
    near = nearness_to_queries(candidate, torch.zeros(40), calibration, neighbours=k)
    ours = query @ candidate.T - near / 2
    theirs = torch.from_numpy(_naive_csls(query, candidate, calibration, k))
    assert torch.equal(ours.argsort(1, descending=True), theirs.argsort(1, descending=True))
    # Half of equation 3, up to what is the query's own.
    difference = ours.double() - theirs / 2
    torch.testing.assert_close(difference, difference[:, :1].expand(6, 40), atol=1e-6, rtol=0)


def test_an_images_own_candidate_does_not_count(rows):
    image = rows(12, 8, 0)
    own = torch.arange(12)
    near = nearness_to_queries(image, torch.zeros(12), image, neighbours=3, own=own)
    for row in range(12):
        others = torch.cat([image[:row], image[row + 1 :]])
        expected = (others @ image[row]).topk(3).values.mean()
        assert float(near[row]) == pytest.approx(float(expected), abs=1e-6)
    none = nearness_to_queries(
        image, torch.zeros(12), image, neighbours=3, own=torch.full((12,), -1)
    )
    assert bool((none > near).all())


def test_an_offset_that_is_there_already_counts(rows):
    candidate, calibration = rows(9, 8, 0), rows(20, 8, 1)
    offset = torch.linspace(-1, 1, 9)
    plain = nearness_to_queries(candidate, torch.zeros(9), calibration, neighbours=4)
    torch.testing.assert_close(
        nearness_to_queries(candidate, offset, calibration, neighbours=4), plain + offset
    )


@pytest.mark.parametrize("neighbours", [0, 20, 21])
def test_too_few_calibration_images_are_refused(rows, neighbours):
    with pytest.raises(ConfigError, match="calibration images"):
        nearness_to_queries(rows(3, 8, 0), torch.zeros(3), rows(20, 8, 1), neighbours=neighbours)


def test_hubness_of_known_rankings():
    even = hubness(np.arange(12).reshape(6, 2), 12)
    assert (even.skewness, even.never_share, even.largest, even.k) == (0.0, 0.0, 1, 2)
    hub = hubness(np.zeros((5, 1), dtype=np.int64), 4)
    # Occurrences 5, 0, 0, 0: third moment 11.71875, variance 4.6875.
    assert hub.skewness == pytest.approx(11.71875 / 4.6875**1.5)
    assert (hub.never_share, hub.largest) == (0.75, 5)
    for index in (np.array([[4]]), np.array([[-1]]), np.zeros((0, 2), dtype=np.int64)):
        with pytest.raises(ValueError, match="ranking"):
            hubness(index, 4)


def test_skewness_equals_scipys():
    from scipy.stats import skew

    index = np.random.default_rng(0).geometric(0.1, size=(50, 3)).clip(max=40) - 1
    occurrence = np.bincount(index.ravel(), minlength=40)
    assert hubness(index, 40).skewness == pytest.approx(float(skew(occurrence)))

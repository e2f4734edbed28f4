from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.retrieval import ExactIndex, FaissFlatIndex, NearestIndex


def test_same_answers_in_km_and_in_score_as_exact_search(rows):
    pytest.importorskip("faiss")
    places = sample_sphere(4000, generator=np.random.default_rng(0))
    candidate, query = rows(4000, 64, 0), rows(200, 64, 1)
    exact = ExactIndex(candidate).search(query, 5)
    other = FaissFlatIndex(candidate).search(query, 5)
    torch.testing.assert_close(other.score, exact.score, atol=1e-5, rtol=0)
    km = great_circle_km(places[exact.index.numpy()], places[other.index.numpy()])
    assert float(np.max(km)) == 0.0
    assert isinstance(FaissFlatIndex(candidate), NearestIndex)


def test_k_beyond_the_gallery_and_order_of_ties(rows):
    pytest.importorskip("faiss")
    candidate = rows(1, 8, 0).expand(4, 8)
    got = FaissFlatIndex(candidate).search(rows(2, 8, 1), 9)
    assert got.index.tolist() == [[0, 1, 2, 3]] * 2


def test_vectors_not_of_length_one_are_refused(rows):
    pytest.importorskip("faiss")
    with pytest.raises(DataError, match="candidate embedding 0"):
        FaissFlatIndex(2.0 * rows(4, 8, 0))
    with pytest.raises(DataError, match="query embedding 0"):
        FaissFlatIndex(rows(4, 8, 0)).search(2.0 * rows(4, 8, 0), 1)


def test_without_faiss_the_extra_is_named(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"geoloc\[cpu\]"):
        FaissFlatIndex(rows(4, 8, 0))

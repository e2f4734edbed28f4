from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.inference.decoding import log_normaliser, rank_places
from geoloc.retrieval import ExactIndex


def unit_rows(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 8, generator=generator), dim=1)


@given(places=st.integers(1, 60), block=st.integers(1, 70), scale=st.floats(0.1, 100.0))
def test_normaliser_does_not_depend_on_the_block(places: int, block: int, scale: float) -> None:
    query, gallery = unit_rows(3, 0), unit_rows(places, 1)
    got = log_normaliser(query, gallery, scale, block=block)
    cosine = (query.double() @ gallery.double().T).numpy()
    naive = [np.log(sum(np.exp(scale * value) for value in row)) for row in cosine]
    assert got.numpy() == pytest.approx(naive, abs=1e-4)


def test_probability_is_over_the_whole_gallery_not_the_top() -> None:
    query, gallery = unit_rows(4, 0), unit_rows(50, 1)
    ranked = rank_places(query, gallery, ExactIndex(gallery), scale=20.0, top_k=3)
    logits = 20.0 * (query.double() @ gallery.double().T)
    softmax = torch.softmax(logits, dim=1)
    expected = torch.gather(softmax, 1, torch.from_numpy(ranked.index)).numpy()
    assert ranked.probability == pytest.approx(expected, rel=1e-5)
    assert (ranked.probability.sum(axis=1) < 0.999).all()
    assert (np.diff(ranked.score, axis=1) <= 0).all()


def test_the_whole_gallery_sums_to_one() -> None:
    query, gallery = unit_rows(2, 3), unit_rows(9, 4)
    ranked = rank_places(query, gallery, ExactIndex(gallery), scale=5.0, top_k=9)
    assert ranked.probability.sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-5)


def test_a_large_scale_neither_overflows_nor_exceeds_one() -> None:
    gallery = unit_rows(5, 0)
    ranked = rank_places(gallery[:1], gallery, ExactIndex(gallery), scale=1e4, top_k=2)
    assert ranked.index[0, 0] == 0
    assert 0.999 < ranked.probability[0, 0] <= 1.0
    assert np.isfinite(ranked.probability).all()

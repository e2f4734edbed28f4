from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.inference.gallery_posterior import (
    GalleryPosterior,
    independent_images,
    pooled_query,
)


def unit_rows(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, 8, generator=generator), dim=1)


@given(places=st.integers(1, 60), scale=st.floats(0.1, 100.0))
def test_the_posterior_is_the_softmax_written_out(places: int, scale: float) -> None:
    query, gallery = unit_rows(3, 0), unit_rows(places, 1)
    got = GalleryPosterior.of(query, gallery, scale=scale)
    for row in range(3):
        score = [float(query[row].double() @ place.double()) for place in gallery]
        weight = np.exp(scale * (np.array(score) - max(score)))
        assert got.score[row].tolist() == pytest.approx(score, abs=1e-6)
        assert got.probability[row].tolist() == pytest.approx(
            (weight / weight.sum()).tolist(), rel=1e-3, abs=1e-7
        )


def test_offsets_move_scores_and_probabilities() -> None:
    query, gallery = unit_rows(2, 0), unit_rows(5, 1)
    offset = torch.tensor([0.0, 0.0, 0.5, 0.0, -0.5])
    got = GalleryPosterior.of(query, gallery, scale=7.0, offset=offset)
    plain = GalleryPosterior.of(query, gallery, scale=7.0)
    assert torch.allclose(got.score - plain.score, offset.expand(2, -1), atol=1e-6)
    odds = (got.probability[:, 2] / got.probability[:, 4]).log()
    before = (plain.probability[:, 2] / plain.probability[:, 4]).log()
    assert (odds - before).tolist() == pytest.approx([7.0, 7.0], abs=1e-4)


def test_a_large_scale_neither_overflows_nor_exceeds_one() -> None:
    gallery = unit_rows(5, 0)
    got = GalleryPosterior.of(gallery[:1], gallery, scale=1e4)
    assert got.by_score(2)[0, 0] == 0
    assert 0.999 < got.probability[0, 0] <= 1.0
    assert torch.isfinite(got.probability).all()
    assert got.by_score(50).shape == (1, 5)


@pytest.mark.parametrize(("likeness", "worth"), [(1.0, 1.0), (0.0, 4.0), (0.5, 1.6)])
def test_images_of_one_place_are_worth_as_many_as_are_independent(likeness, worth) -> None:
    assert independent_images(4, likeness) == pytest.approx(worth)
    assert independent_images(1, likeness) == 1.0


def test_independent_images_pool_to_the_product_of_their_posteriors() -> None:
    query, gallery = unit_rows(3, 0), unit_rows(20, 1)
    each = GalleryPosterior.of(query, gallery, scale=9.0).probability.double()
    product = each.prod(dim=0)
    pooled = GalleryPosterior.of(
        pooled_query(query), gallery, scale=9.0 * independent_images(3, 0.0)
    )
    assert pooled.probability[0].tolist() == pytest.approx(
        (product / product.sum()).tolist(), rel=1e-4
    )
    assert pooled.score[0].tolist() == pytest.approx(
        (query @ gallery.T).mean(dim=0).tolist(), abs=1e-6
    )

from __future__ import annotations

from functools import partial

import pytest
import torch

from geoloc.errors import DataError
from geoloc.retrieval import ExactIndex, NearestIndex, OffsetIndex, build_index


@pytest.mark.parametrize("kind", ["exact", "faiss-flat"])
def test_order_and_scores_are_those_of_product_plus_offset(rows, kind):
    query, generator = rows(7, 12, 0), torch.Generator().manual_seed(1)
    vector = rows(90, 12, 1) * torch.rand(90, 1, generator=generator)
    offset = 2.0 * torch.randn(90, generator=generator)
    found = OffsetIndex(vector, offset, partial(build_index, kind)).search(query, 20)
    score = query @ vector.T + offset
    order = score.argsort(dim=1, descending=True)[:, :20]
    assert torch.equal(found.index, order)
    torch.testing.assert_close(found.score, score.gather(1, order), atol=3e-6, rtol=0)


def test_equal_candidates_keep_the_order_of_their_rows(rows):
    vector = rows(1, 6, 0).expand(5, 6) * 0.5
    found = OffsetIndex(vector, torch.tensor([0.1, 0.3, 0.3, 0.1, 0.3]), ExactIndex)
    assert found.search(rows(1, 6, 3), 5).index.tolist() == [[1, 2, 4, 0, 3]]


def test_it_is_an_index_and_refuses_what_indices_refuse(rows):
    index = OffsetIndex(rows(4, 6, 0), torch.zeros(4), ExactIndex)
    assert isinstance(index, NearestIndex)
    assert len(index) == 4
    assert index.search(rows(2, 6, 1), 9).index.shape == (2, 4)
    with pytest.raises(DataError, match="length"):
        index.search(2 * rows(2, 6, 1), 1)
    with pytest.raises(ValueError, match="k must be"):
        index.search(rows(2, 6, 1), 0)
    with pytest.raises(ValueError, match="width"):
        index.search(rows(2, 5, 1), 1)
    with pytest.raises(ValueError, match="not zero"):
        OffsetIndex(torch.zeros(3, 6), torch.zeros(3), ExactIndex)

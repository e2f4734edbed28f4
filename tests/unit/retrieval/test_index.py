from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import DataError
from geoloc.retrieval import ExactIndex, NearestIndex
from geoloc.retrieval import index as index_module


def naive(query, candidate, k):
    """Every pair in float64, rounded to float32; sorted by falling score, then by index."""
    score = (query.double()[:, None] * candidate.double()[None]).sum(-1).float().numpy()
    order = np.stack([np.lexsort((np.arange(len(row)), -row))[:k] for row in score])
    return order, np.take_along_axis(score, order, 1)


@pytest.mark.parametrize("k", [1, 5, 40])
def test_equals_the_naive_search(rows, k):
    candidate, query = rows(3000, 32, 0), rows(300, 32, 1)
    got = ExactIndex(candidate).search(query, k)
    order, score = naive(query, candidate, k)
    np.testing.assert_array_equal(got.index.numpy(), order)
    np.testing.assert_array_equal(got.score.numpy(), score)


@given(
    distinct=st.integers(1, 12),
    count=st.integers(1, 200),
    k=st.integers(1, 60),
    seed=st.integers(0, 10_000),
)
def test_ties_go_to_the_lower_index_also_across_the_kth_best(distinct, count, k, seed):
    generator = torch.Generator().manual_seed(seed)
    few = torch.nn.functional.normalize(torch.randn(distinct, 7, generator=generator), dim=1)
    candidate = few[torch.randint(distinct, (count,), generator=generator)]
    query = torch.nn.functional.normalize(torch.randn(5, 7, generator=generator), dim=1)
    got = ExactIndex(candidate).search(query, k)
    order, score = naive(query, candidate, k)
    np.testing.assert_array_equal(got.index.numpy(), order)
    np.testing.assert_array_equal(got.score.numpy(), score)


def test_ties_across_blocks_of_candidates_and_far_beyond_the_margin(rows, monkeypatch):
    monkeypatch.setattr(index_module, "_CANDIDATES_AT_A_TIME", 37)
    monkeypatch.setattr(index_module, "_PRODUCTS_AT_A_TIME", 64)
    same = rows(1, 16, 0).expand(500, 16)
    candidate = torch.cat([rows(100, 16, 1), same, rows(100, 16, 2)])
    query = torch.cat([rows(1, 16, 0), rows(9, 16, 3)])
    got = ExactIndex(candidate).search(query, 10)
    assert got.index[0].tolist() == list(range(100, 110))
    np.testing.assert_array_equal(got.index.numpy(), naive(query, candidate, 10)[0])


def test_near_ties_closer_than_the_products_rounding_are_still_in_exact_order(rows):
    generator = torch.Generator().manual_seed(0)
    noise = 3e-4 * torch.randn(4000, 64, generator=generator)
    candidate = torch.nn.functional.normalize(rows(1, 64, 1) + noise, dim=1)
    query = rows(1, 64, 1)
    got = ExactIndex(candidate).search(query, 50)
    np.testing.assert_array_equal(got.index.numpy(), naive(query, candidate, 50)[0])


def test_blocks_do_not_change_the_answer(rows, monkeypatch):
    candidate, query = rows(1000, 24, 0), rows(70, 24, 1)
    whole = ExactIndex(candidate).search(query, 9)
    for name, size in (("_QUERIES_AT_A_TIME", 11), ("_CANDIDATES_AT_A_TIME", 64)):
        monkeypatch.setattr(index_module, name, size)
    blocked = ExactIndex(candidate).search(query, 9)
    assert torch.equal(whole.index, blocked.index)
    assert torch.equal(whole.score, blocked.score)


def test_k_beyond_the_gallery_gives_all_of_it(rows):
    got = ExactIndex(rows(3, 8, 0)).search(rows(4, 8, 1), 10)
    assert got.index.shape == got.score.shape == (4, 3)
    assert got.index.sort(dim=1).values.tolist() == [[0, 1, 2]] * 4


def test_no_queries_no_answers(rows):
    assert ExactIndex(rows(30, 8, 0)).search(rows(0, 8, 1), 5).index.shape == (0, 5)


def test_vectors_not_of_length_one_are_refused(rows):
    index = ExactIndex(rows(5, 8, 0))
    with pytest.raises(DataError, match="query embedding 1 has length 2"):
        index.search(rows(2, 8, 1) * torch.tensor([[1.0], [2.0]]), 1)
    with pytest.raises(DataError, match="candidate embedding 0"):
        ExactIndex(3.0 * rows(5, 8, 0))
    with pytest.raises(DataError, match="length nan"):
        index.search(torch.full((1, 8), torch.nan), 1)


def test_impossible_questions_are_refused(rows):
    index = ExactIndex(rows(5, 8, 0))
    with pytest.raises(ValueError, match="k must be"):
        index.search(rows(2, 8, 1), 0)
    with pytest.raises(ValueError, match="width 9"):
        index.search(rows(2, 9, 1), 1)
    with pytest.raises(ValueError, match="at least one candidate"):
        ExactIndex(rows(0, 8, 0))


def test_half_precision_and_gradients_are_taken(rows):
    candidate = rows(50, 16, 0).requires_grad_()
    got = ExactIndex(candidate).search(rows(3, 16, 1).half(), 2)
    assert got.score.dtype == torch.float32
    assert not got.score.requires_grad
    assert isinstance(ExactIndex(candidate), NearestIndex)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.gpu
def test_a_gpu_gives_the_answer_of_the_cpu(rows):
    candidate, query = rows(5000, 64, 0), rows(100, 64, 1)
    here, there = (ExactIndex(candidate, device=d).search(query, 8) for d in ("cpu", "cuda"))
    assert there.index.device.type == "cpu"
    assert torch.equal(here.index, there.index)

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from geoloc.errors import ConfigError, DataError
from geoloc.retrieval import ExactIndex, NearestIndex
from geoloc.retrieval import index as index_module
from geoloc.retrieval import vector_rows as rows_module
from geoloc.retrieval.first_pass import CodedPass, FloatPass
from geoloc.retrieval.hits import Tiling, find_hits
from geoloc.retrieval.vector_rows import HeldVectors

PASSES = ["float32", "float16", "int8"]


def naive(query, candidate, k):
    """Every pair in float64, rounded to float32; sorted by falling score, then by index."""
    score = (query.double()[:, None] * candidate.double()[None]).sum(-1).float().numpy()
    order = np.stack([np.lexsort((np.arange(len(row)), -row))[:k] for row in score])
    return order, np.take_along_axis(score, order, 1)


@pytest.mark.parametrize("first_pass", PASSES)
@pytest.mark.parametrize("k", [1, 5, 40])
def test_equals_the_naive_search(rows, k, first_pass):
    candidate, query = rows(3000, 32, 0), rows(300, 32, 1)
    tiling = Tiling(tile=500, group=16)
    got = ExactIndex(candidate, first_pass=first_pass, tiling=tiling).search(query, k)
    order, score = naive(query, candidate, k)
    np.testing.assert_array_equal(got.index.numpy(), order)
    np.testing.assert_array_equal(got.score.numpy(), score)


@given(
    distinct=st.integers(1, 12),
    count=st.integers(1, 200),
    k=st.integers(1, 60),
    seed=st.integers(0, 10_000),
    first_pass=st.sampled_from(PASSES),
    tiling=st.builds(
        Tiling, tile=st.integers(1, 90), group=st.integers(1, 20), most=st.integers(1, 2000)
    ),
)
def test_ties_go_to_the_lower_index_also_across_the_kth_best(
    distinct, count, k, seed, first_pass, tiling
):
    generator = torch.Generator().manual_seed(seed)
    few = torch.nn.functional.normalize(torch.randn(distinct, 7, generator=generator), dim=1)
    candidate = few[torch.randint(distinct, (count,), generator=generator)]
    query = torch.nn.functional.normalize(torch.randn(5, 7, generator=generator), dim=1)
    index = ExactIndex(candidate, first_pass=first_pass, tiling=tiling)
    got = index.search(query, k)
    order, score = naive(query, candidate, k)
    np.testing.assert_array_equal(got.index.numpy(), order)
    np.testing.assert_array_equal(got.score.numpy(), score)


@pytest.mark.parametrize("first_pass", PASSES)
def test_ties_across_tiles_and_beyond_every_list(rows, monkeypatch, first_pass):
    monkeypatch.setattr(rows_module, "_PRODUCTS_AT_A_TIME", 64)
    same = rows(1, 16, 0).expand(500, 16)
    candidate = torch.cat([rows(100, 16, 1), same, rows(100, 16, 2)])
    query = torch.cat([rows(1, 16, 0), rows(9, 16, 3)])
    tiling = Tiling(tile=37, group=4, most=1000)
    got = ExactIndex(candidate, first_pass=first_pass, tiling=tiling).search(query, 10)
    assert got.index[0].tolist() == list(range(100, 110))
    np.testing.assert_array_equal(got.index.numpy(), naive(query, candidate, 10)[0])


@pytest.mark.parametrize("first_pass", PASSES)
def test_lists_too_long_to_be_padded_are_settled_one_by_one(rows, monkeypatch, first_pass):
    monkeypatch.setattr(index_module, "_LONGEST_LIST", 20)
    candidate = torch.cat([rows(1, 16, 0).expand(300, 16), rows(300, 16, 2)])
    query = torch.cat([candidate[:1], rows(9, 16, 3)])
    got = ExactIndex(candidate, first_pass=first_pass).search(query, 4)
    order, score = naive(query, candidate, 4)
    np.testing.assert_array_equal(got.index.numpy(), order)
    np.testing.assert_array_equal(got.score.numpy(), score)


@pytest.mark.parametrize("first_pass", PASSES)
def test_near_ties_closer_than_the_products_rounding_are_still_in_exact_order(rows, first_pass):
    generator = torch.Generator().manual_seed(0)
    noise = 3e-4 * torch.randn(4000, 64, generator=generator)
    candidate = torch.nn.functional.normalize(rows(1, 64, 1) + noise, dim=1)
    query = rows(1, 64, 1)
    got = ExactIndex(candidate, first_pass=first_pass).search(query, 50)
    np.testing.assert_array_equal(got.index.numpy(), naive(query, candidate, 50)[0])


def test_the_coded_pass_is_taken_once_it_pays_and_answers_alike(rows, monkeypatch):
    candidate, query = rows(1000, 24, 0), rows(70, 24, 1)
    monkeypatch.setattr(index_module, "fastest_precision", lambda device: "int8")
    whole = ExactIndex(candidate).search(query, 9)
    monkeypatch.setattr(index_module, "_QUERIES_AT_A_TIME", 11)
    monkeypatch.setattr(index_module, "_QUERIES_WORTH_CODING", 100)
    index = ExactIndex(candidate)
    taken = []
    for _ in range(2):
        blocked = index.search(query, 9)
        taken.append(type(index._first_pass))
        assert torch.equal(whole.index, blocked.index)
        assert torch.equal(whole.score, blocked.score)
    assert taken == [type(None), CodedPass]


@pytest.mark.parametrize("peaked", [False, True])
@pytest.mark.parametrize("first_pass", PASSES)
def test_the_window_is_twice_a_true_bound_and_not_absurd(rows, first_pass, peaked):
    stretch = torch.ones(48)
    stretch[0] = 40.0 if peaked else 1.0
    candidate = torch.nn.functional.normalize(rows(2000, 48, 0) * stretch, dim=1)
    query = torch.nn.functional.normalize(rows(50, 48, 1) * stretch, dim=1)
    held = HeldVectors(candidate)
    one = FloatPass(held) if first_pass == "float32" else CodedPass(held, first_pass)
    prepared = one.prepare(query)
    product = one.product(prepared.code, 0, 2000).double()
    true = query.double() @ candidate.double().T
    # int8 counts in its own unit, which the best fit gives.
    unit = (product * true).sum(1, keepdim=True) / (product * product).sum(1, keepdim=True)
    error = ((product * unit - true) / unit).abs().amax(dim=1)
    half = prepared.window.double().flatten() / 2
    assert bool((error <= half).all())
    assert (
        float((half * unit.flatten()).max())
        < {"float32": 1e-4, "float16": 2e-3, "int8": 0.06}[first_pass]
    )


def test_hits_are_all_and_only_what_reaches_the_window(rows):
    candidate, query = rows(333, 8, 0), rows(20, 8, 1)
    one = CodedPass(HeldVectors(candidate), "int8")
    tiling = Tiling(tile=50, group=7)
    hits = find_hits(one, query, 3, count=333, tiling=tiling)
    prepared = one.prepare(query)
    product = one.product(prepared.code, 0, 333)
    maxima = product.topk(3, dim=1).values[:, -1:]
    found = torch.zeros(20, 333, dtype=torch.bool)
    found[hits.row, hits.column] = True
    assert len(hits.row) == int(found.sum())
    # A group's maximum stands for the group, so the k-th best known may be a little low.
    assert bool(found[product >= maxima - prepared.window].all())
    assert int(found.sum()) < 2 * int((product >= maxima - prepared.window).sum())
    assert hits.overfull.tolist() == []


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
@pytest.mark.parametrize("first_pass", ["float32", "float16"])
def test_a_gpu_gives_the_answer_of_the_cpu(rows, first_pass):
    candidate, query = rows(5000, 64, 0), rows(100, 64, 1)
    tiling = Tiling(tile=1024)
    here = ExactIndex(candidate, device="cpu").search(query, 8)
    there = ExactIndex(candidate, device="cuda", first_pass=first_pass, tiling=tiling)
    got = there.search(query, 8)
    assert got.index.device.type == "cpu"
    assert torch.equal(here.index, got.index)
    torch.testing.assert_close(here.score, got.score)


def test_int8_is_refused_where_it_is_not_for():
    candidate = HeldVectors(torch.nn.functional.normalize(torch.ones(3, 4), dim=1))
    elsewhere = type("Elsewhere", (HeldVectors,), {"device": torch.device("cuda")})
    candidate.__class__ = elsewhere
    with pytest.raises(ConfigError, match="take float16"):
        CodedPass(candidate, "int8")

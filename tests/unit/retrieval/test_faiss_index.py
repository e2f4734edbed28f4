from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import great_circle_km, sample_sphere
from geoloc.retrieval import ExactIndex, build_index

faiss = pytest.importorskip("faiss")

EXHAUSTIVE = [
    "faiss-flat",
    "faiss-ivf:nlist=20,nprobe=20",
    "faiss-ivf:nlist=20,nprobe=20,bits=16",
    "faiss-ivf:nlist=20,nprobe=20,bits=8",
    "faiss-pq:nlist=8,nprobe=8,bytes=16,rescore=3000",
]


@pytest.fixture(scope="module")
def towns():
    """Tight clusters, as places of one town are, and queries near some of them."""
    generator = torch.Generator().manual_seed(0)
    centre = torch.randn(100, 32, generator=generator)
    near = centre.repeat_interleave(20, 0) + 0.2 * torch.randn(2000, 32, generator=generator)
    candidate = torch.nn.functional.normalize(near, dim=1)
    query = centre[:64] + 0.3 * torch.randn(64, 32, generator=generator)
    return candidate, torch.nn.functional.normalize(query, dim=1)


@pytest.mark.parametrize("word", EXHAUSTIVE)
def test_what_looks_everywhere_answers_as_exact_search_does(rows, word):
    places = sample_sphere(2000, generator=np.random.default_rng(0))
    candidate, query = rows(2000, 32, 0), rows(100, 32, 1)
    exact = ExactIndex(candidate).search(query, 5)
    other = build_index(word, candidate).search(query, 5)
    assert torch.equal(other.index, exact.index)
    assert torch.equal(other.score, exact.score)
    km = great_circle_km(places[exact.index.numpy()], places[other.index.numpy()])
    assert float(np.max(km)) == 0.0


@pytest.mark.parametrize(
    "word",
    [
        "faiss-ivf:nlist=50,nprobe=4",
        "faiss-ivf:nlist=50,nprobe=4,bits=8",
        "faiss-hnsw:links=16,ef_search=64",
        "faiss-pq:nlist=50,nprobe=4,bytes=8,rescore=200",
    ],
)
def test_what_looks_in_few_places_finds_the_nearest_of_a_town_and_scores_it_truly(towns, word):
    candidate, query = towns
    exact = ExactIndex(candidate).search(query, 1)
    other = build_index(word, candidate).search(query, 5)
    assert float((other.index[:, :1] == exact.index).float().mean()) >= 0.95
    true = (query.double()[:, None] * candidate.double()[other.index]).sum(-1).float()
    assert torch.equal(other.score, true)


def test_rescoring_is_what_makes_a_product_quantiser_right(towns):
    candidate, query = towns
    exact = ExactIndex(candidate).search(query, 1)
    index = build_index("faiss-pq:nlist=4,nprobe=4,bytes=2,rescore=1000", candidate)
    _, unscored = index._index.search(query.numpy(), 1)
    right = [
        float((found == exact.index).float().mean())
        for found in (torch.from_numpy(unscored), index.search(query, 1).index)
    ]
    assert right[0] < 0.8
    assert right[1] == 1.0


@pytest.mark.parametrize("word", [*EXHAUSTIVE[:3], "faiss-hnsw"])
def test_k_beyond_the_gallery_and_order_of_ties(rows, word):
    candidate = torch.cat([rows(1, 8, 0).expand(30, 8), rows(1, 8, 1)])
    got = build_index(word, candidate).search(candidate[[0, 30]], 99)
    assert got.index[0].tolist() == list(range(31))
    assert got.index.sort(dim=1).values.tolist() == [list(range(31))] * 2


def test_where_faiss_finds_too_few_the_answer_is_the_exact_one(rows):
    candidate, query = rows(1000, 16, 0), rows(40, 16, 1)
    index = build_index("faiss-ivf:nlist=100,nprobe=1", candidate)
    _, found = index._index.search(query.numpy(), 50)
    short = torch.from_numpy(found)[:, 49] < 0
    assert bool(short.any())
    got, exact = index.search(query, 50), ExactIndex(candidate).search(query, 50)
    assert int(got.index.min()) >= 0
    assert torch.equal(got.index[short], exact.index[short])
    assert torch.equal(got.score[short], exact.score[short])


def test_parameters_that_do_not_suit_the_vectors_are_refused(rows):
    for word, message in (
        ("faiss-ivf:nlist=31", "nlist is more than the 30 candidates"),
        ("faiss-pq:bytes=3", "must divide the width of the vectors, 8"),
        ("faiss-pq:bytes=8", "takes 256 candidates or more, not 30"),
    ):
        with pytest.raises(ConfigError, match=message):
            build_index(word, rows(30, 8, 0))
    with pytest.raises(ValueError, match="at least one candidate"):
        build_index("faiss-flat", rows(0, 8, 0))


def test_vectors_not_of_length_one_are_refused(rows):
    with pytest.raises(DataError, match="candidate embedding 0"):
        build_index("faiss-flat", 2.0 * rows(4, 8, 0))
    with pytest.raises(DataError, match="query embedding 0"):
        build_index("faiss-flat", rows(4, 8, 0)).search(2.0 * rows(4, 8, 0), 1)


def test_a_gpu_takes_what_faiss_has_for_it(rows, monkeypatch):
    moved = []

    class Resources:
        pass

    def to_gpu(resources, number, index):
        moved.append((type(resources), number, type(index).__name__))
        return index

    monkeypatch.setattr(faiss, "StandardGpuResources", Resources, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", to_gpu, raising=False)
    for word in ("faiss-flat", "faiss-ivf:nlist=3", "faiss-hnsw"):
        index = build_index(word, rows(40, 8, 0), device="cuda:1")
        assert index.search(rows(2, 8, 1), 3).index.shape == (2, 3)
    assert moved == [(Resources, 1, "IndexFlatIP"), (Resources, 1, "IndexIVFFlat")]


def test_without_faiss_the_extra_is_named(rows, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(ConfigError, match=r"geoloc\[cpu\]"):
        build_index("faiss-flat", rows(4, 8, 0))

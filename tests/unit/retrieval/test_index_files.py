from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from geoloc.errors import DataError, MismatchError
from geoloc.retrieval import (
    ExactIndex,
    MappedVectors,
    build_index,
    embeddings_fingerprint,
    load_index,
    load_or_build_index,
    save_index,
)
from geoloc.retrieval.vector_rows import HeldVectors

pytest.importorskip("faiss")

KINDS = [
    "faiss-flat",
    "faiss-ivf:nlist=20,nprobe=3",
    "faiss-ivf:nlist=20,nprobe=3,bits=8",
    "faiss-hnsw:links=8",
    "faiss-pq:nlist=4,nprobe=2,bytes=8",
]


@pytest.fixture
def kept(rows, tmp_path):
    candidate = rows(600, 32, 0)
    word = "faiss-ivf:nlist=20,nprobe=3"
    fingerprint = embeddings_fingerprint(HeldVectors(candidate))
    save_index(build_index(word, candidate), tmp_path, fingerprint=fingerprint)
    return candidate, word, tmp_path


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("word", KINDS)
def test_a_kept_index_answers_as_the_one_that_was_built(rows, tmp_path, word, mapped):
    candidate, query = rows(600, 32, 0), rows(30, 32, 1)
    built = build_index(word, candidate)
    save_index(built, tmp_path, fingerprint=embeddings_fingerprint(HeldVectors(candidate)))
    np.save(tmp_path / "vectors.npy", candidate.numpy())
    held = MappedVectors(tmp_path / "vectors.npy") if mapped else candidate
    again = load_index(tmp_path, word, held, mapped=mapped)
    before, after = built.search(query, 4), again.search(query, 4)
    assert torch.equal(before.index, after.index)
    assert torch.equal(before.score, after.score)


def test_parameters_of_the_search_are_those_asked_for_now(kept, rows):
    candidate, _, folder = kept
    query = rows(50, 32, 1)
    everywhere = load_index(folder, "faiss-ivf:nlist=20,nprobe=20", candidate).search(query, 3)
    assert torch.equal(everywhere.index, ExactIndex(candidate).search(query, 3).index)


def test_any_flipped_byte_is_refused(kept):
    candidate, word, folder = kept
    path = folder / "index.faiss"
    whole = path.read_bytes()
    for at in (0, 9, 40, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        with pytest.raises(DataError, match="damaged"):
            load_index(folder, word, candidate)
        with pytest.raises(DataError, match="damaged"):
            load_index(folder, word, candidate, mapped=True)
    path.unlink()
    with pytest.raises(DataError, match="torn"):
        load_index(folder, word, candidate)


def test_another_kind_or_other_vectors_are_refused(kept, rows):
    candidate, word, folder = kept
    with pytest.raises(MismatchError, match="was built as faiss-ivf:nlist=20,bits=32, not as"):
        load_index(folder, "faiss-ivf:nlist=21", candidate)
    moved = candidate[[1, 0, *range(2, 600)]]
    with pytest.raises(MismatchError, match="other embeddings"):
        load_index(folder, word, moved)
    card = json.loads((folder / "index.json").read_text())
    (folder / "index.json").write_text(json.dumps(card | {"schema_version": 2}))
    with pytest.raises(DataError, match="schema version"):
        load_index(folder, word, candidate)


def test_load_or_build_builds_once_and_again_for_other_vectors(rows, tmp_path):
    candidate, query, word = rows(600, 32, 0), rows(9, 32, 1), "faiss-hnsw:links=8"
    first = load_or_build_index(tmp_path, word, candidate)
    (card,) = tmp_path.glob("indexes/*/index.json")
    written = card.stat().st_mtime_ns
    second = load_or_build_index(tmp_path, word + ",ef_search=30", candidate)
    assert card.stat().st_mtime_ns == written
    assert torch.equal(first.search(query, 1).index, second.search(query, 1).index)
    load_or_build_index(tmp_path, word, rows(600, 32, 5), mapped=True)
    assert card.stat().st_mtime_ns > written
    payload = card.with_name("index.faiss")
    payload.write_bytes(payload.read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged"):
        load_or_build_index(tmp_path, word, rows(600, 32, 5))


def test_what_needs_no_building_is_not_kept(rows, tmp_path):
    for word in ("exact", "faiss-flat"):
        assert len(load_or_build_index(tmp_path, word, rows(30, 8, 0))) == 30
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_knows_order_width_and_value_but_not_the_place_of_storage(rows, tmp_path):
    candidate = rows(40, 8, 0).half().float()
    seen = {embeddings_fingerprint(HeldVectors(candidate))}
    np.save(tmp_path / "v.npy", candidate.half().numpy())
    assert embeddings_fingerprint(MappedVectors(tmp_path / "v.npy")) in seen
    for other in (candidate.flip(0), candidate[:39], -candidate):
        seen.add(embeddings_fingerprint(HeldVectors(other)))
    assert len(seen) == 4

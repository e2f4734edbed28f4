from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.errors import DataError
from geoloc.retrieval import ExactIndex, Gallery, MappedCandidates
from geoloc.retrieval import mapped_candidates as mapped_module
from geoloc.retrieval.hits import Tiling


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("first_pass", [None, "int8"])
def test_mapped_vectors_are_searched_as_those_in_memory(rows, tmp_path, dtype, first_pass):
    vectors = rows(5000, 32, 0).numpy().astype(dtype)
    np.save(tmp_path / "v.npy", vectors)
    query = rows(60, 32, 1)
    mapped = MappedCandidates(tmp_path / "v.npy")
    tiling = Tiling(tile=700)
    got = ExactIndex(mapped, first_pass=first_pass, tiling=tiling).search(query, 7)
    held = ExactIndex(torch.from_numpy(vectors)).search(query, 7)
    assert torch.equal(got.index, held.index)
    assert torch.equal(got.score, held.score)


def test_a_saved_gallery_is_mapped_by_its_tensors_name(rows, tmp_path, encode):
    places = np.array([[0.0, 0.0], [10.0, 20.0], [-30.0, 40.0]])
    gallery = Gallery.build(places, encode, model_fingerprint="m", name="g")
    gallery.save(tmp_path)
    (payload,) = tmp_path.glob("*.safetensors")
    mapped = MappedCandidates(payload)
    assert torch.equal(mapped.rows(0, 3), gallery.embedding)
    assert torch.equal(mapped.pick(torch.tensor([2, 0])), gallery.embedding[[2, 0]])
    with pytest.raises(DataError, match="latlon"):
        MappedCandidates(payload, tensor="latlon")


def test_rows_are_right_wherever_pages_begin(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_module, "_PICKED_AT_A_TIME", 3)
    vectors = rows(3000, 7, 0)
    np.save(tmp_path / "v.npy", vectors.numpy())
    mapped = MappedCandidates(tmp_path / "v.npy")
    for start, stop in ((0, 1), (145, 146), (147, 1203), (2999, 3000), (0, 3000), (145, 146)):
        assert torch.equal(mapped.rows(start, stop), vectors[start:stop])
        some = torch.tensor([stop - 1, start, 2, 5, 1000])
        assert torch.equal(mapped.pick(some), vectors[some])


def test_files_that_hold_no_unit_vectors_are_refused(rows, tmp_path, monkeypatch):
    monkeypatch.setattr(mapped_module, "_ROWS_AT_A_TIME", 10)
    with pytest.raises(DataError, match="there is no file"):
        MappedCandidates(tmp_path / "none.npy")
    bad = rows(30, 8, 0).numpy()
    bad[25] *= 2
    for name, array, message in (
        ("long", bad, "long.npy, from row 20: candidate embedding 5 has length 2"),
        ("wide", rows(30, 8, 0).double().numpy(), "float64"),
        ("column", np.asfortranarray(rows(30, 8, 0).numpy()), "strides"),
        ("flat", rows(30, 8, 0).flatten().numpy(), "shape"),
    ):
        np.save(tmp_path / f"{name}.npy", array)
        with pytest.raises(DataError, match=message):
            MappedCandidates(tmp_path / f"{name}.npy")
    (tmp_path / "no.safetensors").write_bytes(b"not one of them")
    with pytest.raises(DataError, match="no rows"):
        MappedCandidates(tmp_path / "no.safetensors")
    np.save(tmp_path / "torn.npy", rows(30, 8, 0).numpy())
    whole = (tmp_path / "torn.npy").read_bytes()
    (tmp_path / "torn.npy").write_bytes(whole[:-40])
    with pytest.raises(DataError):
        MappedCandidates(tmp_path / "torn.npy")

from __future__ import annotations

import numpy as np
import pytest
import torch

from geoloc.batch import GeoBatch
from geoloc.errors import DataError
from geoloc.retrieval import Embedded, embed_stream


def _batches(rows, sizes):
    start = 0
    for size in sizes:
        names = range(start, start + size)
        yield GeoBatch(
            key=tuple(f"{name:05d}" for name in names),
            latlon_deg=torch.tensor([[float(name), 2.0 * name] for name in names]).double(),
            feature=rows(size, 8, start),
            label=tuple({"unique_country": "NA", "n": name} for name in names) if size > 2 else (),
        )
        start += size


def test_every_sample_arrives_once_and_in_order(rows):
    got = embed_stream(_batches(rows, [3, 3, 1]), lambda batch: 2 * batch.feature)
    assert got.key == tuple(f"{name:05d}" for name in range(7))
    assert got.latlon_deg.tolist() == [[name, 2.0 * name] for name in range(7)]
    torch.testing.assert_close(got.embedding[3:6], 2 * rows(3, 8, 3))
    assert got.label[5] == {"unique_country": "NA", "n": 5}
    assert got.label[6] == {}


def test_only_the_labels_asked_for_are_kept(rows):
    def embed(labels):
        batches = _batches(rows, [3, 1])
        return embed_stream(batches, lambda batch: batch.feature, labels=labels).label

    assert embed(["unique_country", "unique_city"]) == (*[{"unique_country": "NA"}] * 3, {})
    assert embed(()) == ({},) * 4
    assert embed(None)[2] == {"unique_country": "NA", "n": 2}
    assert len({id(label) for label in embed(["unique_city"])}) == 1


def test_no_gradient_is_kept(rows):
    weight = torch.ones(8, requires_grad=True)
    got = embed_stream(_batches(rows, [2]), lambda batch: batch.feature * weight)
    assert not got.embedding.requires_grad


def test_an_empty_stream_and_a_lossy_encoder_are_refused(rows):
    with pytest.raises(DataError, match="no sample"):
        embed_stream([], lambda batch: batch.feature)
    with pytest.raises(DataError, match="2 embeddings for a batch of 3"):
        embed_stream(_batches(rows, [3]), lambda batch: batch.feature[:2])


def test_round_trip_and_damage(rows, tmp_path):
    made = embed_stream(_batches(rows, [3, 1]), lambda batch: batch.feature)
    made.save(tmp_path, model_fingerprint="m")
    back = Embedded.load(tmp_path)
    assert (back.key, back.label) == (made.key, made.label)
    assert torch.equal(back.embedding, made.embedding)
    np.testing.assert_array_equal(back.latlon_deg, made.latlon_deg)
    data = bytearray((tmp_path / "samples.parquet").read_bytes())
    data[50] ^= 1
    (tmp_path / "samples.parquet").write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        Embedded.load(tmp_path)


def test_lengths_must_agree(rows):
    with pytest.raises(ValueError, match="2 keys"):
        Embedded(key=("a", "b"), latlon_deg=np.zeros((1, 2)), embedding=rows(1, 4, 0), label=({},))

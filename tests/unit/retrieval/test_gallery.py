from __future__ import annotations

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from geoloc.errors import CoordinateError, DataError, MismatchError
from geoloc.geodesy import sample_sphere
from geoloc.retrieval import Gallery, places_fingerprint

PLACES = np.array([[10.0, 20.0], [-5.0, 7.0], [10.0, 20.0], [10.0, 20.0], [60.0, -180.0]])


@pytest.fixture
def gallery(encode):
    return Gallery.build(PLACES, encode, model_fingerprint="m" * 64, name="few", batch_size=2)


def test_duplicates_are_dropped_the_first_kept_and_counted(gallery, encode):
    np.testing.assert_array_equal(gallery.latlon_deg, PLACES[[0, 1, 4]])
    assert (len(gallery), gallery.duplicates_dropped) == (3, 2)
    torch.testing.assert_close(gallery.embedding, encode(torch.from_numpy(PLACES[[0, 1, 4]])))
    with pytest.raises(FrozenInstanceError):
        gallery.name = "other"


def test_fingerprint_tells_places_and_their_order(gallery):
    assert gallery.places_fingerprint == places_fingerprint(PLACES[[0, 1, 4]])
    assert places_fingerprint(PLACES[[1, 0, 4]]) != gallery.places_fingerprint
    assert places_fingerprint(PLACES[[0, 1, 4]] + 1e-9) != gallery.places_fingerprint
    assert places_fingerprint(np.array([[0.0, -0.0]])) == places_fingerprint(np.zeros((1, 2)))


@pytest.mark.parametrize("bad", [[91.0, 0.0], [0.0, 181.0], [np.nan, 0.0]])
def test_impossible_places_are_refused(encode, bad):
    with pytest.raises(CoordinateError, match="gallery place"):
        Gallery.build(np.array([[0.0, 0.0], bad]), encode, model_fingerprint="m", name="x")


def test_empty_galleries_and_lengths_other_than_one_are_refused(encode):
    with pytest.raises(DataError, match="at least one place"):
        Gallery.build(np.empty((0, 2)), encode, model_fingerprint="m", name="x")
    with pytest.raises(DataError, match="not 1"):
        Gallery.build(PLACES, lambda at: 2 * encode(at), model_fingerprint="m", name="x")
    with pytest.raises(DataError, match="1 embeddings for 3 places"):
        Gallery.build(PLACES, lambda at: encode(at)[:1], model_fingerprint="m", name="x")


def test_round_trip(gallery, tmp_path):
    gallery.save(tmp_path / "g")
    back = Gallery.load(tmp_path / "g", model_fingerprint="m" * 64)
    assert torch.equal(back.embedding, gallery.embedding)
    np.testing.assert_array_equal(back.latlon_deg, gallery.latlon_deg)
    assert back.latlon_deg.dtype == np.float64
    for name in ("model_fingerprint", "places_fingerprint", "duplicates_dropped", "name"):
        assert getattr(back, name) == getattr(gallery, name)


def test_another_model_is_refused(gallery, tmp_path):
    gallery.save(tmp_path)
    with pytest.raises(MismatchError, match="not by other"):
        Gallery.load(tmp_path, model_fingerprint="other")


@pytest.mark.parametrize("at", [0, 9, -1, -20])
def test_one_flipped_bit_is_seen(gallery, tmp_path, at):
    gallery.save(tmp_path)
    payload = next(tmp_path.glob("*.safetensors"))
    data = bytearray(payload.read_bytes())
    data[at] ^= 1
    payload.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        Gallery.load(tmp_path)


def test_torn_galleries_are_refused(gallery, tmp_path, encode):
    with pytest.raises(DataError, match="no gallery"):
        Gallery.load(tmp_path / "nowhere")
    gallery.save(tmp_path)
    card = tmp_path / "gallery.json"
    text = card.read_text()
    card.write_text(text[: len(text) // 2])
    with pytest.raises(DataError, match="damaged"):
        Gallery.load(tmp_path)
    card.write_text(json.dumps({**json.loads(text), "schema_version": 99}))
    with pytest.raises(DataError, match="schema version 99"):
        Gallery.load(tmp_path)
    card.write_text(json.dumps({"schema_version": 1}))
    with pytest.raises(DataError, match="lacks"):
        Gallery.load(tmp_path)
    card.write_text(text)
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(DataError, match="torn"):
        Gallery.load_or_build(tmp_path, PLACES, encode, model_fingerprint="m" * 64, name="few")


def test_a_save_that_fails_leaves_the_old_gallery(gallery, encode, tmp_path, monkeypatch):
    gallery.save(tmp_path)
    other = Gallery.build(PLACES[:2], encode, model_fingerprint="n", name="other")
    monkeypatch.setattr("geoloc.retrieval.gallery.write_json", _full_disk)
    with pytest.raises(OSError, match="No space"):
        other.save(tmp_path)
    assert Gallery.load(tmp_path).name == "few"
    assert not list(tmp_path.glob(".*"))


def _full_disk(*_args):
    raise OSError(28, "No space left on device")


def test_load_or_build_encodes_once_and_again_when_anything_changed(tmp_path, encode):
    calls = []

    def counted(latlon_deg):
        calls.append(len(latlon_deg))
        return encode(latlon_deg)

    places = sample_sphere(50, generator=np.random.default_rng(0))
    ask = {"name": "g", "batch_size": 20}
    first = Gallery.load_or_build(tmp_path, places, counted, model_fingerprint="a", **ask)
    assert calls == [20, 20, 10]
    again = Gallery.load_or_build(
        tmp_path, np.concatenate([places, places[:3]]), counted, model_fingerprint="a", **ask
    )
    assert calls == [20, 20, 10]
    assert torch.equal(first.embedding, again.embedding)
    Gallery.load_or_build(tmp_path, places, counted, model_fingerprint="b", **ask)
    assert len(calls) == 6
    Gallery.load_or_build(tmp_path, places[:30], counted, model_fingerprint="b", **ask)
    assert len(calls) == 8
    assert len(Gallery.load(tmp_path, model_fingerprint="b")) == 30
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["../../x", "..", "a/b", ".hidden", "", "a b", "x\n"])
def test_a_name_that_could_lead_out_of_a_folder_is_refused(gallery, tmp_path, encode, name):
    with pytest.raises(DataError, match="is called"):
        Gallery.build(PLACES, encode, model_fingerprint="m", name=name)
    gallery.save(tmp_path)
    card = tmp_path / "gallery.json"
    card.write_text(json.dumps({**json.loads(card.read_text()), "name": name}))
    with pytest.raises(DataError, match=r"gallery\.json is called"):
        Gallery.load(tmp_path)


def test_a_kept_gallery_is_called_as_asked(gallery, encode, tmp_path):
    gallery.save(tmp_path)
    ask = {"model_fingerprint": "m" * 64, "name": "other"}
    assert Gallery.load_or_build(tmp_path, PLACES, encode, **ask).name == "other"


def test_how_many_places_they_were_drawn_from_is_kept(encode, tmp_path):
    ask = {"model_fingerprint": "m", "name": "g"}
    Gallery.load_or_build(tmp_path, PLACES, encode, **ask, drawn_from=4_900_000)
    assert Gallery.load(tmp_path).drawn_from == 4_900_000
    assert Gallery.load_or_build(tmp_path, PLACES, encode, **ask).drawn_from == 4_900_000
    assert Gallery.build(PLACES, encode, **ask).drawn_from is None
    card = tmp_path / "gallery.json"
    older = json.loads(card.read_text())
    del older["drawn_from"]
    card.write_text(json.dumps(older))
    assert Gallery.load(tmp_path).drawn_from is None

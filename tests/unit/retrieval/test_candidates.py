from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from geoloc.errors import ConfigError, DataError, MismatchError
from geoloc.retrieval import (
    Candidates,
    Embedded,
    ExactIndex,
    Gallery,
    candidates,
    hubness,
    load_references,
    unseen_cosine,
)


def embedded(rows, count, seed, *, prefix="r"):
    place = np.random.default_rng(seed).uniform((-60, -170), (60, 170), size=(count, 2))
    return Embedded(
        key=tuple(f"{prefix}{number}" for number in range(count)),
        latlon_deg=place,
        embedding=rows(count, 8, seed),
        label=({},) * count,
    )


@pytest.fixture
def references(rows):
    return embedded(rows, 30, 1)


@pytest.fixture
def gallery(rows, references):
    """Twenty places of its own, then ten of the references' places."""
    own = np.random.default_rng(9).uniform((-60, -170), (60, 170), size=(20, 2))
    places = np.concatenate([own, references.latlon_deg[:10]])
    vectors = torch.cat([rows(20, 8, 5), place_vectors(rows)[:10]])
    return Gallery.build(places, lambda _: vectors, model_fingerprint="m", name="thirty")


def place_vectors(rows):
    return rows(30, 8, 6)


def best(found, query, k=1):
    return found.index(ExactIndex).search(query, k)


def test_a_planted_reference_answers_with_its_place_and_key(rows, references):
    found = Candidates.of_images(references, model_fingerprint="m")
    query = torch.nn.functional.normalize(references.embedding[[7, 22]] + 0.05 * rows(2, 8, 3))
    rank = best(found, query).index[:, 0].tolist()
    assert rank == [7, 22]
    assert [found.reference_key[row] for row in rank] == ["r7", "r22"]
    np.testing.assert_array_equal(found.latlon_deg[rank], references.latlon_deg[[7, 22]])


def test_places_are_searched_as_the_gallery_is(rows, gallery):
    found = Candidates.of_places(gallery)
    query = rows(6, 8, 4)
    expected = ExactIndex(gallery.embedding).search(query, 5)
    assert torch.equal(best(found, query, 5).index, expected.index)
    assert found.reference_key is None


def test_weight_0_ranks_by_place_and_weight_1_by_image(rows, gallery, references):
    query = rows(40, 8, 4)
    places = Candidates.of_both(gallery, references, place_vectors(rows), weight=0.0)
    union = torch.cat([place_vectors(rows), gallery.embedding[:20]])
    expected = (query @ union.T).argsort(dim=1, descending=True)
    assert torch.equal(best(places, query, 50).index, expected)
    np.testing.assert_array_equal(places.latlon_deg[30:], gallery.latlon_deg[:20])
    images = Candidates.of_both(gallery, references, place_vectors(rows), weight=1.0)
    pure = Candidates.of_images(references, model_fingerprint="m")
    assert torch.equal(best(images, query, 9).index, best(pure, query, 9).index)
    assert len(images) == 30


def test_pooling_is_log_linear_in_the_two_softmaxes(rows, gallery, references):
    weight, scale, query = 0.3, 11.0, rows(5, 8, 4)
    found = Candidates.of_both(gallery, references, place_vectors(rows), weight=weight)
    by_place = query @ torch.cat([place_vectors(rows), gallery.embedding[:20]]).T
    unseen = torch.full((5, 20), unseen_cosine(references))
    by_image = torch.cat([query @ references.embedding.T, unseen], dim=1)
    p, q = (torch.softmax(scale * score, dim=1) for score in (by_place, by_image))
    pooled = p ** (1 - weight) * q**weight
    ours = torch.softmax(scale * (query @ found.embedding.T + found.offset), dim=1)
    torch.testing.assert_close(ours, pooled / pooled.sum(dim=1, keepdim=True))
    assert found.reference_key == (*references.key, *[None] * 20)


def test_places_of_the_gallery_with_an_image_stand_once(rows, references):
    places = references.latlon_deg[::-1].copy()
    same = Gallery.build(places, lambda _: rows(30, 8, 2), model_fingerprint="m", name="same")
    found = Candidates.of_both(same, references, place_vectors(rows), weight=0.5)
    assert len(found) == 30
    assert found.reference_key == references.key


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan")])
def test_weights_outside_0_to_1_are_refused(rows, gallery, references, weight):
    with pytest.raises(ConfigError, match=r"0\.\.1"):
        Candidates.of_both(gallery, references, place_vectors(rows), weight=weight)


def test_unseen_cosine_is_that_of_the_tenth_nearest(references, rows):
    score = references.embedding @ references.embedding.T
    tenth = [
        sorted((float(s) for at, s in enumerate(line) if at != row), reverse=True)[9]
        for row, line in enumerate(score)
    ]
    assert unseen_cosine(references) == pytest.approx(np.mean(tenth), abs=1e-6)
    assert unseen_cosine(embedded(rows, 1, 0)) == 0.0
    two = embedded(rows, 2, 0)
    assert unseen_cosine(two) == pytest.approx(float(two.embedding[0] @ two.embedding[1]))


def _world_with_a_hub(rows):
    """All queries share a direction that only candidate 0 has; the others have the query's own."""
    direction = torch.zeros(16)
    direction[0] = 1.2
    images = torch.nn.functional.normalize(rows(60, 16, 1) + direction)
    candidate = torch.nn.functional.normalize(rows(60, 16, 1) + 0.3 * rows(60, 16, 2))
    candidate[0] = direction / 1.2
    calibration = torch.nn.functional.normalize(rows(80, 16, 3) + direction)
    return images, candidate, calibration


def test_csls_removes_a_planted_hub(rows):
    images, candidate, calibration = _world_with_a_hub(rows)
    world = embedded(rows, 60, 0)
    found = Candidates(
        name="hub", model_fingerprint="m", latlon_deg=world.latlon_deg, embedding=candidate
    )
    queries = Embedded(
        key=tuple(f"q{n}" for n in range(80)),
        latlon_deg=np.zeros((80, 2)),
        embedding=calibration,
        label=({},) * 80,
    )
    corrected = found.corrected(queries)
    before, after = (best(each, images[1:]).index.numpy() for each in (found, corrected))
    own = np.arange(1, 60)[:, None]
    # Nearly all queries are answered by the hub; corrected, none is, and 19 in 20 by their own.
    assert (before == 0).sum() > 50
    assert (before == own).sum() == 0
    assert (after == 0).sum() == 0
    assert (after == own).mean() > 0.9
    assert hubness(after, 60).skewness < hubness(before, 60).skewness
    assert hubness(after, 60).largest < hubness(before, 60).largest


def test_references_have_no_say_on_themselves(references):
    plain = Candidates.of_images(references, model_fingerprint="m")
    offset = plain.corrected(references, neighbours=3).offset
    for row in (0, 17):
        others = [at for at in range(30) if at != row]
        near = (references.embedding[others] @ references.embedding[row]).topk(3).values.mean()
        assert float(offset[row]) == pytest.approx(-float(near) / 2, abs=1e-6)


def test_the_correction_is_kept_by_content(references, rows, tmp_path, monkeypatch):
    plain = Candidates.of_images(references, model_fingerprint="m")
    first = plain.corrected(references, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    assert torch.equal(load_file(file)["csls"], first.offset)
    with monkeypatch.context() as patch:
        patch.setattr(candidates, "nearness_to_queries", None)
        again = plain.corrected(references, cache=tmp_path)
        assert torch.equal(again.offset, first.offset)
    file.write_bytes(b"torn")
    assert torch.equal(plain.corrected(references, cache=tmp_path).offset, first.offset)
    plain.corrected(references, neighbours=5, cache=tmp_path)
    plain.corrected(embedded(rows, 30, 2, prefix="o"), cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 3


def test_references_of_another_model_are_refused(references, tmp_path):
    references.save(tmp_path / "refs", model_fingerprint="a" * 64)
    assert load_references(tmp_path / "refs", model_fingerprint="a" * 64).key == references.key
    with pytest.raises(MismatchError, match="geoloc embed"):
        load_references(tmp_path / "refs", model_fingerprint="b" * 64)
    with pytest.raises(DataError, match="no set of embeddings"):
        load_references(tmp_path / "gone", model_fingerprint="a" * 64)

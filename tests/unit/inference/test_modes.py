from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from geoloc.data.transforms import preprocess
from geoloc.errors import ConfigError, MismatchError
from geoloc.inference import Geolocator
from geoloc.inference.modes import RetrievalMode
from geoloc.models import build_model
from geoloc.retrieval import Embedded, unseen_cosine


@pytest.fixture
def embed(model, photo):
    """Photos of given seeds, embedded; each at a place of its own."""

    @torch.no_grad()
    def make(seeds, prefix="r"):
        pixels = torch.stack([preprocess(photo(seed), model.preset) for seed in seeds])
        place = np.random.default_rng(0).uniform((-60, -170), (60, 170), size=(len(seeds), 2))
        return Embedded(
            key=tuple(f"{prefix}{seed}" for seed in seeds),
            latlon_deg=place,
            embedding=model.embed_features(model.backbone_features(pixels)),
            label=({},) * len(seeds),
        )

    return make


@pytest.fixture
def references(embed, model, tmp_path):
    made = embed(range(10, 24))
    made.save(tmp_path / "refs", model_fingerprint=model.fingerprint())
    return made


def test_an_image_among_the_references_is_found_with_its_key(
    run, references, tmp_path, photo
) -> None:
    mode = RetrievalMode(name="image", references=tmp_path / "refs")
    answer = Geolocator.load(run, mode=mode).locate(photo(13), top_k=3)
    best = answer.places[0]
    assert best.reference == "r13"
    assert best.latlon_deg == pytest.approx(tuple(references.latlon_deg[3]))
    assert best.score == pytest.approx(1.0, abs=1e-5)
    assert answer.gallery == "images"


def test_combined_answers_are_the_formula_by_hand(
    run, model, references, tmp_path, photo, places_deg
) -> None:
    weight, image = 0.3, photo(99)
    mode = RetrievalMode(name="combined", references=tmp_path / "refs", weight=weight)
    answer = Geolocator.load(run, mode=mode).locate(image, top_k=21)
    with torch.no_grad():
        pixels = preprocess(image, model.preset)[None]
        query = model.embed_features(model.backbone_features(pixels))[0]
        union = np.concatenate([references.latlon_deg, places_deg])
        by_place = model.embed_places(torch.from_numpy(union)) @ query
        unseen = torch.full((7,), unseen_cosine(references))
        by_image = torch.cat([references.embedding @ query, unseen])
        logit = model.scale() * ((1 - weight) * by_place + weight * by_image)
        probability = torch.softmax(logit, dim=0)
    order = logit.argsort(descending=True).tolist()
    told = [place.latlon_deg for place in answer.places]
    assert told == [pytest.approx(tuple(union[row])) for row in order]
    assert [place.reference for place in answer.places] == [
        f"r{10 + row}" if row < 14 else None for row in order
    ]
    for place, row in zip(answer.places, order, strict=True):
        assert place.probability == pytest.approx(float(probability[row]), rel=1e-4)
    assert sum(place.probability for place in answer.places) == pytest.approx(1.0, abs=1e-5)


def test_csls_keeps_its_correction_with_the_run(run, references, tmp_path, photo) -> None:
    mode = RetrievalMode(name="image", references=tmp_path / "refs", csls=True)
    first = Geolocator.load(run, mode=mode).locate(photo(5), top_k=14)
    (kept,) = (run / "corrections").glob("csls-*")
    assert kept.name.startswith("csls-")
    faiss = Geolocator.load(run, mode=mode, index="faiss-flat").locate(photo(5), top_k=14)
    assert [p.reference for p in faiss.places] == [p.reference for p in first.places]
    assert len(list((run / "corrections").glob("csls-*"))) == 1
    plain = Geolocator.load(run, mode=dataclasses.replace(mode, csls=False))
    scores = {p.reference: p.score for p in plain.locate(photo(5), top_k=14).places}
    taken = [scores[p.reference] - p.score for p in first.places]
    assert min(taken) > 0.0
    assert np.ptp(taken) > 1e-4


def test_csls_of_places_by_a_calibration_folder(run, embed, model, tmp_path, photo) -> None:
    embed(range(40, 60), "c").save(tmp_path / "cal", model_fingerprint=model.fingerprint())
    mode = RetrievalMode(csls=True, calibration=tmp_path / "cal")
    answer = Geolocator.load(run, mode=mode).locate(photo(5), top_k=7)
    assert answer.gallery == "seven"
    assert {place.reference for place in answer.places} == {None}


def test_a_vote_reorders_the_nearest(run, references, tmp_path, photo) -> None:
    mode = RetrievalMode(name="image", references=tmp_path / "refs", vote_km=1e-3)
    plain = dataclasses.replace(mode, vote_km=None)
    narrow, nearest = (Geolocator.load(run, mode=m).locate(photo(5)) for m in (mode, plain))
    assert narrow == nearest
    wide = dataclasses.replace(mode, vote_km=5000.0)
    voted = Geolocator.load(run, mode=wide).locate(photo(5), top_k=14)
    assert [p.reference for p in voted.places] != [
        p.reference for p in Geolocator.load(run, mode=plain).locate(photo(5), top_k=14).places
    ]


def test_images_of_another_model_are_refused(run, references, tiny_spec, tmp_path) -> None:
    other = build_model(tiny_spec(seed=1)).fingerprint()
    references.save(tmp_path / "other", model_fingerprint=other)
    asked = {"name": "image", "references": tmp_path / "other"}
    for settings in (
        asked,
        {**asked, "name": "combined"},
        {"csls": True, "calibration": tmp_path / "other"},
    ):
        with pytest.raises(MismatchError, match="were embedded by model"):
            Geolocator.load(run, mode=RetrievalMode(**settings))


def test_what_a_mode_needs_is_said_at_once() -> None:
    for name in ("image", "combined"):
        with pytest.raises(ConfigError, match="--references"):
            RetrievalMode(name=name)
    with pytest.raises(ConfigError, match="--calibration"):
        RetrievalMode(csls=True)


def test_a_model_without_a_text_tower_says_so(geolocator) -> None:
    with pytest.raises(ConfigError, match="has no text tower"):
        geolocator.locate_texts(["a fjord"])

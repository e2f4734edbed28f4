from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.data.transforms import preprocess
from geoloc.errors import CheckpointError, ConfigError, DataError, ImageError, MismatchError
from geoloc.inference import Answer, Geolocator, Refusal
from geoloc.models import DualEncoder, ModelSpec, build_model, load_model
from geoloc.retrieval import FaissIndex, Gallery, build_index

_IMAGE = Image.new("RGB", (40, 40))

Photo = Callable[..., Image.Image]
GalleryOf = Callable[..., Gallery]
Spec = Callable[..., ModelSpec]


def test_answer_equals_the_models_own_arithmetic(
    model: DualEncoder, geolocator: Geolocator, photo: Photo, places_deg: np.ndarray
) -> None:
    image = photo(3)
    answer = geolocator.locate(image, top_k=3)
    with torch.no_grad():
        pixels = preprocess(image, model.preset)[None]
        query = model.embed_features(model.backbone_features(pixels))
        cosine = (query @ model.embed_places(torch.from_numpy(places_deg)).T)[0]
        probability = torch.softmax(model.scale() * cosine, dim=0)
    order = cosine.argsort(descending=True)[:3].tolist()
    assert [place.latlon_deg for place in answer.places] == [
        tuple(places_deg[row]) for row in order
    ]
    for place, row in zip(answer.places, order, strict=True):
        assert place.score == pytest.approx(float(cosine[row]), abs=1e-6)
        assert place.probability == pytest.approx(float(probability[row]), rel=1e-4)
    assert answer.model == model.fingerprint()
    assert answer.gallery == "seven"


def test_names_of_known_places(geolocator: Geolocator, photo: Photo) -> None:
    by_lat = {round(p.latlon_deg[0]): p for p in geolocator.locate(photo(), top_k=7).places}
    assert by_lat[49].city.startswith("Paris")
    assert (by_lat[49].country_code, by_lat[49].country) == ("FR", "France")
    assert (by_lat[-23].city, by_lat[-23].country_code) == ("Windhoek", "NA")
    assert (by_lat[36].country_code, by_lat[36].city_km < 20) == ("JP", True)
    at_sea = by_lat[0]
    assert (at_sea.country, at_sea.country_code, at_sea.region) == (None, None, None)
    assert at_sea.city_km > 500
    assert at_sea.name.endswith("at sea")
    assert "km from" in at_sea.name
    assert sum(place.probability for place in by_lat.values()) == pytest.approx(1.0, abs=1e-5)


def test_a_list_gives_a_list_equal_to_one_by_one(
    geolocator: Geolocator, tmp_path: Path, photo: Photo
) -> None:
    file = tmp_path / "a.png"
    photo(1).save(file)
    items = [file, photo(2), np.asarray(photo(3))]
    together = geolocator.locate(items, top_k=2)
    assert [answer.source for answer in together] == [str(file), "image 2", "image 3"]
    for item, answer in zip(items, together, strict=True):
        alone = geolocator.locate(item, top_k=2)
        assert isinstance(alone, Answer)
        assert [p.latlon_deg for p in alone.places] == [p.latlon_deg for p in answer.places]
        assert alone.places[0].score == pytest.approx(answer.places[0].score, abs=1e-6)
    assert geolocator.locate([]) == []


def test_answers_are_frozen(geolocator: Geolocator, photo: Photo) -> None:
    answer = geolocator.locate(photo(), top_k=1)
    with pytest.raises(AttributeError):
        answer.source = "other"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        answer.places[0].score = 1.0  # type: ignore[misc]


@pytest.mark.parametrize("top_k", [0, -1, 8])
def test_top_k_is_validated_at_once(geolocator: Geolocator, top_k: int, photo: Photo) -> None:
    with pytest.raises(ConfigError, match="between 1 and the gallery's 7"):
        geolocator.locate(photo(), top_k=top_k)
    with pytest.raises(ConfigError, match="between 1 and the gallery's 7"):
        geolocator.locate_many([photo()], top_k=top_k)


def test_batch_size_is_validated_at_once(geolocator: Geolocator, photo: Photo) -> None:
    with pytest.raises(ConfigError, match="batch_size"):
        geolocator.locate_many([photo()], batch_size=0)


def test_locate_raises_where_locate_many_refuses(geolocator: Geolocator) -> None:
    with pytest.raises(ImageError, match="no such file"):
        geolocator.locate("/nowhere/a.jpg")


@pytest.mark.parametrize("batch_size", [1, 2, 3, 100])
def test_bad_files_are_refused_and_the_others_answered_in_order(
    geolocator: Geolocator, tmp_path: Path, batch_size: int, photo: Photo
) -> None:
    good = [tmp_path / f"good{number}.png" for number in range(3)]
    for number, file in enumerate(good):
        photo(number).save(file)
    (tmp_path / "text.jpg").write_text("no image")
    items = [good[0], tmp_path / "gone.jpg", tmp_path, good[1], tmp_path / "text.jpg", good[2]]
    results = list(geolocator.locate_many(items, top_k=2, batch_size=batch_size))
    assert [result.source for result in results] == [str(item) for item in items]
    kinds = [result.kind if isinstance(result, Refusal) else "answer" for result in results]
    assert kinds == ["answer", "missing", "not_a_file", "answer", "not_an_image", "answer"]
    for file, place in ((0, 0), (1, 3), (2, 5)):
        answer = results[place]
        assert isinstance(answer, Answer)
        alone = geolocator.locate(good[file], top_k=2)
        assert [p.latlon_deg for p in answer.places] == [p.latlon_deg for p in alone.places]
    for result in results:
        if isinstance(result, Refusal):
            assert "\n" not in result.message
            assert not result.message.startswith(result.source)


def test_locate_many_reads_no_further_than_the_batch_it_answers(
    geolocator: Geolocator, photo: Photo
) -> None:
    taken: list[int] = []

    def items() -> object:
        for number in range(10):
            taken.append(number)
            yield photo(number)

    stream = geolocator.locate_many(items(), top_k=1, batch_size=2)  # type: ignore[arg-type]
    assert taken == []
    next(stream)
    assert taken == [0, 1]
    assert len(list(stream)) == 9


def test_the_models_own_preset_prepares_the_image(
    model: DualEncoder, photo: Photo, gallery_of: GalleryOf, tiny_spec: Spec
) -> None:
    spec = tiny_spec()
    wide = build_model(spec)
    wide.image_encoder.preset = wide.preset.with_overrides({"crop_fraction": 0.5})
    framed = photo(5, (64, 64))
    pixels = np.asarray(framed).copy()
    pixels[:16], pixels[-16:], pixels[:, :16], pixels[:, -16:] = 0, 0, 0, 0
    blackened = Image.fromarray(pixels)
    narrow_sees = Geolocator(wide, gallery_of(wide))
    # A crop of the inner half sees neither frame (bicubic reaches some pixels beyond the edge).
    first, second = narrow_sees.locate([framed, blackened], top_k=1)
    assert first.places[0].score == pytest.approx(second.places[0].score, abs=2e-3)
    full_sees = Geolocator(model, gallery_of(model))
    first, second = full_sees.locate([framed, blackened], top_k=1)
    assert abs(first.places[0].score - second.places[0].score) > 2e-3


def test_another_models_gallery_is_refused(
    model: DualEncoder, gallery_of: GalleryOf, tiny_spec: Spec
) -> None:
    with pytest.raises(MismatchError, match="build it again with this model"):
        Geolocator(build_model(tiny_spec(seed=1)), gallery_of(model))


def test_another_index_answers_the_same(
    model: DualEncoder, photo: Photo, gallery_of: GalleryOf
) -> None:
    gallery = gallery_of(model)
    exact, flat = (
        Geolocator(model, gallery),
        Geolocator(model, gallery, index=build_index("faiss-flat", gallery.embedding)),
    )
    ours, theirs = exact.locate(photo(), top_k=7), flat.locate(photo(), top_k=7)
    assert [p.latlon_deg for p in ours.places] == [p.latlon_deg for p in theirs.places]
    assert [p.score for p in ours.places] == pytest.approx([p.score for p in theirs.places])


def test_the_model_is_put_into_evaluation_mode(model: DualEncoder, gallery_of: GalleryOf) -> None:
    model.train()
    assert not Geolocator(model, gallery_of(model)).model.training


def test_load_answers_as_the_model_in_memory(
    run: Path, geolocator: Geolocator, photo: Photo
) -> None:
    loaded = Geolocator.load(run, decoding="argmax")
    answer = loaded.locate(photo(), top_k=3)
    assert (loaded.basis.run, geolocator.basis.run) == ("tiny", None)
    assert replace(answer, basis=geolocator.basis) == geolocator.locate(photo(), top_k=3)
    assert Geolocator.load(str(run), gallery="seven").gallery.name == "seven"


def test_load_says_what_is_missing(run: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no such run folder"):
        Geolocator.load(tmp_path / "nowhere")
    with pytest.raises(DataError, match="geoloc gallery build"):
        Geolocator.load(run, gallery="eight")
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**about, "finished": False}))
    with pytest.raises(CheckpointError, match="has not finished"):
        Geolocator.load(run)


def test_load_refuses_the_gallery_of_another_model(
    run: Path, gallery_of: GalleryOf, tiny_spec: Spec
) -> None:
    other = build_model(tiny_spec(seed=1))
    gallery_of(other).save(run / "galleries" / "seven")
    with pytest.raises(MismatchError):
        Geolocator.load(run)


def test_load_refuses_a_gpu_that_is_not_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="no GPU here"):
        Geolocator.load(run, device="cuda")
    assert Geolocator.load(run, device="auto").device == torch.device("cpu")


def test_load_searches_by_the_index_asked_for(
    run: Path, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    searched: list[int] = []
    search = FaissIndex.search

    def noted(self: FaissIndex, query: torch.Tensor, k: int) -> object:
        searched.append(k)
        return search(self, query, k)

    monkeypatch.setattr(FaissIndex, "search", noted)
    exact, faiss = (
        Geolocator.load(run, index=kind, decoding="argmax") for kind in ("exact", "faiss-flat")
    )
    ours = exact.locate(photo(), top_k=3)
    assert searched == []
    theirs = faiss.locate(photo(), top_k=3)
    # Seven places are all there are to find some that lie apart among.
    assert searched == [7]
    assert [p.latlon_deg for p in ours.places] == [p.latlon_deg for p in theirs.places]


def test_load_gives_the_model_the_file_of_a_moved_backbone(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[object] = []

    def noted(folder: Path, *, device: str, backbone_weights: object) -> DualEncoder:
        given.append(backbone_weights)
        return load_model(folder, device=device)

    monkeypatch.setattr("geoloc.inference.opening.load_model", noted)
    Geolocator.load(run, backbone_weights=tmp_path / "weights.pt")
    assert given == [tmp_path / "weights.pt"]


def test_images_of_one_place_are_pooled(
    model: DualEncoder, geolocator: Geolocator, photo: Photo, places_deg: np.ndarray
) -> None:
    images = [photo(1), photo(2), photo(3)]
    told = geolocator.locate_together(images, top_k=7, apart_km=0.0, likeness=0.25)
    with torch.no_grad():
        pixels = torch.stack([preprocess(image, model.preset) for image in images])
        query = model.embed_features(model.backbone_features(pixels))
        cosine = query @ model.embed_places(torch.from_numpy(places_deg)).T
        # Three images whose errors have a correlation of 0.25 are worth two.
        expected = torch.softmax(2.0 * model.scale() * cosine.mean(dim=0), dim=0)
    order = expected.argsort(descending=True).tolist()
    assert [place.latlon_deg for place in told.places] == [tuple(places_deg[row]) for row in order]
    for place, row in zip(told.places, order, strict=True):
        assert place.probability == pytest.approx(float(expected[row]), rel=1e-4)
        assert place.score == pytest.approx(float(cosine[:, row].mean()), abs=1e-6)
    assert told.source == "image 1 and 2 more"
    # One image pooled is that image.
    alone = geolocator.locate_together(images[:1], top_k=3)
    assert alone == geolocator.locate(images[0], top_k=3)


def test_a_trip_answers_every_image_in_order(geolocator: Geolocator, photo: Photo) -> None:
    images = [photo(seed) for seed in range(3)]
    told = geolocator.locate_trip(images, [0.0, 1.0, 1.5], top_k=2)
    assert [answer.source for answer in told] == ["image 1", "image 2", "image 3"]
    # Within an hour and a half nobody leaves: all three are where they best agree.
    assert len({answer.places[0].latlon_deg for answer in told}) == 1
    moving = Geolocator(geolocator.model, geolocator.gallery, decoding="posterior")
    assert moving.basis.decoding == "posterior"
    assert moving.locate_trip(images, [0.0, 1.0, 1.5])[0].basis.decoding == "argmax"
    (alone,) = geolocator.locate_trip(images[:1], [0.0], top_k=2)
    plain = geolocator.locate(images[0], top_k=2)
    assert [p.latlon_deg for p in alone.places] == [p.latlon_deg for p in plain.places]
    assert geolocator.locate_trip([], []) == []


@pytest.mark.parametrize(
    ("ask", "match"),
    [
        (lambda g: g.locate_together([]), "at least one"),
        (lambda g: g.locate_together([_IMAGE], likeness=1.5), "likeness"),
        (lambda g: g.locate_trip([_IMAGE], []), "one time in hours"),
        (lambda g: g.locate(_IMAGE, apart_km=-1.0), "apart_km"),
        (lambda g: g.locate(_IMAGE, apart_km=float("nan")), "apart_km"),
    ],
)
def test_what_cannot_be_asked_is_refused(geolocator: Geolocator, ask, match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        ask(geolocator)


def test_heat_is_given_where_it_is_asked_for(geolocator: Geolocator, photo: Photo) -> None:
    assert geolocator.locate(photo()).heat is None
    heat = geolocator.locate(photo(), heat=True).heat
    assert heat is not None
    assert sum(cell[2] for cell in heat.cells) == pytest.approx(1.0, abs=1e-2)


def test_noise_is_answered_with_a_doubt(geolocator: Geolocator, photo: Photo) -> None:
    answer = geolocator.locate(photo())
    assert "not_a_photograph" in answer.doubts
    assert answer.abstain


def test_a_batch_larger_than_memory_allows_is_answered_in_parts(
    geolocator: Geolocator, photo: Photo, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = geolocator.locate([photo(seed) for seed in range(5)], top_k=3)
    monkeypatch.setattr("geoloc.inference.answering._HELD", 14)
    parts = geolocator.locate([photo(seed) for seed in range(5)], top_k=3)
    assert [answer.source for answer in parts] == [answer.source for answer in whole]
    for part, other in zip(parts, whole, strict=True):
        # Another shape of the same product may round otherwise in the last digit.
        told = [(p.latlon_deg, pytest.approx(p.probability, rel=1e-5)) for p in other.places]
        assert [(p.latlon_deg, p.probability) for p in part.places] == told

"""Occlusion maps: models that look at one known patch, a naive loop, and a model of nothing else
but noise."""

from __future__ import annotations

import itertools
import json
import math
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from geoloc.data.transforms import preprocess
from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km
from geoloc.inference import Geolocator
from geoloc.inference.explanation import Occlusion, explain
from geoloc.models import DualEncoder, LocationEncoder
from geoloc.models.image_encoder import ImagePreset
from geoloc.retrieval import Embedded

SIDE = 56
PATCH = (slice(16, 24), slice(40, 48))  # inside row 2, column 5 of a 7 x 7 grid


class Looks(nn.Module):
    """An image tower of one number, of whatever it is told to look at."""

    def __init__(self, look, *, size=SIDE, crop=1.0):
        super().__init__()
        self.feature_dim, self.look = 1, look
        self.preset = ImagePreset(
            size=size, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5), crop_fraction=crop
        )

    def fingerprint(self):
        return "looks"

    def forward(self, images):
        return torch.stack([torch.as_tensor(self.look(each)).float() for each in images])[:, None]


def at_patch(image):
    return 40.0 * image[0][PATCH].mean()


def as_noise(image):
    """Another number for any other image, whatever differs."""
    return float(np.random.default_rng(zlib.crc32(image.numpy().tobytes())).normal())


@pytest.fixture
def looking_at(gallery_of):
    def make(look, **kwargs):
        torch.manual_seed(3)
        model = DualEncoder(
            Looks(look, **kwargs),
            location_encoder=LocationEncoder(
                output_dim=16, sigmas=(1.0, 4.0), hidden=16, features=8
            ),
            embedding_dim=16,
            head_hidden=32,
        ).eval()
        return Geolocator(model, gallery_of(model))

    return make


@pytest.fixture
def picture():
    pixels = np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    pixels[PATCH] = 255
    return Image.fromarray(pixels)


def test_a_model_that_looks_at_one_patch_is_found_out(looking_at, picture):
    geolocator, how = looking_at(at_patch), Occlusion(reach=1.0)
    found = explain(geolocator, picture, how=how)
    elsewhere = np.ones((7, 7), dtype=bool)
    elsewhere[2, 5] = False
    assert abs(found.effect[2, 5]) > 0.05
    assert np.abs(found.effect[elsewhere]).max() < 1e-6
    assert found.moved_km[elsewhere].max() == 0.0
    assert found.passes == 99
    # Of a bright patch and a dark one, one is more like grey to the random head than the other.
    dark = explain(geolocator, Image.fromarray(255 - np.asarray(picture)), how=how)
    support = [each for each in (found, dark) if each.effect[2, 5] > 0]
    assert support
    assert all(each.strongest == (2, 5) for each in support)
    assert all("row 3, column 6 of 7" in each.words() for each in support)


def test_patches_that_overlap_the_known_one_count_too(looking_at, picture):
    found = explain(looking_at(at_patch), picture, how=Occlusion(reach=3.0))
    near = np.zeros((7, 7), dtype=bool)
    near[1:4, 4:7] = True
    assert np.abs(found.effect[near]).min() > 1e-3
    assert np.abs(found.effect[~near]).max() < 1e-6
    assert found.patch == pytest.approx(3 / 7)


def test_equals_a_naive_loop(geolocator, photo):
    how = Occlusion(cells=4, reach=1.5, near_km=1500.0)
    image, model = photo(3), geolocator.model
    found = explain(geolocator, image, how=how)
    pixels = preprocess(image, model.preset)
    side = model.preset.size
    places = geolocator.gallery.latlon_deg
    place = geolocator.gallery.embedding.double()

    def posterior(prepared):
        with torch.no_grad():
            query = model.embed_features(model.backbone_features(prepared[None]))[0].double()
            logit = float(model.scale()) * (place @ query)
        weight = [math.exp(each) for each in logit.tolist()]
        return [each / sum(weight) for each in weight]

    plain = posterior(pixels)
    best = int(np.argmax(plain))
    near = [i for i in range(len(places)) if great_circle_km(places[i], places[best]) <= 1500.0]
    before = math.log(sum(plain[i] for i in near))
    maps = np.zeros((2, 4, 4))
    moved = np.zeros((4, 4))
    for row, column in itertools.product(range(4), range(4)):
        top, left = (max(0, round((at + 0.5) * side / 4 - 6)) for at in (row, column))
        bottom, right = (min(side, round((at + 0.5) * side / 4 + 6)) for at in (row, column))
        flat, moved_in = pixels.clone(), pixels.clone()
        for y, x in itertools.product(range(top, bottom), range(left, right)):
            flat[:, y, x] = outside_mean(pixels, (top, left, bottom, right))
            moved_in[:, y, x] = pixels[:, (y - side // 2) % side, (x - side // 2) % side]
        for number, changed in enumerate((flat, moved_in)):
            after = posterior(changed)
            maps[number, row, column] = before - math.log(sum(after[i] for i in near))
        moved[row, column] = great_circle_km(places[int(np.argmax(posterior(flat)))], places[best])
    assert found.effect == pytest.approx(maps.mean(axis=0), abs=2e-5)
    assert found.moved_km == pytest.approx(moved, abs=1e-6)
    assert found.noise == pytest.approx(np.sqrt(((maps[0] - maps[1]) ** 2).mean()) / 2, abs=2e-5)
    want = np.corrcoef(maps[0].ravel(), maps[1].ravel())[0, 1]
    assert found.agreement == pytest.approx(want, abs=1e-3)
    assert found.near_probability == pytest.approx(math.exp(before), rel=1e-5)
    assert found.answer.latlon_deg == pytest.approx(tuple(places[best]))


def outside_mean(pixels, box):
    top, left, bottom, right = box
    rows, columns = np.indices(pixels.shape[1:])
    inside = (top <= rows) & (rows < bottom) & (left <= columns) & (columns < right)
    return torch.tensor(pixels.double().numpy()[:, ~inside].mean(axis=1))


def test_the_batch_size_changes_nothing(geolocator, photo):
    maps = [
        explain(geolocator, photo(1), how=Occlusion(cells=3, batch_size=size))
        for size in (1, 4, 50)
    ]
    for other in maps[1:]:
        assert other.effect == pytest.approx(maps[0].effect, abs=1e-5)
        assert other.moved_km == pytest.approx(maps[0].moved_km)
        assert other.without_strongest.latlon_deg == maps[0].without_strongest.latlon_deg


def test_a_map_of_noise_says_so(looking_at, photo):
    verdicts = [
        explain(looking_at(as_noise), photo(seed, (SIDE, SIDE)), how=Occlusion(cells=8)).reliable
        for seed in range(8)
    ]
    assert sum(verdicts) <= 1


def test_a_map_of_something_says_so(looking_at, picture):
    def look(image):
        return 10.0 * image[0][PATCH].mean() + 5.0 * image[0][:8, :8].mean()

    found = explain(looking_at(look), picture)
    assert found.agreement > 0.8
    assert found.reliable == (found.largest > 2 * found.noise)


def test_a_constant_answer_has_no_part_that_moves_it(looking_at, picture):
    found = explain(looking_at(lambda image: 1.0), picture)
    assert found.effect == pytest.approx(np.zeros((7, 7)), abs=1e-5)
    assert not found.reliable
    assert "no part" in found.words()


def test_the_seen_square_is_in_shares_of_the_whole_image(looking_at, photo):
    found = explain(looking_at(at_patch, crop=0.5), photo(2, (160, 80)))
    assert found.seen == pytest.approx((0.375, 0.25, 0.625, 0.75))


def test_the_most_alike_training_images_are_those_of_highest_cosine(geolocator, photo, places_deg):
    images = [photo(seed) for seed in range(5)]
    pixels = torch.stack([preprocess(each, geolocator.preset) for each in images])
    with torch.no_grad():
        vectors = geolocator.model.embed_features(geolocator.model.backbone_features(pixels))
    references = Embedded(
        key=tuple("abcde"), latlon_deg=places_deg[:5], embedding=vectors, label=({},) * 5
    )
    found = explain(geolocator, images[3], how=Occlusion(cells=3), references=references)
    assert found.training is not None
    assert found.training[0].place.reference == "d"
    assert found.training[0].place.score == pytest.approx(1.0, abs=1e-5)
    cosine = (vectors @ vectors[3]).numpy()
    order = np.argsort(-cosine)
    assert [each.place.reference for each in found.training] == ["abcde"[i] for i in order]
    assert [each.place.score for each in found.training] == pytest.approx(cosine[order], abs=1e-5)
    for each in found.training:
        away = great_circle_km(np.array(each.place.latlon_deg), np.array(found.answer.latlon_deg))
        assert each.answer_km == pytest.approx(float(away))


def test_the_json_is_what_its_docstring_says(geolocator, photo):
    found = explain(geolocator, photo(), how=Occlusion(cells=3), name="a photo")
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    doc = type(found).to_json.__doc__
    assert doc is not None
    assert [key for key in told if f"``{key}``" not in doc] == []
    assert (told["source"], told["cells"], told["training"]) == ("a photo", 3, None)
    assert np.array(told["effect"]) == pytest.approx(found.effect, abs=1e-4)
    assert told["answer"]["latitude_deg"] == pytest.approx(found.answer.latlon_deg[0], abs=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cells": 2},
        {"cells": 33},
        {"reach": 0.5},
        {"reach": 3.6},
        {"near_km": 0.0},
        {"near_km": math.nan},
        {"batch_size": 0},
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Occlusion(**wrong)

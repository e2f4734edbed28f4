"""Transforms: at query exactly what the encoders' own libraries do, in training reproducible."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.data.transforms import (
    DRAWS,
    Augmentation,
    augment,
    preprocess,
    sample_draws,
    seen_box,
)
from geoloc.errors import ConfigError
from geoloc.models.image_encoder import (
    CLIP_MEAN,
    CLIP_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    ImagePreset,
)
from geoloc.models.torchvision_compat import declare_missing_operators

SIZES = [(64, 48), (47, 93), (300, 200), (224, 224), (33, 32), (5, 9), (301, 77)]


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


def identity(size: int = 32) -> ImagePreset:
    return ImagePreset(size=size, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear", "nearest"])
def test_equals_torchvision(size, interpolation):
    declare_missing_operators()
    from torchvision import transforms

    preset = ImagePreset(
        size=112,
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        interpolation=interpolation,
        crop_fraction=0.875,
    )
    theirs = transforms.Compose(
        [
            transforms.Resize(128, transforms.InterpolationMode(interpolation)),
            transforms.CenterCrop(112),
            transforms.ToTensor(),
            transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
        ]
    )
    image = picture(*size)
    assert torch.equal(preprocess(image, preset), theirs(image))


@pytest.mark.parametrize("size", SIZES)
def test_equals_open_clip(size):
    declare_missing_operators()
    from open_clip import image_transform

    theirs = image_transform(96, is_train=False, mean=CLIP_MEAN, std=CLIP_STD)
    image = picture(*size)
    assert torch.equal(preprocess(image, ImagePreset(size=96)), theirs(image))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("side", "crop_fraction"), [(112, 0.875), (128, 0.875), (64, 0.95)])
def test_equals_timm(size, side, crop_fraction):
    declare_missing_operators()
    from timm.data import create_transform

    theirs = create_transform(
        (3, side, side),
        is_training=False,
        interpolation="bicubic",
        mean=IMAGENET_MEAN,
        std=IMAGENET_STD,
        crop_pct=crop_fraction,
        crop_mode="center",
    )
    preset = ImagePreset(
        size=side, mean=IMAGENET_MEAN, std=IMAGENET_STD, crop_fraction=crop_fraction
    )
    image = picture(*size)
    assert torch.equal(preprocess(image, preset), theirs(image))


@pytest.mark.parametrize("size", [(1, 60_000), (60_000, 1), (3, 500)])
def test_ribbons_do_not_explode(size):
    pixels = preprocess(picture(*size), ImagePreset(size=64))
    assert pixels.shape == (3, 64, 64)
    assert bool(torch.isfinite(pixels).all())


def test_a_gray_image_gets_three_channels():
    pixels = preprocess(picture(40, 30).convert("L"), identity())
    assert torch.equal(pixels[0], pixels[1])
    assert torch.equal(pixels[0], pixels[2])


def draws_of(seed: int) -> list[float]:
    return sample_draws(seed, 0, "key")


def test_augmentation_follows_its_draws_alone():
    image, preset = picture(80, 60), identity()

    def vary(seed: int) -> torch.Tensor:
        return augment(image, preset, draws_of(seed))

    torch.manual_seed(1)
    first = vary(5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, vary(5))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(first, vary(6))
    assert first.shape == (3, 32, 32)


def test_draws_are_even_and_of_seed_epoch_and_key():
    draws = np.array([sample_draws(3, epoch, f"{key}") for epoch in (0, 1) for key in range(400)])
    assert draws.shape == (800, DRAWS)
    assert draws.min() >= 0.0
    assert draws.max() < 1.0
    # Means of 800 even numbers: standard deviation 0.0102.
    assert np.abs(draws.mean(axis=0) - 0.5).max() < 0.045
    assert np.abs(np.corrcoef(draws.T)[~np.eye(DRAWS, dtype=bool)]).max() < 0.16
    assert len(np.unique(draws)) == draws.size
    assert sample_draws(3, 1, "7") == draws[407].tolist()


QUIET = {"min_crop_scale": 1.0, "jitter_probability": 0.0, "grayscale_probability": 0.0}


def test_without_variation_the_whole_square_is_kept():
    image = picture(32, 32)
    for seed in range(30):
        pixels = augment(
            image,
            identity(),
            draws_of(seed),
            augmentation=Augmentation(**QUIET),
        )
        # A crop of all the area fits only when its aspect is drawn as 1 to the pixel.
        assert torch.equal(pixels, preprocess(image, identity()))


def test_mirroring_and_loss_of_colour():
    image, draws = picture(32, 32), draws_of(0)
    flipped = augment(
        image, identity(), draws, augmentation=Augmentation(**QUIET, flip_probability=1.0)
    )
    assert torch.equal(flipped.flip(-1), preprocess(image, identity()))
    how = Augmentation(**{**QUIET, "grayscale_probability": 1.0})
    gray = augment(image, identity(), draws, augmentation=how)
    assert torch.equal(gray[0], gray[2])
    assert torch.equal(gray[0], preprocess(image.convert("L"), identity())[0])


def test_crops_are_even_over_the_image_and_within_their_limits():
    # Each pixel says where it is, so that the crop can be read from its corners.
    rows, columns = np.mgrid[:200, :250].astype(np.uint8)
    image = Image.fromarray(np.stack([rows, columns, rows], axis=-1))
    how = Augmentation(**{**QUIET, "min_crop_scale": 0.25})
    preset = ImagePreset(
        size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), interpolation="nearest"
    )
    areas, aspects, centres = [], [], []
    for seed in range(400):
        pixels = augment(image, preset, draws_of(seed), augmentation=how) * 255.0
        height = float(pixels[0, -1, 0] - pixels[0, 0, 0]) * 16 / 15
        width = float(pixels[1, 0, -1] - pixels[1, 0, 0]) * 16 / 15
        areas.append(height * width / (200 * 250))
        aspects.append(width / height)
        centres.append(((pixels[0, 0, 0] + pixels[0, -1, 0]) / 2).item())
    assert 0.23 < min(areas) < 0.32
    assert max(areas) > 0.85
    assert 0.7 < min(aspects) < 0.82
    assert 1.22 < max(aspects) < 1.42
    assert abs(np.mean(centres) - 99.5) < 4.0
    assert np.std(centres) > 12.0


@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "hue"])
def test_colour_jitter_equals_torchvision(name):
    declare_missing_operators()
    from torchvision.transforms import functional

    theirs = {
        "brightness": functional.adjust_brightness,
        "contrast": functional.adjust_contrast,
        "saturation": functional.adjust_saturation,
        "hue": functional.adjust_hue,
    }[name]
    image = picture(32, 32, seed=8)
    quiet = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
    strength = 0.5 if name == "hue" else 1.0
    how = Augmentation(**{**QUIET, "jitter_probability": 1.0, **quiet, name: strength})
    for draw in (0.0, 0.2, 0.5, 0.9):
        ours = augment(image, identity(), [draw] * DRAWS, augmentation=how)
        swing = (2.0 * draw - 1.0) * strength
        expected = theirs(image, swing if name == "hue" else 1.0 + swing)
        assert torch.equal(ours, preprocess(expected, identity()))


@pytest.mark.parametrize(
    "wrong",
    [
        {"min_crop_scale": 0.0},
        {"min_crop_scale": 1.2},
        {"flip_probability": -0.1},
        {"hue": 0.6},
        {"brightness": 1.5},
        {"grayscale_probability": float("nan")},
    ],
)
def test_impossible_augmentations_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Augmentation(**wrong)


@pytest.mark.parametrize("size", [(200, 100), (100, 200), (128, 128), (2000, 60)])
@pytest.mark.parametrize("crop", [1.0, 0.5])
def test_what_is_outside_the_seen_box_is_not_seen(size, crop):
    preset = ImagePreset(
        size=32, mean=(0.0,) * 3, std=(1.0,) * 3, crop_fraction=crop, interpolation="nearest"
    )
    left, top, right, bottom = seen_box(size, preset)
    x, y = np.arange(size[0]) + 0.5, np.arange(size[1])[:, None] + 0.5
    seen = (x > left) & (x < right) & (y > top) & (y < bottom)
    pixels = np.zeros((size[1], size[0], 3), dtype=np.uint8)
    pixels[~seen] = 255
    # A pixel of the rim may be cut in two.
    assert preprocess(Image.fromarray(pixels), preset)[:, 2:-2, 2:-2].max() == 0
    pixels = np.where(seen[..., None], 255, 0).astype(np.uint8).repeat(3, axis=2)
    assert preprocess(Image.fromarray(pixels), preset)[:, 2:-2, 2:-2].min() == 1

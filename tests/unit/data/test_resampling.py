"""Resampling and colours: the bytes are Pillow's, for every size, filter and colour."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance

from geoloc.data import colours, resampling
from geoloc.data.colours import ColourChange, to_tensor, vary_colours
from geoloc.data.resampling import PILLOW_FILTERS, Resizing, as_image, as_pixels, resample
from geoloc.data.workspace import Workspace
from geoloc.models.image_encoder import ImagePreset

side = st.integers(1, 90)


def picture(width: int, height: int, seed: int = 0) -> Image.Image:
    """Noise with flat parts at both ends of the scale, where cubic sums overshoot."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    pixels[rng.random((height, width)) < 0.3] = 255
    pixels[rng.random((height, width)) < 0.3] = 0
    return Image.fromarray(pixels)


@given(
    source=st.tuples(side, side),
    size=st.tuples(side, side),
    cut=st.tuples(*[st.floats(0, 1)] * 8),
    interpolation=st.sampled_from(["bicubic", "bilinear", "nearest"]),
)
def test_equals_pillow(source, size, cut, interpolation):
    image = picture(*source)

    def part(of: tuple[int, int], shares: tuple[float, ...]) -> tuple[int, int, int, int]:
        spans = []
        for length, low, high in zip(of, shares[:2], shares[2:], strict=True):
            begin = min(int(low * length), length - 1)
            spans.append((begin, begin + max(1, round(high * (length - begin)))))
        (left, right), (top, bottom) = spans
        return left, top, right, bottom

    box, window = part(source, cut[:4]), part(size, cut[4:])
    how = Resizing(box=box, size=size, window=window, interpolation=interpolation)
    expected = image.crop(box).resize(size, PILLOW_FILTERS[interpolation]).crop(window)
    assert np.array_equal(resample(as_pixels(image), how)[..., :3], np.asarray(expected))


@pytest.mark.parametrize("size", [(640, 480), (231, 500), (224, 224), (5000, 40), (64, 64)])
@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
def test_equals_pillow_at_the_sizes_of_photographs(size, interpolation):
    image = picture(*size, seed=2)
    how = Resizing(
        box=(0, 0, *size), size=(224, 224), window=(0, 0, 224, 224), interpolation=interpolation
    )
    expected = image.resize((224, 224), PILLOW_FILTERS[interpolation])
    assert np.array_equal(resample(as_pixels(image), how)[..., :3], np.asarray(expected))


def test_without_numba_pillow_does_it(monkeypatch):
    image, how = (
        picture(70, 50),
        Resizing(box=(3, 4, 60, 49), size=(32, 30), window=(2, 1, 30, 29), interpolation="bicubic"),
    )
    changes = [ColourChange(kind="hue", amount=0.2), ColourChange(kind="contrast", amount=1.4)]
    preset = ImagePreset(size=28)

    def made() -> torch.Tensor:
        pixels = vary_colours(resample(as_pixels(image), how), changes)
        return to_tensor(pixels, preset, mirrored=True)

    compiled = made()
    monkeypatch.setattr(resampling, "numba_kernel", lambda: None)
    monkeypatch.setattr(colours, "_colour_kernel", lambda: None)
    assert torch.equal(made(), compiled)


def test_the_first_images_of_a_process_do_not_wait_for_numba():
    code = """
import sys
from PIL import Image
from geoloc.data.transforms import make_ready, preprocess
from geoloc.models.image_encoder import ImagePreset
image = Image.effect_mandelbrot((70, 50), (-3, -2.5, 2, 2.5), 100).convert("RGB")
first = preprocess(image, ImagePreset(size=28))
assert "numba" not in sys.modules
make_ready()
assert "numba" in sys.modules
assert (preprocess(image, ImagePreset(size=28)) == first).all()
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_box_follows_an_image_decoded_smaller():
    how = Resizing(
        box=(100, 40, 300, 80), size=(9, 9), window=(0, 0, 9, 9), interpolation="bicubic"
    )
    assert how.scaled((400, 200), (400, 200)) == how
    assert how.scaled((400, 200), (100, 50)).box == (25, 10, 75, 20)
    # However thin, a pixel is left.
    assert how.scaled((400, 200), (4, 2)).box == (1, 0, 3, 1)


def test_every_colour_turns_as_in_pillow():
    levels = np.arange(0, 256, 3, dtype=np.uint8)
    grid = np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(86, -1, 3)
    image = Image.fromarray(grid)
    for turns in (0.0, 0.13, -0.5, 0.499):
        hue, saturation, value = image.convert("HSV").split()
        turned = (np.asarray(hue, dtype=np.int32) + int(turns * 255)) % 256
        bands = (Image.fromarray(turned.astype(np.uint8)), saturation, value)
        expected = np.asarray(Image.merge("HSV", bands).convert("RGB"))
        found = vary_colours(as_pixels(image), [ColourChange(kind="hue", amount=turns)])
        assert np.array_equal(found[..., :3], expected)


@pytest.mark.parametrize(
    ("kind", "enhancer"),
    [
        ("brightness", ImageEnhance.Brightness),
        ("contrast", ImageEnhance.Contrast),
        ("saturation", ImageEnhance.Color),
    ],
)
@pytest.mark.parametrize("factor", [0.0, 0.37, 1.0, 1.61, 2.0])
def test_every_level_is_enhanced_as_in_pillow(kind, enhancer, factor):
    image = picture(128, 96, seed=5)
    found = vary_colours(as_pixels(image), [ColourChange(kind=kind, amount=factor)])
    assert np.array_equal(found[..., :3], np.asarray(enhancer(image).enhance(factor)))


def test_loss_of_colour_is_pillows_luma():
    image = picture(64, 64, seed=6)
    found = vary_colours(as_pixels(image), [ColourChange(kind="gray")])
    assert np.array_equal(found[..., :3], np.asarray(image.convert("L").convert("RGB")))


def test_the_argument_stays_as_it_is():
    pixels = as_pixels(picture(20, 20))
    before = pixels.copy()
    vary_colours(pixels, [ColourChange(kind="brightness", amount=0.5)])
    to_tensor(pixels, ImagePreset(size=20), mirrored=True)
    assert np.array_equal(pixels, before)
    assert np.array_equal(as_pixels(as_image(pixels)), as_pixels(picture(20, 20)))


def test_a_workspace_gives_its_memory_again_but_keeps_no_giant():
    room = Workspace()
    first = room.array("a", (4, 5), np.uint32)
    assert first.shape == (4, 5)
    assert np.shares_memory(first, room.array("a", (3, 2)))
    assert not np.shares_memory(first, room.array("b", (3, 2)))
    giant = room.array("a", (2**26 + 1,))
    assert np.shares_memory(first, room.array("a", (3, 2)))
    assert not np.shares_memory(giant, room.array("a", (3, 2)))

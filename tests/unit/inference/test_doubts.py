from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from geoloc.geodesy import great_circle_km, unit_vectors
from geoloc.inference.doubts import FLAT_KM, doubts_of, flat_posteriors, is_photograph


def scene(size: tuple[int, int] = (320, 240)) -> Image.Image:
    """Hills under a sky, with the fine noise of a camera."""
    x, y = np.meshgrid(np.linspace(0, 6, size[0]), np.linspace(0, 1, size[1]))
    hills = 0.55 + 0.1 * np.sin(2 * x) + 0.03 * np.sin(11 * x)
    ground = np.stack([90 + 60 * y, 110 + 20 * np.sin(9 * x) * y, 60 + 40 * y], axis=-1)
    sky = np.stack([120 + 80 * y, 160 + 60 * y, 230 - 20 * y], axis=-1)
    pixels = np.where((y > hills)[..., None], ground, sky)
    noise = np.random.default_rng(0).normal(0, 3, pixels.shape)
    return Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8))


def page_of_text() -> Image.Image:
    page = Image.new("RGB", (640, 480), "white")
    draw = ImageDraw.Draw(page)
    for line in range(30):
        draw.text((20, 14 * line), "somewhere over the rainbow, way up high " * 2, fill="black")
    return page


def chart() -> Image.Image:
    figure = Image.new("RGB", (400, 300), "#f0f0f0")
    draw = ImageDraw.Draw(figure)
    for bar in range(8):
        draw.rectangle((40 * bar + 20, 250 - 25 * bar, 40 * bar + 45, 280), fill="#0072b2")
    return figure


def through_jpeg(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=80)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("saved", [lambda image: image, through_jpeg])
@pytest.mark.parametrize("drawn", [page_of_text, chart])
def test_drawings_are_no_photographs(drawn, saved) -> None:
    assert not is_photograph(saved(drawn()))


@pytest.mark.parametrize("saved", [lambda image: image, through_jpeg])
def test_scenes_are(saved) -> None:
    assert is_photograph(saved(scene()))
    assert is_photograph(saved(scene((4000, 900))))


def test_pictures_that_ship_with_packages_are_photographs() -> None:
    datasets = pytest.importorskip("sklearn.datasets")
    for pixels in datasets.load_sample_images().images:
        assert is_photograph(Image.fromarray(pixels))
        # A white frame around a photograph makes it no drawing.
        framed = Image.new("RGB", (pixels.shape[1] + 80, pixels.shape[0] + 80), "white")
        framed.paste(Image.fromarray(pixels), (40, 40))
        assert is_photograph(framed)


def test_noise_and_one_colour_are_no_photographs() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    assert not is_photograph(Image.fromarray(noise))
    assert not is_photograph(Image.new("RGB", (64, 64), (12, 200, 7)))
    assert not is_photograph(Image.new("RGB", (1, 1)))
    # One column has no neighbours to be judged by.
    column = np.asarray(scene())[:, :1].copy()
    assert is_photograph(Image.fromarray(column))


def test_a_posterior_is_flat_where_half_of_it_is_farther_than_a_continent() -> None:
    places = np.array([[0.0, 0.0], [0.0, 22.0], [0.0, 23.0], [0.0, 180.0]])
    unit, start = unit_vectors(places), places[:1]
    assert great_circle_km(places[0], places[1]) < FLAT_KM < great_circle_km(places[0], places[2])
    for share, flat in (
        ([0.3, 0.3, 0.2, 0.2], False),
        ([0.3, 0.1, 0.3, 0.3], True),
        ([0.0, 0.6, 0.4, 0.0], False),
        ([0.45, 0.0, 0.55, 0.0], True),
    ):
        assert flat_posteriors(torch.tensor([share]), start, unit) == [flat]


def test_doubts_are_told_one_by_one() -> None:
    def told(flat: bool, unfamiliar: bool, photograph: bool) -> tuple[str, ...]:
        return doubts_of(flat=flat, unfamiliar=unfamiliar, photograph=photograph)

    assert told(False, False, True) == ()
    assert told(True, False, True) == ("flat_posterior",)
    assert told(False, True, True) == ("unfamiliar",)
    assert told(True, True, False) == ("flat_posterior", "unfamiliar", "not_a_photograph")

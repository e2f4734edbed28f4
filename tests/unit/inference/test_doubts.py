from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageDraw

from geoloc.inference.answers import CredibleRadius
from geoloc.inference.doubts import FLAT_KM, doubts_of, is_photograph, posterior_is_flat


def radius(level: float, km: float) -> CredibleRadius:
    return CredibleRadius(level=level, km=km, calibrated=False)


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
    assert posterior_is_flat([radius(0.5, FLAT_KM + 1), radius(0.9, 9000.0)])
    assert not posterior_is_flat([radius(0.5, FLAT_KM - 1), radius(0.9, 9000.0)])
    # Only a calibrated radius of 90 % is known: within it lies more than half.
    assert not posterior_is_flat([radius(0.9, 900.0)])
    assert not posterior_is_flat([])


def test_doubts_are_told_one_by_one() -> None:
    flat = [radius(0.5, 5000.0)]
    assert doubts_of(photograph=True, radii=[]) == ()
    assert doubts_of(photograph=True, radii=flat) == ("flat_posterior",)
    assert doubts_of(photograph=False, radii=flat) == ("flat_posterior", "not_a_photograph")
    assert doubts_of(photograph=False, radii=[]) == ("not_a_photograph",)

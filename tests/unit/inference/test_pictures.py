from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.errors import ImageError
from geoloc.inference.pictures import open_picture, source_name

Photo = Callable[..., Image.Image]


def png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def test_every_form_of_one_picture_gives_the_same_pixels(tmp_path: Path, photo: Photo) -> None:
    image = photo()
    pixels = np.asarray(image)
    file = tmp_path / "photo.png"
    file.write_bytes(png(image))
    forms = [
        file,
        str(file),
        png(image),
        image,
        pixels,
        pixels[:, ::-1][:, ::-1],
        (pixels / 255.0).astype(np.float32),
        pixels.astype(np.uint16) * 257,
        torch.from_numpy(pixels.copy()).permute(2, 0, 1),
        (torch.from_numpy(pixels.copy()).permute(2, 0, 1) / 255.0).double(),
    ]
    for form in forms:
        opened = open_picture(form)
        assert opened.mode == "RGB"
        np.testing.assert_array_equal(np.asarray(opened), pixels)


def test_gray_forms_become_rgb() -> None:
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    for form in (gray, gray[..., None], torch.from_numpy(gray)[None]):
        got = np.asarray(open_picture(form))
        np.testing.assert_array_equal(got, np.stack([gray] * 3, axis=-1))


@pytest.mark.parametrize("mode", ["L", "1", "P", "CMYK", "YCbCr", "HSV", "LA", "RGBA", "I", "F"])
def test_every_pil_mode_is_answered(mode: str, photo: Photo) -> None:
    base = photo().convert("RGBA") if mode == "LA" else photo()
    middle = base.convert("L") if mode in {"I", "F"} else base
    opened = open_picture(middle.convert(mode))
    assert opened.mode == "RGB"
    assert opened.size == (48, 40)


def test_transparent_pixels_lie_on_white_like_those_of_a_file() -> None:
    clear = Image.new("RGBA", (4, 4), (10, 20, 30, 0))
    assert np.asarray(open_picture(clear)).min() == 255
    np.testing.assert_array_equal(
        np.asarray(open_picture(clear)), np.asarray(open_picture(png(clear)))
    )


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = Image.fromarray(np.full((4, 4), 32896, dtype=np.uint16))
    assert set(np.asarray(open_picture(deep)).ravel()) == {128}


def test_a_pil_image_is_turned_upright_and_left_as_it_was(photo: Photo) -> None:
    image = photo()
    image.getexif()[0x0112] = 6
    turned = open_picture(image)
    assert turned.size == (40, 48)
    np.testing.assert_array_equal(np.asarray(turned), np.rot90(np.asarray(image), -1))
    assert image.size == (48, 40)


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        (np.zeros((2, 3, 5), np.uint8), "wrong_shape"),
        (np.zeros((0, 4, 3), np.uint8), "wrong_shape"),
        (np.zeros((2, 2, 2, 3), np.uint8), "wrong_shape"),
        (np.zeros((4, 4), np.int64), "wrong_type"),
        (np.full((4, 4), 2.0), "wrong_values"),
        (np.full((4, 4), np.nan), "wrong_values"),
        (np.full((4, 4), -0.5), "wrong_values"),
        (torch.zeros(4, 4), "wrong_shape"),
        (torch.zeros(5, 4, 3), "wrong_shape"),
        (torch.full((3, 4, 4), 7.0), "wrong_values"),
        (42, "wrong_type"),
        (None, "wrong_type"),
        (b"", "empty"),
        (b"not an image at all", "not_an_image"),
    ],
)
def test_refusals_name_the_image_and_the_kind(item: object, kind: str) -> None:
    with pytest.raises(ImageError, match="image 7: ") as caught:
        open_picture(item, name="image 7")
    assert caught.value.kind == kind
    assert "\n" not in str(caught.value)


def test_a_huge_array_is_refused_before_it_is_converted() -> None:
    huge = np.broadcast_to(np.zeros((1, 1, 3), np.uint8), (100_000, 100_000, 3))
    with pytest.raises(ImageError) as caught:
        open_picture(huge)
    assert caught.value.kind == "too_large"


def test_a_lazily_opened_truncated_file_is_refused(photo: Photo) -> None:
    buffer = io.BytesIO()
    photo(size=(200, 200)).save(buffer, "JPEG")
    with (
        Image.open(io.BytesIO(buffer.getvalue()[:3000])) as torn,
        pytest.raises(ImageError) as caught,
    ):
        open_picture(torn, name="torn")
    assert caught.value.kind == "truncated"


def test_source_names(photo: Photo) -> None:
    assert source_name(Path("a/b.jpg"), 4) == "a/b.jpg"
    assert source_name("a/b.jpg", 4) == "a/b.jpg"
    assert source_name(b"", 0) == "image 1"
    assert source_name(photo(), 2) == "image 3"

"""EncodedImage: whatever the road, the pixels and the verdicts are those of `decode_image`."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from PIL import Image

from geoloc.data.decoding import decode_image
from geoloc.data.encoded_image import EncodedImage, plain_jpeg_size
from geoloc.errors import ImageError


def picture(width: int = 90, height: int = 70) -> Image.Image:
    rows, columns = np.mgrid[:height, :width]
    waves = np.stack([rows * 3, columns * 2, (rows + columns) * 5], axis=-1) % 256
    noise = np.random.default_rng(1).integers(0, 40, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(picture(), exif=exif)


JPEGS = {
    "4:4:4": encoded(picture(), subsampling=0, quality=95),
    "4:2:2": encoded(picture(), subsampling=1),
    "4:2:0": encoded(picture(91, 73), subsampling=2, quality=60),
    "progressive": encoded(picture(), progressive=True),
    "restarts": encoded(picture(), restart_marker_blocks=2),
    "optimised": encoded(picture(), optimize=True),
    "gray": encoded(picture().convert("L")),
    "comment": encoded(picture(), comment=b"a comment \xff\xc0"),
    "upright by EXIF": turned(1),
    "one pixel": encoded(picture(1, 1)),
    "with rubbish behind": encoded(picture()) + b"rubbish",
}
OTHERS = {
    **{f"orientation {n}": turned(n) for n in range(2, 9)},
    "CMYK": encoded(picture().convert("CMYK")),
    "PNG": encoded(picture(), "PNG"),
    "WebP": encoded(picture(), "WEBP"),
    "PNG with a hole": encoded(picture().convert("RGBA"), "PNG"),
}


@pytest.mark.parametrize("name", [*JPEGS, *OTHERS])
def test_pixels_are_those_of_pillow(name):
    data = {**JPEGS, **OTHERS}[name]
    expected = decode_image(data)
    image = EncodedImage(data)
    assert image.size == expected.size
    assert np.array_equal(image.pixels()[..., :3], np.asarray(expected))
    assert (plain_jpeg_size(data) is not None) == (name in JPEGS)


@pytest.mark.parametrize("name", ["4:4:4", "4:2:0", "progressive", "gray"])
def test_a_smaller_picture_is_no_smaller_than_asked_for_and_looks_alike(name):
    large = Image.open(io.BytesIO(JPEGS[name])).convert("RGB").resize((640, 480))
    data = encoded(large, quality=95)
    found = EncodedImage(data).pixels(at_least=(150, 110)).copy()
    assert found.shape[1] >= 150
    assert found.shape[0] >= 110
    assert found.shape[1] < 320
    assert found.shape[1] / found.shape[0] == pytest.approx(640 / 480, rel=0.02)
    smaller = decode_image(data).resize((found.shape[1], found.shape[0]), Image.Resampling.BOX)
    assert np.abs(found[..., :3].astype(float) - np.asarray(smaller)).mean() < 3.0
    assert EncodedImage(data).pixels(at_least=(5000, 5000)).shape == (480, 640, 4)


@pytest.mark.parametrize("trial", range(60))
def test_damage_is_judged_as_before(trial):
    rng = random.Random(trial)
    data = bytearray(JPEGS[rng.choice(["4:4:4", "4:2:0", "progressive"])])
    match trial % 4:
        case 0:
            del data[rng.randrange(2, len(data)) :]
        case 1:
            at = rng.randrange(len(data))
            data[at : at + 60] = rng.randbytes(60)
        case 2:
            at = rng.randrange(len(data))
            data[at : at + 200] = bytes(min(200, len(data) - at))
        case _:
            del data[rng.randrange(len(data)) :][:5]

    def by(decode: object) -> tuple[str, bytes]:
        try:
            return "whole", decode().tobytes()
        except ImageError as error:
            return error.kind, b""

    expected = by(lambda: decode_image(bytes(data)))
    assert by(lambda: EncodedImage(bytes(data)).pixels()[..., :3]) == expected


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xc0\x00\x08\x08", b"no"]
)
def test_stumps_are_no_images(data):
    with pytest.raises(ImageError):
        EncodedImage(data)


def test_the_gate_is_before_the_decoder():
    data = bytearray(JPEGS["4:4:4"])
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = (20_000).to_bytes(2, "big") * 2
    with pytest.raises(ImageError, match="more than the limit") as refused:
        EncodedImage(bytes(data))
    assert refused.value.kind == "too_large"

"""Decoding: every kind of image comes out right, and every kind of damage is named."""

from __future__ import annotations

import io
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, ImageFile

from geoloc.data.decoding import decode_image, read_image
from geoloc.errors import ImageError

RNG = np.random.default_rng(3)
# Four flat quarters, so that lossy formats keep them and any turn or mirroring shows.
QUARTERS = np.zeros((32, 48, 3), dtype=np.uint8)
QUARTERS[:16, :24] = (200, 30, 30)
QUARTERS[:16, 24:] = (30, 200, 30)
QUARTERS[16:, :24] = (30, 30, 200)
QUARTERS[16:, 24:] = (220, 220, 40)
PICTURE = Image.fromarray(QUARTERS)


def encode(image: Image.Image, format_name: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def png_chunk(tag: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))


def png_header_only(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(64)))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def jpeg_that_claims(width: int, height: int) -> bytes:
    data = bytearray(encode(PICTURE, "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def kind_of(data: bytes, **options) -> str:
    with pytest.raises(ImageError) as caught:
        decode_image(data, **options)
    assert "\n" not in str(caught.value)
    return caught.value.kind


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "MPO"])
def test_formats_come_out_rgb_and_alike(format_name):
    options = {"MPO": {"save_all": True, "append_images": [PICTURE]}}.get(format_name, {})
    image = decode_image(encode(PICTURE, format_name, **options))
    assert image.mode == "RGB"
    assert image.size == (48, 32)
    middle = np.asarray(image)[[8, 8, 24, 24], [12, 36, 12, 36]].astype(int)
    truth = QUARTERS[[8, 8, 24, 24], [12, 36, 12, 36]].astype(int)
    assert np.abs(middle - truth).max() <= 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_orientation_is_undone(orientation, format_name):
    # What a camera held that way stores, by the meaning of the tag: where row 0 and column 0 are.
    stored = {
        1: QUARTERS,
        2: QUARTERS[:, ::-1],
        3: QUARTERS[::-1, ::-1],
        4: QUARTERS[::-1],
        5: QUARTERS.transpose(1, 0, 2),
        6: QUARTERS.transpose(1, 0, 2)[::-1],
        7: QUARTERS.transpose(1, 0, 2)[::-1, ::-1],
        8: QUARTERS.transpose(1, 0, 2)[:, ::-1],
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95} if format_name in ("JPEG", "WEBP") else {}
    image = decode_image(
        encode(Image.fromarray(np.ascontiguousarray(stored)), format_name, exif=exif, **options)
    )
    assert image.size == (48, 32)
    close = np.abs(np.asarray(image).astype(int) - QUARTERS.astype(int))
    assert np.median(close.reshape(-1, 3), axis=0).max() <= 8
    corners = np.asarray(image)[[4, 4, 28, 28], [4, 44, 4, 44]].astype(int)
    assert np.abs(corners - QUARTERS[[4, 4, 28, 28], [4, 44, 4, 44]].astype(int)).max() <= 16


def test_torn_exif_does_not_cost_the_image():
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(PICTURE, "JPEG", exif=exif)
    at = data.index(b"Exif\0\0") + 6
    torn = data[:at] + b"MM\x00\x2a\xff\xff\xff\xff" + data[at + 8 :]
    assert decode_image(torn).size == (48, 32)
    unknown = Image.Exif()
    unknown[0x0112] = 77
    assert decode_image(encode(PICTURE, "JPEG", exif=unknown)).size == (48, 32)


def test_sixteen_bits_are_scaled_not_clipped():
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    gray = np.asarray(decode_image(encode(Image.fromarray(ramp), "PNG")))[..., 0]
    np.testing.assert_array_equal(gray.ravel(), np.arange(256))
    tiff = np.asarray(decode_image(encode(Image.fromarray(ramp), "TIFF")))[..., 1]
    np.testing.assert_array_equal(tiff.ravel(), np.arange(256))


def test_wide_numbers_are_stretched_over_their_own_range():
    values = np.linspace(-3.0, 5.0, 256, dtype=np.float32).reshape(16, 16)
    gray = np.asarray(decode_image(encode(Image.fromarray(values), "TIFF")))[..., 0]
    np.testing.assert_array_equal(gray.ravel(), np.arange(256))
    values[0, 0] = np.nan
    assert np.asarray(decode_image(encode(Image.fromarray(values), "TIFF")))[0, 0, 0] == 0
    whole = np.linspace(0, 2_000_000_000, 256).astype(np.int32).reshape(16, 16)
    gray = np.asarray(decode_image(encode(Image.fromarray(whole), "TIFF")))[..., 0]
    assert np.abs(gray.ravel().astype(int) - np.arange(256)).max() <= 1


def test_cmyk_of_adobe_is_not_a_negative():
    data = encode(Image.fromarray(np.full((16, 16, 3), (250, 250, 250), np.uint8)), "PNG")
    bright = decode_image(data).convert("CMYK")
    jpeg = encode(bright, "JPEG", quality=95)
    assert b"Adobe" in jpeg
    assert np.asarray(decode_image(jpeg)).min() > 230
    tiff = encode(PICTURE.convert("CMYK"), "TIFF")
    np.testing.assert_allclose(np.asarray(decode_image(tiff)).astype(int), QUARTERS, atol=2)


def test_transparency_lies_on_white():
    layer = np.zeros((4, 4, 4), dtype=np.uint8)
    layer[:, 2:] = (10, 20, 30, 255)
    for format_name, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})):
        pixels = np.asarray(decode_image(encode(Image.fromarray(layer), format_name, **options)))
        assert pixels[0, 0].tolist() == [255, 255, 255]
        assert pixels[0, 3].tolist() == [10, 20, 30]
    half = np.full((2, 2, 2), (0, 128), dtype=np.uint8)
    gray = np.asarray(decode_image(encode(Image.fromarray(half, mode="LA"), "PNG")))
    assert gray[0, 0].tolist() == [127, 127, 127]
    palette = PICTURE.quantize(4)
    clear = encode(palette, "PNG", transparency=int(np.asarray(palette)[0, 0]))
    assert np.asarray(decode_image(clear))[0, 0].tolist() == [255, 255, 255]
    # A colour named transparent by the tRNS chunk of an RGB image.
    keyed = encode(PICTURE, "PNG", transparency=(200, 30, 30))
    assert np.asarray(decode_image(keyed))[0, 0].tolist() == [255, 255, 255]
    assert np.asarray(decode_image(keyed))[0, 47].tolist() == [30, 200, 30]


@pytest.mark.parametrize("mode", ["1", "L", "P", "YCbCr", "LAB"])
def test_other_modes(mode):
    if mode == "LAB":
        transform = ImageCms.buildTransform(
            ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), "RGB", "LAB"
        )
        source = ImageCms.applyTransform(PICTURE, transform)
    else:
        source = PICTURE.convert(mode)
    image = decode_image(encode(source, "TIFF" if mode in ("YCbCr", "LAB") else "PNG"))
    assert image.mode == "RGB"
    truth = np.asarray(source.convert("RGB") if mode != "LAB" else PICTURE).astype(int)
    assert np.abs(np.asarray(image).astype(int) - truth).max() <= 16


@pytest.mark.parametrize("format_name", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(format_name):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    data = encode(frames[0], format_name, save_all=True, append_images=frames[1:], duration=50)
    red, green, blue = np.asarray(decode_image(data))[4, 4].tolist()
    assert red > 240
    assert max(green, blue) < 15


def test_bombs_are_refused_by_their_header():
    assert kind_of(png_header_only(30_000, 30_000)) == "too_large"
    assert kind_of(jpeg_that_claims(20_000, 20_000)) == "too_large"
    # Between Pillow's warning and its error, where only our own gate stands.
    assert kind_of(png_header_only(10_000, 10_000)) == "too_large"
    assert kind_of(encode(PICTURE, "PNG"), max_pixels=48 * 32 - 1) == "too_large"
    assert decode_image(encode(PICTURE, "PNG"), max_pixels=48 * 32).size == (48, 32)


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "BMP", "GIF"])
def test_truncation_is_refused_wherever_it_falls(format_name):
    noise = Image.fromarray(RNG.integers(0, 255, (40, 40, 3), dtype=np.uint8))
    data = encode(noise, format_name)
    for length in np.linspace(40, len(data) * 0.98, 25).astype(int):
        assert kind_of(data[:length]) in {"truncated", "not_an_image"}
    assert kind_of(data[: len(data) // 2]) == "truncated"


def test_truncation_is_refused_even_if_somebody_allowed_it(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = encode(Image.fromarray(RNG.integers(0, 255, (40, 40, 3), dtype=np.uint8)), "JPEG")
    assert kind_of(data[: len(data) // 2]) == "truncated"
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_kinds_of_what_is_no_image():
    assert kind_of(b"") == "empty"
    assert kind_of(b"\0" * 100) == "not_an_image"
    assert kind_of(b"<html>no such image</html>") == "not_an_image"
    assert kind_of(encode(PICTURE, "PPM")) == "not_an_image"
    assert kind_of(encode(PICTURE, "PDF")) == "not_an_image"
    png = bytearray(encode(PICTURE, "PNG"))
    png[60] ^= 0xFF
    assert kind_of(bytes(png)) in {"corrupt", "truncated"}
    assert "holiday.png" in str(_raised(bytes(png), name="holiday.png"))


def _raised(data: bytes, **options) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode_image(data, **options)
    return caught.value


@settings(max_examples=150, deadline=None)
@given(
    format_name=st.sampled_from(["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"]),
    at=st.floats(0, 1, exclude_max=True),
    noise=st.binary(min_size=1, max_size=64),
)
def test_damage_gives_an_image_or_an_image_error(format_name, at, noise):
    data = bytearray(encode(PICTURE, format_name))
    start = int(at * len(data))
    data[start : start + len(noise)] = noise
    try:
        image = decode_image(bytes(data))
    except ImageError as error:
        assert error.kind in {"not_an_image", "too_large", "truncated", "corrupt"}  # noqa: PT017
    else:
        assert image.mode == "RGB"


def test_files(tmp_path: Path, monkeypatch):
    good = tmp_path / "Straße ü.jpg"
    good.write_bytes(encode(PICTURE, "JPEG"))
    assert read_image(good).size == (48, 32)
    assert read_image(str(good)).size == (48, 32)

    def kind(path: Path | str, **options) -> str:
        with pytest.raises(ImageError) as caught:
            read_image(path, **options)
        assert str(path) in str(caught.value)
        return caught.value.kind

    assert kind(tmp_path / "nowhere.jpg") == "missing"
    assert kind(tmp_path) == "not_a_file"
    assert kind(good, max_megabytes=1e-6) == "file_too_large"
    (tmp_path / "empty.jpg").touch()
    assert kind(tmp_path / "empty.jpg") == "empty"
    os.mkfifo(tmp_path / "pipe.jpg")
    assert kind(tmp_path / "pipe.jpg") == "not_a_file"
    assert kind("x" * 5000) in {"missing", "unreadable"}

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert kind(good) == "unreadable"


@pytest.mark.parametrize(("mode", "dtype"), [("I;16", np.uint16), ("F", np.float32)])
def test_large_gray_images_are_scaled_as_a_whole(mode, dtype):
    values = np.random.default_rng(4).uniform(3.0, 60_000.0, (700, 900)).astype(dtype)
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF")
    low, high = (0.0, 65535.0) if mode == "I;16" else (float(values.min()), float(values.max()))
    expected = np.rint((values.astype(np.float64) - low) / (high - low) * 255.0)
    decoded = np.asarray(decode_image(buffer.getvalue()))
    np.testing.assert_array_equal(decoded, np.repeat(expected[..., None], 3, axis=2))

"""Every kind of bad or odd file gets an answer or one clear refusal; the others are answered."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from geoloc.inference import Answer, Geolocator, Refusal

Photo = Callable[..., Image.Image]


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def bomb_png(side: int = 40_000) -> bytes:
    """A small PNG whose header promises side x side pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    rows = zlib.compress(bytes(10_000))
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    )


def odd_but_good(photo: Photo) -> dict[str, bytes]:
    base = photo(0, (64, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = [photo(number).convert("P") for number in range(3)]
    deep = Image.fromarray(np.asarray(base.convert("L")).astype(np.uint16) * 257)
    return {
        "cmyk.jpg": encoded(base.convert("CMYK"), "JPEG"),
        "deep.png": encoded(deep, "PNG"),
        "rotated.jpg": encoded(base, "JPEG", exif=exif),
        "animated.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "gray.jpg": encoded(base.convert("L"), "JPEG"),
        "bilevel.png": encoded(base.convert("1"), "PNG"),
        "clear.png": encoded(base.convert("RGBA"), "PNG"),
        "palette.png": encoded(base.convert("P"), "PNG"),
        "one_pixel.png": encoded(photo(0, (1, 1)), "PNG"),
        "ribbon.png": encoded(photo(0, (2000, 2)), "PNG"),
        "png_called.jpg": encoded(base, "PNG"),
    }


def bad(photo: Photo) -> dict[str, tuple[bytes, str]]:
    whole = encoded(photo(0, (300, 200)), "JPEG")
    return {
        "text.jpg": (b"certainly not an image", "not_an_image"),
        "empty.jpg": (b"", "empty"),
        "truncated.jpg": (whole[: len(whole) // 2], "truncated"),
        "head_only.jpg": (whole[:20], "not_an_image"),
        "bomb.png": (bomb_png(), "too_large"),
        "html.png": (b"<!DOCTYPE html><html></html>", "not_an_image"),
    }


def test_odd_files_are_answered(geolocator: Geolocator, photo: Photo, tmp_path: Path) -> None:
    for name, content in odd_but_good(photo).items():
        (tmp_path / name).write_bytes(content)
        answer = geolocator.locate(tmp_path / name, top_k=2)
        assert len(answer.places) == 2, name
        assert np.isfinite(answer.places[0].score), name


def test_a_photo_rotated_by_exif_is_answered_as_the_upright_one(
    geolocator: Geolocator, photo: Photo
) -> None:
    base = photo(0, (64, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = encoded(base, "PNG", exif=exif)
    upright = base.transpose(Image.Transpose.ROTATE_270)
    ours = geolocator.locate(stored, top_k=3)
    assert ours.places == geolocator.locate(upright, top_k=3).places
    assert ours.places != geolocator.locate(base, top_k=3).places


def test_an_animation_is_answered_by_its_first_frame(geolocator: Geolocator, photo: Photo) -> None:
    frames = [photo(number).convert("P") for number in range(3)]
    moving = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    still = encoded(frames[0], "GIF")
    assert geolocator.locate(moving).places == geolocator.locate(still).places


def test_bad_files_are_refused_in_one_line_and_the_batch_goes_on(
    geolocator: Geolocator, photo: Photo, tmp_path: Path
) -> None:
    wanted: dict[str, str] = {}
    for name, (content, kind) in bad(photo).items():
        (tmp_path / name).write_bytes(content)
        wanted[str(tmp_path / name)] = kind
    (tmp_path / "folder.jpg").mkdir()
    wanted[str(tmp_path / "folder.jpg")] = "not_a_file"
    wanted[str(tmp_path / "gone.jpg")] = "missing"
    good = tmp_path / "good.png"
    photo(1).save(good)
    items = [item for path in wanted for item in (path, str(good))]
    results = list(geolocator.locate_many(items, top_k=1, batch_size=4))
    alone = geolocator.locate(good, top_k=1)
    for path, refusal, answer in zip(wanted, results[::2], results[1::2], strict=True):
        assert isinstance(refusal, Refusal), path
        assert (refusal.source, refusal.kind) == (path, wanted[path])
        assert refusal.message
        assert "\n" not in refusal.message
        assert isinstance(answer, Answer)
        assert answer.places[0].latlon_deg == alone.places[0].latlon_deg


@pytest.mark.parametrize("name", ["", "a\0b.jpg", "x" * 5000])
def test_impossible_paths_are_refused(geolocator: Geolocator, name: str) -> None:
    (result,) = geolocator.locate_many([name], top_k=1)
    assert isinstance(result, Refusal)

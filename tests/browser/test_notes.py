"""What leaves the device: the picture, pixel for pixel, and none of the notes beside it."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageOps, PngImagePlugin

from geoloc.data.decoding import decode_image

SECRETS = (b"Leica of Ann", b"secret words", b"2026:05:04", b"GPS!")
FORMATS = ["JPEG", "PNG", "WEBP"]


@pytest.fixture
def stripped(blank_page):
    script = """async (content) => {
      const { withoutNotes } = await import('/static/notes.js');
      const bytes = Uint8Array.from(atob(content), (letter) => letter.charCodeAt(0));
      try {
        return btoa(String.fromCharCode(...withoutNotes(bytes)));
      } catch (error) {
        return error instanceof RangeError ? null : Promise.reject(error);
      }
    }"""

    def run(content):
        kept = blank_page.evaluate(script, base64.b64encode(content).decode())
        return None if kept is None else base64.b64decode(kept)

    return run


def noted(photo_bytes, form, orientation, **settings):
    """A photograph with every kind of note that the format has."""
    picture = Image.open(io.BytesIO(photo_bytes()))
    exif = Image.Exif()
    exif[0x010F] = "Leica of Ann"
    exif[0x0132] = "2026:05:04 03:02:01"
    if orientation is not None:
        exif[0x0112] = orientation
    exif.get_ifd(0x8825)[29] = "GPS!"
    if form == "JPEG":
        settings |= {"comment": b"secret words", "progressive": True, "icc_profile": b"profile" * 9}
    if form == "PNG":
        info = PngImagePlugin.PngInfo()
        info.add_text("Comment", "secret words")
        info.add_itxt("XML:com.adobe.xmp", "secret words")
        settings["pnginfo"] = info
    if form == "WEBP":
        settings["xmp"] = b"secret words"
    buffer = io.BytesIO()
    picture.save(buffer, form, exif=exif, **settings)
    return buffer.getvalue() + (b"secret words behind the image" if form != "WEBP" else b"")


@pytest.mark.parametrize("form", FORMATS)
def test_no_note_leaves_and_every_pixel_does(stripped, photo_bytes, form):
    for orientation in (None, 1, 3, 6, 8):
        whole = noted(photo_bytes, form, orientation)
        assert all(secret in whole for secret in (b"Leica of Ann", b"secret words"))
        kept = stripped(whole)
        assert [secret for secret in SECRETS if secret in kept] == []
        before, after = (np.asarray(decode_image(content)) for content in (whole, kept))
        assert (before == after).all()
        upright = ImageOps.exif_transpose(Image.open(io.BytesIO(kept)))
        assert upright.size == decode_image(whole).size


@pytest.mark.parametrize("form", FORMATS)
def test_what_has_no_notes_is_left_byte_for_byte(stripped, photo_bytes, form):
    plain = photo_bytes(form=form)
    assert stripped(plain) == plain


def test_lossless_webp_with_transparency_and_gif_pass(stripped):
    picture = Image.new("RGBA", (20, 10), (10, 200, 30, 99))
    for form, settings in (("WEBP", {"lossless": True, "exif": b"II*\0GPS!"}), ("GIF", {})):
        buffer = io.BytesIO()
        picture.save(buffer, form, **settings)
        kept = stripped(buffer.getvalue())
        assert b"GPS!" not in kept
        assert (np.asarray(decode_image(kept)) == np.asarray(decode_image(buffer.getvalue()))).all()


@pytest.mark.parametrize("form", FORMATS)
def test_damage_is_no_way_around(stripped, photo_bytes, form):
    whole = noted(photo_bytes, form, 6)
    generator = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole[: int(generator.integers(20, len(whole)))])
        broken[int(generator.integers(12, len(broken)))] ^= int(generator.integers(1, 256))
        kept = stripped(bytes(broken))
        assert kept is None or not any(secret in kept for secret in SECRETS[:1])

"""What leaves the device: the picture, pixel for pixel, and none of the notes beside it."""

import base64
import io
import struct
import zlib

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
        const kept = withoutNotes(bytes);
        return kept && btoa(String.fromCharCode(...kept));
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


def test_lossless_webp_with_transparency_and_animation_pass(stripped):
    picture = Image.new("RGBA", (20, 10), (10, 200, 30, 99))
    moved = {"save_all": True, "append_images": [Image.new("RGBA", (20, 10), (90, 20, 30, 255))]}
    for settings in ({}, moved):
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", lossless=True, exif=b"II*\0GPS!", **settings)
        kept = stripped(buffer.getvalue())
        assert b"GPS!" not in kept
        assert Image.open(io.BytesIO(kept)).n_frames == (2 if settings else 1)
        assert (np.asarray(decode_image(kept)) == np.asarray(decode_image(buffer.getvalue()))).all()


def segment(marker, data):
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def chunk(kind, data):
    body = kind + data
    return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))


def riff(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


HIDDEN = b"17.71 S 178.07 E, by Ann"
UNKNOWN_JPEG = [
    segment(0xE0, b"JFXX\0\x13" + HIDDEN),
    segment(0xE0, b"JFIF\0\1\2\0\0\1\0\1\2\4" + HIDDEN),  # a thumbnail of 2 x 4 pixels
    segment(0xEB, b"JP\0\1" + HIDDEN),  # JUMBF: C2PA
    segment(0xED, b"Photoshop 3.0\0" + HIDDEN),
    segment(0xEE, b"Adobe\0d\0\0\0\0\1" + HIDDEN),
    segment(0xE2, b"MPF\0" + HIDDEN),
    segment(0xF0, HIDDEN),
]


@pytest.mark.parametrize("position", range(len(UNKNOWN_JPEG)))
def test_nothing_of_a_jpeg_stays_that_is_not_known_to_be_needed(stripped, photo_bytes, position):
    plain = photo_bytes()
    kept = stripped(plain[:2] + UNKNOWN_JPEG[position] + plain[2:])
    assert HIDDEN not in kept
    before, after = (np.asarray(decode_image(content)) for content in (plain, kept))
    # an Adobe segment says how colours are stored: it stays, without what follows
    assert b"Adobe" in kept or (before == after).all()


@pytest.mark.parametrize("kind", [b"caBX", b"prVt", b"zTXt", b"sPLT", b"pHYs", b"ABCD"])
def test_nothing_of_a_png_stays_that_is_not_known_to_be_needed(stripped, photo_bytes, kind):
    plain = photo_bytes(form="PNG")
    head = 8 + 25
    assert stripped(plain[:head] + chunk(kind, HIDDEN) + plain[head:]) == plain
    # nor in a chunk that is kept, where it has no room
    for known in (b"gAMA", b"sRGB", b"sBIT"):
        assert stripped(plain[:head] + chunk(known, HIDDEN) + plain[head:]) is None
    assert stripped(plain[:-12] + chunk(b"IEND", HIDDEN)) is None


@pytest.mark.parametrize("kind", [b"C2PA", b"XMP ", b"ABCD"])
def test_nothing_of_a_webp_stays_that_is_not_known_to_be_needed(stripped, photo_bytes, kind):
    plain = photo_bytes(form="WEBP")
    chunks = plain[12:] + riff(kind, HIDDEN)
    whole = b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
    assert stripped(whole) == plain
    # nor within a frame of an animation
    frame = riff(b"ANMF", bytes(16) + plain[12:] + riff(kind, HIDDEN))
    moving = b"RIFF" + struct.pack("<I", len(frame) + 4) + b"WEBP" + frame
    assert HIDDEN not in stripped(moving)
    assert plain[12:] in stripped(moving)


def test_a_jpeg_without_its_end_is_not_sent(stripped, photo_bytes):
    assert stripped(photo_bytes()[:-2] + HIDDEN) is None


@pytest.mark.parametrize("form", FORMATS)
def test_damage_is_no_way_around(stripped, photo_bytes, form):
    whole = noted(photo_bytes, form, 6)
    generator = np.random.default_rng(0)
    for _ in range(40):
        broken = bytearray(whole[: int(generator.integers(20, len(whole)))])
        broken[int(generator.integers(12, len(broken)))] ^= int(generator.integers(1, 256))
        kept = stripped(bytes(broken))
        assert kept is None or not any(secret in kept for secret in SECRETS[:1])

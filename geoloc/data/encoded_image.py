"""EncodedImage: an image whose header has been judged, decoded only when its pixels are asked for.

JPEGs, which shards mostly hold, go through libjpeg-turbo directly, with the arithmetic and pixels
of Pillow, or at a lower resolution where that suffices. Whatever is unusual about an image (another
format, four channels, metadata that turns it, damage) goes through `decode_image`, whose verdict
counts.
"""

from __future__ import annotations

import io

import numpy as np
import simplejpeg
from jaxtyping import UInt8
from PIL import Image

from geoloc.data.decoding import MAX_PIXELS, check_size, decode_image
from geoloc.data.resampling import as_pixels
from geoloc.data.workspace import Workspace

_rooms = Workspace()
# Markers without a length, and those of a frame: baseline, extended, progressive.
_BARE = (0x01, *range(0xD0, 0xD8))
_FRAMES = (0xC0, 0xC1, 0xC2)
_OTHER_FRAMES = (0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF)
_SCAN, _END, _METADATA = 0xDA, 0xD9, 0xE1


class EncodedImage:
    """An image in bytes.

    Args:
        data: JPEG, or any other format of `decode_image`.
        max_pixels: the largest width times height that is decoded.
        name: what error messages call the image.

    Attributes:
        size: width and height in pixels, upright.

    Raises:
        ImageError: as `decode_image`; damage to a JPEG's pixels is found by `pixels`.
    """

    def __init__(self, data: bytes, *, max_pixels: int = MAX_PIXELS, name: str = "image") -> None:
        self._data = data
        self._max_pixels = max_pixels
        self._name = name
        self._decoded: Image.Image | None = None
        size = plain_jpeg_size(data)
        if size is None:
            self._decoded = self._by_pillow()
            size = self._decoded.size
        else:
            check_size(size, max_pixels=max_pixels, name=name)
        self.size: tuple[int, int] = size

    def pixels(
        self, *, at_least: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "height width 4"]:
        """Red, green, blue and an unused byte; they stand until this thread decodes another image.

        Args:
            at_least: a width and a height that suffice; a JPEG is then decoded at an eighth, a
                quarter or such, no smaller than these. None asks for every pixel, to the bit.

        Raises:
            ImageError: the image is damaged.
        """
        if self._decoded is not None:
            return as_pixels(self._decoded)
        width, height = self.size
        scaled = at_least is not None
        try:
            return simplejpeg.decode_jpeg(
                self._data,
                "RGBX",
                fastdct=scaled,
                fastupsample=scaled,
                min_width=0 if at_least is None else at_least[0],
                min_height=0 if at_least is None else at_least[1],
                buffer=_rooms.array("decoded", (4 * width * height,)),
            )
        except ValueError:
            return as_pixels(self._by_pillow())

    def _by_pillow(self) -> Image.Image:
        return decode_image(self._data, max_pixels=self._max_pixels, name=self._name)


def plain_jpeg_size(data: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG with nothing unusual about it; None for all else.

    Usual are one or three channels of 8 bits, and no metadata that may turn the image.

    Source: ITU-T T.81, annex B.
    """
    if data[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF or marker in _BARE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker in (_SCAN, _END, *_OTHER_FRAMES):
            return None
        if marker == _METADATA and _may_turn(data):
            return None
        if marker in _FRAMES:
            return _frame_size(data[at + 4 : at + 10])
        at += 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return None


def _frame_size(frame: bytes) -> tuple[int, int] | None:
    if len(frame) < 6 or frame[0] != 8 or frame[5] not in (1, 3):
        return None
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    return (width, height) if width and height else None


def _may_turn(data: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as opened:
            return opened.getexif().get(0x0112, 1) != 1
    # Torn metadata: the other way knows what to make of it.
    except Exception:
        return True

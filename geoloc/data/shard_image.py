"""Any readable image as the bytes that a shard holds."""

from __future__ import annotations

import io

from geoloc.data.decoding import decode_image
from geoloc.data.member_names import image_ending

_QUALITY = 95


def shard_image(data: bytes, *, name: str) -> bytes:
    """The same bytes where a shard can hold them (JPEG, PNG, WebP); any other image as JPEG.

    The image is decoded in either case, so that a damaged one is found before it is in a shard.

    Raises:
        ImageError: the bytes are no image that can be used, with the kinds of `decode_image`.
    """
    image = decode_image(data, name=name)
    if image_ending(data) is not None:
        return data
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
    return buffer.getvalue()

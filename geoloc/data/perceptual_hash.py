"""The look of an image in 64 bits, by the package imagehash."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from geoloc.data.encoded_image import EncodedImage
from geoloc.errors import ConfigError

BITS = 64
# The hash looks at 32 x 32 pixels: from four times as many it is made without loss.
_AT_LEAST = (128, 128)


def perceptual_hash(image: EncodedImage) -> int | None:
    """64 bits of which like images have like ones; None for an image that is all but uniform.

    One bit for each of the 8 x 8 lowest frequencies of the image in 32 x 32 grey pixels: whether
    it is above their median. So half of the bits are set and distances between hashes are even;
    where they are not, frequencies are equal, which only flat images have: any two would match.

    Source: `imagehash.phash` (J. Buchner), after C. Zauner, "Implementation and Benchmarking of
    Perceptual Image Hash Functions", 2010, section 3.2.

    Raises:
        ImageError: the image is damaged.
        ConfigError: imagehash is not installed.
    """
    pixels = np.ascontiguousarray(image.pixels(at_least=_AT_LEAST)[..., :3])
    bits = np.asarray(_imagehash().phash(Image.fromarray(pixels)).hash, dtype=np.bool_).ravel()
    if int(bits.sum()) != BITS // 2:
        return None
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _imagehash() -> Any:
    try:
        import imagehash
    except ImportError:
        raise ConfigError(
            "imagehash is not installed: `pip install 'geoloc[audit]'`, or compare without images"
        ) from None
    return imagehash

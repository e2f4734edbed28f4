"""From an RGB image to what an encoder takes: always alike at query, varied in training."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from hashlib import shake_128
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from geoloc.data.colours import ColourChange, to_tensor, vary_colours
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.resampling import Box, Resizing, as_pixels, resample
from geoloc.errors import ConfigError
from geoloc.models.image_encoder import ImagePreset

Decoding: TypeAlias = Literal["exact", "fast"]
"""How JPEGs are decoded: every pixel as Pillow has it, or at a lower resolution that suffices."""

# Resizing the short side of a ribbon of 1 x 60,000 pixels would ask for gigabytes.
_LONGEST_ASPECT = 20.0
_CROP_ATTEMPTS = 10
_CROP_ASPECT = (3.0 / 4.0, 4.0 / 3.0)
_OTHER_DRAWS = 11
DRAWS = 4 * _CROP_ATTEMPTS + _OTHER_DRAWS
"""Random numbers that one variation takes, whatever it does with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """How training varies an image; the defaults are GeoCLIP's, save for crop and mirror.

    A mirrored street drives on the wrong side and cannot be read, so mirroring is off by default;
    for views from above it is harmless. Turning an image is not offered: shadows and the lie of
    the land tell latitude. ``Augmentation(min_crop_scale=0.08, flip_probability=0.5)`` is
    GeoCLIP's own (Vivanco Cepeda et al. 2023, released code).

    Attributes:
        min_crop_scale: least share of the image's area that the random crop keeps, in (0, 1].
        flip_probability: how often the image is mirrored left to right.
        jitter_probability: how often the colours are varied at all.
        brightness, contrast, saturation: factors are drawn from 1 - value to 1 + value.
        hue: shift drawn from -value to value, in turns of the colour circle, at most 0.5.
        grayscale_probability: how often the colours are taken away.
    """

    min_crop_scale: float = 0.35
    flip_probability: float = 0.0
    jitter_probability: float = 0.8
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.1
    grayscale_probability: float = 0.2

    def __post_init__(self) -> None:
        if not 0 < self.min_crop_scale <= 1:
            raise ConfigError(
                f"augmentation: min_crop_scale must lie in (0, 1], not {self.min_crop_scale}"
            )
        for name in (field.name for field in fields(self)):
            value, limit = getattr(self, name), 0.5 if name == "hue" else 1.0
            if not 0 <= value <= limit:
                raise ConfigError(f"augmentation: {name} must lie in [0, {limit:g}], not {value}")


def preprocess(
    image: Image.Image | EncodedImage,
    preset: ImagePreset,
    *,
    decoding: Decoding = "exact",
    out: Float[Tensor, "3 height width"] | None = None,
) -> Float[Tensor, "3 height width"]:
    """The centre of an image as an encoder takes it, exactly as its own evaluation transform does.

    The shorter side is resized to `preset.resize_to` with Pillow's antialiased filter, the centre
    square cut out, values in 0..1 normalised: bit for bit what torchvision, open_clip and timm do
    with a PIL image. An image more than 20 times longer than wide is cut to that first.

    Args:
        image: decoded, or still encoded.
        preset: what the encoder takes.
        decoding: of JPEGs; fast ones are some levels off.
        out: where the result is to stand; None makes a new tensor.

    Raises:
        ImageError: an encoded image is damaged.
    """
    how = _centred(image.size, preset)
    return to_tensor(_resized(image, how, decoding=decoding), preset, out=out)


def seen_box(size: tuple[int, int], preset: ImagePreset) -> tuple[float, float, float, float]:
    """The part of an image that `preprocess` shows to an encoder: left, top, right, bottom.

    Args:
        size: width and height of the image, in whose pixels the box is.
        preset: what the encoder takes.
    """
    how = _centred(size, preset)
    left, top, right, bottom = how.box
    across, down = (right - left) / how.size[0], (bottom - top) / how.size[1]
    x, y, x_end, y_end = how.window
    return left + across * x, top + down * y, left + across * x_end, top + down * y_end


def augment(
    image: Image.Image | EncodedImage,
    preset: ImagePreset,
    draws: Sequence[float],
    *,
    augmentation: Augmentation | None = None,
    decoding: Decoding = "exact",
    out: Float[Tensor, "3 height width"] | None = None,
) -> Float[Tensor, "3 height width"]:
    """A random variation of an image as an encoder takes it, for training.

    Random crop resized to `preset.size`, mirroring, colour jitter in random order, loss of colour,
    normalisation; Pillow's arithmetic throughout.

    Args:
        image: decoded, or still encoded.
        preset: what the encoder takes; `crop_fraction` has no part in a random crop.
        draws: `DRAWS` numbers in [0, 1), all the randomness there is (see `sample_draws`).
        augmentation: how much is varied; default `Augmentation()`.
        decoding: as in `preprocess`.
        out: as there.

    Raises:
        ImageError: an encoded image is damaged.
    """
    how = augmentation or Augmentation()
    other, crop_draws = draws[:_OTHER_DRAWS], draws[_OTHER_DRAWS:]
    resizing = Resizing(
        box=_random_box(image.size, min_scale=how.min_crop_scale, draws=crop_draws),
        size=(preset.size, preset.size),
        window=(0, 0, preset.size, preset.size),
        interpolation=preset.interpolation,
    )
    pixels = _resized(image, resizing, decoding=decoding)
    changes: list[ColourChange] = []
    if other[1] < how.jitter_probability:
        changes += _jitter(how, strength=other[2:6], order=other[6:10])
    if other[10] < how.grayscale_probability:
        changes.append(ColourChange(kind="gray"))
    mirrored = other[0] < how.flip_probability
    return to_tensor(vary_colours(pixels, changes), preset, mirrored=mirrored, out=out)


@functools.cache
def make_ready() -> None:
    """Compile what images go through (or load it compiled), so that forked processes have it."""
    image, preset = Image.new("RGB", (32, 32)), ImagePreset(size=16)
    preprocess(image, preset)
    # All colour changes and a mirror.
    augment(image, preset, [0.0] * DRAWS, augmentation=Augmentation(flip_probability=1.0))


def sample_draws(seed: int, epoch: int, key: str) -> list[float]:
    """The randomness of one sample in one epoch, whoever meets it and when: `DRAWS` in [0, 1).

    Counted, not drawn in turn: no generator stands behind it whose state could be lost.

    Source: SHAKE-128 (FIPS 202) of seed, epoch and key; the upper 53 bits of each eight bytes.
    """
    digest = shake_128(f"{seed} {epoch} {key}".encode()).digest(8 * DRAWS)
    return ((np.frombuffer(digest, dtype="<u8") >> 11) * 2.0**-53).tolist()


def _resized(
    image: Image.Image | EncodedImage, how: Resizing, *, decoding: Decoding
) -> UInt8[np.ndarray, "height width 4"]:
    if isinstance(image, Image.Image):
        return resample(as_pixels(image), how)
    at_least = None
    if decoding == "fast":
        left, top, right, bottom = how.box
        # So many pixels of the whole image leave the box no smaller than what it becomes.
        at_least = (
            math.ceil(image.size[0] * how.size[0] / (right - left)),
            math.ceil(image.size[1] * how.size[1] / (bottom - top)),
        )
    pixels = image.pixels(at_least=at_least)
    return resample(pixels, how.scaled(image.size, (pixels.shape[1], pixels.shape[0])))


def _centred(size: tuple[int, int], preset: ImagePreset) -> Resizing:
    left, top, right, bottom = _without_ribbon(size)
    width, height, short = right - left, bottom - top, preset.resize_to
    # Truncated, not rounded, as torchvision's Resize has it.
    if width <= height:
        resized = (short, int(short * height / width))
    else:
        resized = (int(short * width / height), short)
    x, y = (round((length - preset.size) / 2.0) for length in resized)
    return Resizing(
        box=(left, top, right, bottom),
        size=resized,
        window=(x, y, x + preset.size, y + preset.size),
        interpolation=preset.interpolation,
    )


def _without_ribbon(size: tuple[int, int]) -> Box:
    width, height = size
    longest = math.ceil(min(width, height) * _LONGEST_ASPECT)
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return left, top, left + min(width, longest), top + min(height, longest)


def _random_box(size: tuple[int, int], *, min_scale: float, draws: Sequence[float]) -> Box:
    """A box of random area and of aspect within 3:4 and 4:3, or the middle when none fits."""
    width, height = size
    low, high = (math.log(aspect) for aspect in _CROP_ASPECT)
    for attempt in range(_CROP_ATTEMPTS):
        for_area, for_aspect, for_left, for_top = draws[4 * attempt : 4 * attempt + 4]
        area = width * height * (min_scale + (1.0 - min_scale) * for_area)
        aspect = math.exp(low + (high - low) * for_aspect)
        wide, tall = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < wide <= width and 0 < tall <= height:
            left, top = int(for_left * (width - wide + 1)), int(for_top * (height - tall + 1))
            return left, top, left + wide, top + tall
    wide = min(width, max(1, round(height * _CROP_ASPECT[1])))
    tall = min(height, max(1, round(width / _CROP_ASPECT[0])))
    left, top = (width - wide) // 2, (height - tall) // 2
    return left, top, left + wide, top + tall


def _jitter(
    how: Augmentation, *, strength: Sequence[float], order: Sequence[float]
) -> list[ColourChange]:
    """Brightness, contrast, saturation and hue, each once, in the order that `order` sorts to."""
    kinds = ("brightness", "contrast", "saturation", "hue")
    changes: list[ColourChange] = []
    for step in sorted(range(4), key=lambda index: order[index]):
        most = getattr(how, kinds[step])
        swing = (2.0 * strength[step] - 1.0) * most
        # Even a turn by nothing would cost a little through HSV and back.
        if most > 0.0:
            amount = swing if kinds[step] == "hue" else 1.0 + swing
            changes.append(ColourChange(kind=kinds[step], amount=amount))
    return changes

"""From an RGB image to what an encoder takes: always alike at query, varied in training."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageEnhance
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.models.image_encoder import ImagePreset

_RESAMPLING = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
_ENHANCERS = (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color)
# Resizing the short side of a ribbon of 1 x 60,000 pixels would ask for gigabytes.
_LONGEST_ASPECT = 20.0
_CROP_ATTEMPTS = 10
_CROP_ASPECT = (3.0 / 4.0, 4.0 / 3.0)
_OTHER_DRAWS = 11


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


def preprocess(image: Image.Image, preset: ImagePreset) -> Float[Tensor, "3 height width"]:
    """The centre of an image as an encoder takes it, exactly as its own evaluation transform does.

    The shorter side is resized to `preset.resize_to` with Pillow's antialiased filter, the centre
    square cut out, values in 0..1 normalised: bit for bit what torchvision, open_clip and timm do
    with a PIL image. An image more than 20 times longer than wide is cut to that first.
    """
    rgb = _without_ribbon(image if image.mode == "RGB" else image.convert("RGB"))
    width, height = rgb.size
    short = preset.resize_to
    # Truncated, not rounded, as torchvision's Resize has it.
    if width <= height:
        size = (short, int(short * height / width))
    else:
        size = (int(short * width / height), short)
    if size != rgb.size:
        rgb = rgb.resize(size, _RESAMPLING[preset.interpolation])
    left = round((size[0] - preset.size) / 2.0)
    top = round((size[1] - preset.size) / 2.0)
    return _to_tensor(rgb.crop((left, top, left + preset.size, top + preset.size)), preset)


def augment(
    image: Image.Image,
    preset: ImagePreset,
    generator: torch.Generator,
    *,
    augmentation: Augmentation | None = None,
) -> Float[Tensor, "3 height width"]:
    """A random variation of an image as an encoder takes it, for training.

    Random crop resized to `preset.size`, mirroring, colour jitter in random order, loss of colour,
    normalisation; Pillow's arithmetic throughout. All randomness comes from `generator`, of which
    one call always takes the same number of draws, so that equal generators give equal pixels.

    Args:
        image: an RGB image.
        preset: what the encoder takes; `crop_fraction` has no part in a random crop.
        generator: on the CPU.
        augmentation: how much is varied; default `Augmentation()`.
    """
    how = augmentation or Augmentation()
    draws: list[float] = torch.rand(
        4 * _CROP_ATTEMPTS + _OTHER_DRAWS, generator=generator, dtype=torch.float64
    ).tolist()
    crop_draws, other = draws[_OTHER_DRAWS:], draws[:_OTHER_DRAWS]
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    box = _random_box(rgb.size, min_scale=how.min_crop_scale, draws=crop_draws)
    rgb = rgb.crop(box).resize((preset.size, preset.size), _RESAMPLING[preset.interpolation])
    if other[0] < how.flip_probability:
        rgb = rgb.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    if other[1] < how.jitter_probability:
        rgb = _jitter_colours(rgb, how, strength=other[2:6], order=other[6:10])
    if other[10] < how.grayscale_probability:
        rgb = rgb.convert("L").convert("RGB")
    return _to_tensor(rgb, preset)


def _without_ribbon(image: Image.Image) -> Image.Image:
    width, height = image.size
    longest = math.ceil(min(width, height) * _LONGEST_ASPECT)
    if max(width, height) <= longest:
        return image
    left, top = max(0, (width - longest) // 2), max(0, (height - longest) // 2)
    return image.crop((left, top, left + min(width, longest), top + min(height, longest)))


def _to_tensor(image: Image.Image, preset: ImagePreset) -> Float[Tensor, "3 height width"]:
    pixels = torch.from_numpy(np.array(image, dtype=np.uint8)).permute(2, 0, 1).contiguous()
    mean = torch.tensor(preset.mean, dtype=torch.float32).view(3, 1, 1)
    std = torch.tensor(preset.std, dtype=torch.float32).view(3, 1, 1)
    return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)


def _random_box(
    size: tuple[int, int], *, min_scale: float, draws: list[float]
) -> tuple[int, int, int, int]:
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


def _jitter_colours(
    image: Image.Image, how: Augmentation, *, strength: list[float], order: list[float]
) -> Image.Image:
    """Brightness, contrast, saturation and hue, each once, in the order that `order` sorts to."""
    swings = (how.brightness, how.contrast, how.saturation, how.hue)
    for step in sorted(range(4), key=lambda index: order[index]):
        swing = (2.0 * strength[step] - 1.0) * swings[step]
        # Even a turn by nothing would cost a little through HSV and back.
        if swings[step] == 0.0:
            continue
        if step == 3:
            image = _shift_hue(image, turns=swing)
        else:
            image = _ENHANCERS[step](image).enhance(1.0 + swing)
    return image


def _shift_hue(image: Image.Image, *, turns: float) -> Image.Image:
    hue, saturation, value = image.convert("HSV").split()
    # A byte is the whole circle, so the sum may run over: that is the turn.
    turned = (np.asarray(hue, dtype=np.int32) + int(turns * 255.0)) % 256
    shifted = Image.fromarray(turned.astype(np.uint8))
    return Image.merge("HSV", (shifted, saturation, value)).convert("RGB")

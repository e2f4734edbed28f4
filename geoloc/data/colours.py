"""Colours of a picture varied as Pillow (and torchvision) would: compiled, or by Pillow itself."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType

import numpy as np
import torch
from jaxtyping import Float32, UInt8
from PIL import Image, ImageEnhance
from torch import Tensor

from geoloc.data.resampling import as_image, as_pixels, numba_kernel, worth_compiling
from geoloc.models.image_encoder import ImagePreset

_ENHANCERS = {
    "brightness": ImageEnhance.Brightness,
    "contrast": ImageEnhance.Contrast,
    "saturation": ImageEnhance.Color,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ColourChange:
    """One step of a colour variation.

    Attributes:
        kind: ``brightness``, ``contrast``, ``saturation``, ``hue`` or ``gray``.
        amount: the factor of the first three, the share of the colour circle of ``hue``.
    """

    kind: str
    amount: float = 0.0


def vary_colours(
    pixels: UInt8[np.ndarray, "height width 4"], changes: Sequence[ColourChange]
) -> UInt8[np.ndarray, "height width 4"]:
    """The picture after the changes, in their order; the argument stays as it is."""
    if not changes:
        return pixels
    kernel = _colour_kernel()
    if kernel is None:
        image = as_image(pixels)
        for change in changes:
            image = _changed_by_pillow(image, change)
        return as_pixels(image)
    varied = pixels.copy()
    for change in changes:
        _change_compiled(kernel, varied.reshape(-1, 4), change)
    return varied


def _change_compiled(
    kernel: ModuleType, pixels: UInt8[np.ndarray, "pixel 4"], change: ColourChange
) -> None:
    match change.kind:
        case "hue":
            kernel.shift_hue(pixels, _steps(change.amount))
        case "gray":
            kernel.lose_colour(pixels)
        case "brightness":
            kernel.brighten(pixels, np.float32(change.amount))
        case "contrast":
            kernel.contrast(pixels, np.float32(change.amount))
        case _:
            kernel.saturate(pixels, np.float32(change.amount))


def to_tensor(
    pixels: UInt8[np.ndarray, "height width 4"],
    preset: ImagePreset,
    *,
    mirrored: bool = False,
    out: Float32[Tensor, "3 height width"] | None = None,
) -> Float32[Tensor, "3 height width"]:
    """Normalised planes, bit for bit torchvision's ``ToTensor`` and ``Normalize``.

    Args:
        pixels: red, green, blue, and a byte that is not looked at.
        preset: its mean and deviation.
        mirrored: left to right.
        out: where they are to stand, on the CPU; None makes a new tensor.
    """
    table = _table(preset.mean, preset.std)
    height, width = pixels.shape[:2]
    kernel = _colour_kernel() if worth_compiling() else None
    if kernel is None:
        levels = pixels[:, ::-1] if mirrored else pixels
        planes = [table[c][levels[..., c]] for c in range(3)]
        found = torch.from_numpy(np.stack(planes))
        return found if out is None else out.copy_(found)
    made = torch.empty((3, height, width)) if out is None else out
    kernel.look_up(pixels, table, mirrored, made.numpy())
    return made


@functools.cache
def _table(
    mean: tuple[float, float, float], std: tuple[float, float, float]
) -> Float32[np.ndarray, "3 256"]:
    """What each byte of each channel becomes."""
    levels = torch.arange(256, dtype=torch.uint8).to(torch.float32).div_(255).expand(3, 256).clone()
    of_mean = torch.tensor(mean, dtype=torch.float32).view(3, 1)
    of_std = torch.tensor(std, dtype=torch.float32).view(3, 1)
    return levels.sub_(of_mean).div_(of_std).numpy()


def _changed_by_pillow(image: Image.Image, change: ColourChange) -> Image.Image:
    if change.kind == "gray":
        return image.convert("L").convert("RGB")
    if change.kind != "hue":
        return _ENHANCERS[change.kind](image).enhance(change.amount)
    hue, saturation, value = image.convert("HSV").split()
    # A byte is the whole circle, so the sum may run over: that is the turn.
    turned = (np.asarray(hue, dtype=np.int32) + _steps(change.amount)) % 256
    shifted = Image.fromarray(turned.astype(np.uint8))
    return Image.merge("HSV", (shifted, saturation, value)).convert("RGB")


def _steps(turns: float) -> int:
    return int(turns * 255.0)


@functools.cache
def _colour_kernel() -> ModuleType | None:
    if numba_kernel() is None:
        return None
    from geoloc.data import colour_kernel

    return colour_kernel

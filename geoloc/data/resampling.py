"""Resampling as Pillow does it, to the bit: compiled where numba is installed, else by Pillow."""

from __future__ import annotations

import functools
import itertools
import sys
from dataclasses import dataclass
from types import ModuleType
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from geoloc.data.workspace import Workspace
from geoloc.models.image_encoder import Interpolation

Box: TypeAlias = tuple[int, int, int, int]
"""Left, top, right, bottom, in pixels; right and bottom are outside."""

PILLOW_FILTERS = {
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "nearest": Image.Resampling.NEAREST,
}
_rooms = Workspace()
# Importing numba takes as long as Pillow takes for some ten photographs.
_SOONEST = 16
_asked = itertools.count()


@dataclass(frozen=True, slots=True, kw_only=True)
class Resizing:
    """What becomes of an image's pixels.

    Attributes:
        box: the part of the image that is taken.
        size: width and height to which that part is resized.
        window: the part of the resized picture that is kept.
        interpolation: the filter.
    """

    box: Box
    size: tuple[int, int]
    window: Box
    interpolation: Interpolation

    def scaled(self, before: tuple[int, int], after: tuple[int, int]) -> Resizing:
        """The same for the same image decoded at another size (width, height)."""
        if before == after:
            return self
        box: list[int] = []
        for axis in (0, 1):
            factor = after[axis] / before[axis]
            low = min(round(self.box[axis] * factor), after[axis] - 1)
            box += [low, max(low + 1, min(round(self.box[axis + 2] * factor), after[axis]))]
        left, right, top, bottom = box
        return Resizing(
            box=(left, top, right, bottom),
            size=self.size,
            window=self.window,
            interpolation=self.interpolation,
        )


def resample(
    pixels: UInt8[np.ndarray, "height width 4"], how: Resizing
) -> UInt8[np.ndarray, "tall wide 4"]:
    """The part of an image, resized: the bytes that Pillow's crop, resize and crop give.

    The result may lie in the argument's memory.

    Args:
        pixels: red, green, blue and an unused byte.
        how: see there.
    """
    left, top, right, bottom = how.box
    part = pixels[top:bottom, left:right]
    x0, y0, x1, y1 = how.window
    if how.size == (right - left, bottom - top):
        return part[y0:y1, x0:x1]
    kernel = numba_kernel() if worth_compiling() else None
    if kernel is None or how.interpolation == "nearest" or _pillows_order() == "unknown":
        image = as_image(part).resize(how.size, PILLOW_FILTERS[how.interpolation])
        return as_pixels(image.crop(how.window))
    return _resample_compiled(kernel, part, how)


def _resample_compiled(
    kernel: ModuleType,
    part: UInt8[np.ndarray, "height width 4"],
    how: Resizing,
    *,
    columns_first: bool | None = None,
) -> UInt8[np.ndarray, "tall wide 4"]:
    height, width = part.shape[:2]
    x0, y0, x1, y1 = how.window
    tall, wide, bicubic = y1 - y0, x1 - x0, how.interpolation == "bicubic"
    across = kernel.taps(width, how.size[0], (x0, wide), bicubic)
    down, weight = kernel.taps(height, how.size[1], (y0, tall), bicubic)
    if columns_first is None:
        columns_first = _columns_first((width, height), how.size)
    if columns_first:
        rows = np.ascontiguousarray(part).reshape(height, 4 * width)
        low = _rooms.array("between", (tall, 4 * width))
        kernel.sum_rows(rows, down, weight, low)
        out = np.empty((tall, wide), dtype=np.uint32)
        kernel.sum_columns(low.view(np.uint32), *across, out)
    else:
        # Rows that no output asks for are left out.
        first, last = int(down[0]), min(height, int(down[-1]) + weight.shape[1])
        narrow = _rooms.array("between", (last - first, wide), np.uint32)
        kernel.sum_columns(part[first:last].view(np.uint32)[..., 0], *across, narrow)
        out = np.empty((tall, wide), dtype=np.uint32)
        kernel.sum_rows(narrow.view(np.uint8), down - first, weight, out.view(np.uint8))
    return out.view(np.uint8).reshape(tall, wide, 4)


def _columns_first(before: tuple[int, int], after: tuple[int, int]) -> bool:
    """Whether Pillow resamples along columns first, for pictures of these widths and heights.

    Source: Pillow 13, Resample.c, `ImagingResampleInner`; before that it never does.
    """
    shorter, narrower = before[1] - after[1], before[0] - after[0]
    return shorter > max(0, 2 * narrower) and _pillows_order() == "by shape"


@functools.cache
def _pillows_order() -> Literal["rows first", "by shape", "unknown"]:
    """What the Pillow that is installed does with a tall picture."""
    kernel = numba_kernel()
    assert kernel is not None, "asked for compiled code alone"
    levels = np.random.default_rng(0).integers(0, 256, (200, 40, 4), dtype=np.uint8)
    how = Resizing(box=(0, 0, 40, 200), size=(30, 9), window=(0, 0, 30, 9), interpolation="bicubic")
    found = as_pixels(as_image(levels).resize(how.size, Image.Resampling.BICUBIC))[..., :3]
    ways: dict[bool, Literal["rows first", "by shape"]] = {False: "rows first", True: "by shape"}
    for columns_first, name in ways.items():
        ours = _resample_compiled(kernel, levels, how, columns_first=columns_first)
        if np.array_equal(ours[..., :3], found):
            return name
    return "unknown"


def as_image(pixels: UInt8[np.ndarray, "height width 4"]) -> Image.Image:
    """The pixels as an image of Pillow's, in RGB."""
    height, width = pixels.shape[:2]
    data = np.ascontiguousarray(pixels)
    return Image.frombuffer("RGBX", (width, height), data, "raw", "RGBX", 0, 1).convert("RGB")


def as_pixels(image: Image.Image) -> UInt8[np.ndarray, "height width 4"]:
    """An image of Pillow's as bytes of red, green, blue and an unused one."""
    rgb = image if image.mode == "RGB" else image.convert("RGB")
    return np.asarray(rgb.convert("RGBX"))


def worth_compiling() -> bool:
    """Whether compiled code is there or worth loading: not for the first few images of a process.

    Pillow gives the same bytes, so that who asks about one image need not wait for numba.
    """
    return "numba" in sys.modules or next(_asked) >= _SOONEST


@functools.cache
def numba_kernel() -> ModuleType | None:
    """The compiled code, if numba is installed."""
    try:
        from geoloc.data import resampling_kernel
    except ModuleNotFoundError:
        return None
    return resampling_kernel

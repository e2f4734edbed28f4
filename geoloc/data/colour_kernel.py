"""Compiled colour variation: Pillow's arithmetic on bytes, in place, one pass a change.

Source: Pillow 11: Blend.c (trunc towards zero, clipped beyond 0 and 1), Convert.c (`L24`,
`rgb2hsv_row`, `hsv2rgb`); `float` there is float32 here, literals are float64.
"""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float32, UInt8

from geoloc.data.resampling_kernel import compiled


@compiled
def _luma(red: int, green: int, blue: int) -> int:
    """ITU-R 601-2 luma in 16 bits, as Pillow's mode L."""
    return (red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16


@compiled
def _blended(towards: int, value: int, factor: np.float32) -> np.uint8:
    """From `towards` (factor 0) by way of `value` (factor 1) and beyond."""
    mixed = np.float32(towards) + factor * np.float32(value - towards)
    return np.uint8(min(max(mixed, np.float32(0.0)), np.float32(255.0)))


@compiled
def brighten(pixels: UInt8[np.ndarray, "pixel 4"], factor: np.float32) -> None:
    """Away from black."""
    for i in range(len(pixels)):
        for c in range(3):
            pixels[i, c] = _blended(0, pixels[i, c], factor)


@compiled
def contrast(pixels: UInt8[np.ndarray, "pixel 4"], factor: np.float32) -> None:
    """Away from the picture's mean luma."""
    total = 0
    for i in range(len(pixels)):
        total += _luma(pixels[i, 0], pixels[i, 1], pixels[i, 2])
    mean = int(total / len(pixels) + 0.5)
    for i in range(len(pixels)):
        for c in range(3):
            pixels[i, c] = _blended(mean, pixels[i, c], factor)


@compiled
def saturate(pixels: UInt8[np.ndarray, "pixel 4"], factor: np.float32) -> None:
    """Away from each pixel's luma."""
    for i in range(len(pixels)):
        gray = _luma(pixels[i, 0], pixels[i, 1], pixels[i, 2])
        for c in range(3):
            pixels[i, c] = _blended(gray, pixels[i, c], factor)


@compiled
def lose_colour(pixels: UInt8[np.ndarray, "pixel 4"]) -> None:
    """Each pixel's luma in all channels."""
    for i in range(len(pixels)):
        gray = _luma(pixels[i, 0], pixels[i, 1], pixels[i, 2])
        for c in range(3):
            pixels[i, c] = gray


@compiled
def shift_hue(pixels: UInt8[np.ndarray, "pixel 4"], steps: int) -> None:
    """Round the colour circle by so many 256ths, by way of hue, saturation and value in bytes.

    Without branches that depend on a pixel: they would be guessed wrong half of the time.
    """
    # Of each hue: which sixth of the circle it is in, and how far in it; each saturation's share.
    sixth = np.empty(256, dtype=np.int64)
    within = np.empty(256, dtype=np.float32)
    share = np.empty(256, dtype=np.float32)
    for byte in range(256):
        exact = np.float64(byte) * 6.0 / 255.0
        within[byte] = np.float32(exact - math.floor(exact))
        sixth[byte] = math.floor(exact) % 6
        share[byte] = np.float32(np.float64(byte) / 255.0)
    # Numbers of `levels` below, for red, green and blue in each sixth.
    order = np.array([[0, 3, 1], [2, 0, 1], [1, 0, 3], [1, 2, 0], [3, 1, 0], [0, 1, 2]])
    levels = np.empty(4, dtype=np.uint8)
    for i in range(len(pixels)):
        hue, saturation, value = _hsv(pixels[i, 0], pixels[i, 1], pixels[i, 2])
        hue = (hue + steps) % 256
        strong, rest = np.float64(share[saturation]), within[hue]
        levels[0] = value
        levels[1] = _rounded(value * (1.0 - strong))
        levels[2] = _rounded(value * (1.0 - np.float64(np.float32(strong) * rest)))
        levels[3] = _rounded(value * (1.0 - strong * (1.0 - np.float64(rest))))
        side = sixth[hue]
        for c in range(3):
            pixels[i, c] = levels[order[side, c]]


@compiled
def _hsv(red: np.uint8, green: np.uint8, blue: np.uint8) -> tuple[int, int, int]:
    """Hue, saturation and value in bytes."""
    r, g, b = np.int32(red), np.int32(green), np.int32(blue)
    high, low = max(r, g, b), min(r, g, b)
    # Without colour there is nothing to divide, and what comes out is 0.
    span = np.float32(max(high - low, 1))
    strong = np.float64(np.float32(np.float32(high - low) / np.float32(max(high, 1))))
    of_red = np.float32(np.float32(high - r) / span)
    of_green = np.float32(np.float32(high - g) / span)
    of_blue = np.float32(np.float32(high - b) / span)
    after_red = np.float32(of_blue - of_green)
    after_green = np.float32(2.0 + np.float64(of_red) - np.float64(of_blue))
    after_blue = np.float32(4.0 + np.float64(of_green) - np.float64(of_red))
    later = after_green if g == high else after_blue
    angle = np.float64(after_red if r == high else later)
    turns = angle / 6.0 + 1.0
    turns = np.float64(np.float32(turns - math.floor(turns)))
    return int(turns * 255.0), int(strong * 255.0), int(high)


@compiled
def _rounded(number: float) -> int:
    """Half away from zero, as C's `round`; within a byte."""
    return min(max(math.floor(number + 0.5), 0), 255)


@compiled
def look_up(
    pixels: UInt8[np.ndarray, "height width 4"],
    table: Float32[np.ndarray, "3 256"],
    mirrored: bool,
    out: Float32[np.ndarray, "3 height width"],
) -> None:
    """Planes of numbers from bytes, each channel by its table."""
    height, width = pixels.shape[:2]
    for c in range(3):
        of = table[c]
        for y in range(height):
            for x in range(width):
                out[c, y, x] = of[pixels[y, width - 1 - x if mirrored else x, c]]

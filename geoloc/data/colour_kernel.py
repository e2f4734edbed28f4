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
    """Round the colour circle by so many 256ths, by way of hue, saturation and value in bytes."""
    for i in range(len(pixels)):
        red, green, blue = pixels[i, 0], pixels[i, 1], pixels[i, 2]
        high, low = max(red, green, blue), min(red, green, blue)
        if high == low:
            # No saturation, so the hue has no say.
            continue
        span = np.float32(np.int32(high) - np.int32(low))
        strong = np.float32(span / np.float32(high))
        of_red = np.float32(np.float32(np.int32(high) - np.int32(red)) / span)
        of_green = np.float32(np.float32(np.int32(high) - np.int32(green)) / span)
        of_blue = np.float32(np.float32(np.int32(high) - np.int32(blue)) / span)
        if red == high:
            angle = np.float32(of_blue - of_green)
        elif green == high:
            angle = np.float32(2.0 + np.float64(of_red) - of_blue)
        else:
            angle = np.float32(4.0 + np.float64(of_green) - of_red)
        turns = np.float64(angle) / 6.0 + 1.0
        turns = np.float64(np.float32(turns - math.floor(turns)))
        hue = (min(max(int(turns * 255.0), 0), 255) + steps) % 256
        saturation = min(max(int(np.float64(strong) * 255.0), 0), 255)
        _paint(pixels[i], hue, saturation, int(high))


@compiled
def _paint(pixel: UInt8[np.ndarray, " byte"], hue: int, saturation: int, value: int) -> None:
    if saturation == 0:
        pixel[0] = pixel[1] = pixel[2] = value
        return
    sixth = np.float64(np.float32(hue)) * 6.0 / 255.0
    side = math.floor(sixth)
    rest = np.float32(sixth - np.float64(np.float32(side)))
    strong = np.float32(np.float64(np.float32(saturation)) / 255.0)
    low = _rounded(value * (1.0 - np.float64(strong)))
    falling = _rounded(value * (1.0 - np.float64(np.float32(strong * rest))))
    rising = _rounded(value * (1.0 - np.float64(strong) * (1.0 - np.float64(rest))))
    side %= 6
    if side == 0:
        pixel[0], pixel[1], pixel[2] = value, rising, low
    elif side == 1:
        pixel[0], pixel[1], pixel[2] = falling, value, low
    elif side == 2:
        pixel[0], pixel[1], pixel[2] = low, value, rising
    elif side == 3:
        pixel[0], pixel[1], pixel[2] = low, falling, value
    elif side == 4:
        pixel[0], pixel[1], pixel[2] = rising, low, value
    else:
        pixel[0], pixel[1], pixel[2] = value, low, falling


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

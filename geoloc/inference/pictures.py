"""Whatever a caller calls an image, turned into one RGB picture with a name."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor

from geoloc.data.decoding import MAX_PIXELS, decode_image, read_image
from geoloc.errors import ImageError

ImageLike: TypeAlias = "str | Path | bytes | Image.Image | np.ndarray | Tensor"


def source_name(item: object, position: int) -> str:
    """The file's path for a path, else the position in the batch, counted from one."""
    if isinstance(item, str | Path):
        return str(item)
    filename = str(getattr(item, "filename", "") or "")
    return filename or f"image {position + 1}"


def open_picture(item: object, *, name: str = "image") -> Image.Image:
    """The RGB picture behind a path, encoded bytes, a PIL image, an array or a tensor.

    Arrays are (height, width), (height, width, 3) or (height, width, 4), tensors
    (channel, height, width); both hold uint8, uint16, or floats in 0..1. The values are pixels as
    seen, not prepared for a model: the model's own preset does that.

    Args:
        item: the image, see `ImageLike`; a path's own name stands in its errors.
        name: what an error calls an image that has no path.

    Raises:
        ImageError: there is no such file, or it is no picture that can be used.
    """
    if isinstance(item, str | Path):
        return read_image(Path(item))
    if isinstance(item, bytes | bytearray | memoryview):
        return decode_image(bytes(item), name=name)
    if isinstance(item, Image.Image):
        return _from_pil(item, name)
    if isinstance(item, Tensor):
        return _from_tensor(item, name)
    if isinstance(item, np.ndarray):
        return _from_array(item, name)
    raise ImageError(
        f"{name}: cannot read an image from {type(item).__name__}; give a path, bytes,"
        " a PIL image, a NumPy array or a tensor",
        kind="wrong_type",
    )


def _from_pil(image: Image.Image, name: str) -> Image.Image:
    _check_size(image.width, image.height, name)
    try:
        # Pillow opens lazily: damage of a file opened elsewhere shows only here.
        upright = ImageOps.exif_transpose(image)
        if upright.mode in {"F", "I"} or upright.mode.startswith("I;16"):
            return _through_tiff(upright, name)
        if upright.has_transparency_data:
            return _through_tiff(upright.convert("RGBA"), name)
        return upright.convert("RGB")
    except ImageError:
        raise
    # Damaged bytes surface from Pillow's parsers as nearly any exception there is.
    except Exception as error:
        kind = "truncated" if "truncated" in str(error) else "corrupt"
        raise ImageError(f"{name}: the image is damaged ({error})", kind=kind) from error


def _through_tiff(image: Image.Image, name: str) -> Image.Image:
    """Deep and transparent pixels by the rules that hold for files: written, then decoded."""
    buffer = io.BytesIO()
    image.save(buffer, "TIFF")
    return decode_image(buffer.getvalue(), name=name)


def _from_tensor(tensor: Tensor, name: str) -> Image.Image:
    if tensor.ndim != 3 or tensor.shape[0] not in {1, 3, 4}:
        raise ImageError(
            f"{name}: a tensor must be (channel, height, width) with 1, 3 or 4 channels,"
            f" not {tuple(tensor.shape)}",
            kind="wrong_shape",
        )
    pixels = tensor.detach().permute(1, 2, 0).cpu()
    pixels = pixels.float() if pixels.is_floating_point() else pixels
    return _from_array(pixels.numpy(), name)


def _from_array(array: np.ndarray, name: str) -> Image.Image:
    pixels = array[..., 0] if array.ndim == 3 and array.shape[-1] == 1 else array
    colour = pixels.ndim == 3 and pixels.shape[-1] in {3, 4}
    if not (colour or pixels.ndim == 2) or pixels.size == 0:
        raise ImageError(
            f"{name}: an array must be (height, width) or (height, width, 3 or 4),"
            f" not {array.shape}",
            kind="wrong_shape",
        )
    _check_size(pixels.shape[1], pixels.shape[0], name)
    return _from_pil(Image.fromarray(np.ascontiguousarray(_as_bytes(pixels, name))), name)


def _as_bytes(pixels: np.ndarray, name: str) -> np.ndarray:
    if pixels.dtype == np.uint8:
        return pixels
    if pixels.dtype == np.uint16:
        return np.rint(pixels / 257.0).astype(np.uint8)
    if not np.issubdtype(pixels.dtype, np.floating):
        raise ImageError(
            f"{name}: pixels must be uint8, uint16 or floats in 0..1, not {pixels.dtype}",
            kind="wrong_type",
        )
    low, high = float(pixels.min()), float(pixels.max())
    # Written so that a NaN fails it too.
    if not (low >= 0.0 and high <= 1.0):
        raise ImageError(
            f"{name}: floating pixels must lie in 0..1, not in {low:g}..{high:g}",
            kind="wrong_values",
        )
    return np.rint(pixels * 255.0).astype(np.uint8)


def _check_size(width: int, height: int, name: str) -> None:
    if width * height > MAX_PIXELS:
        raise ImageError(
            f"{name}: {width} x {height} pixels, more than the limit of {MAX_PIXELS / 1e6:g} MP",
            kind="too_large",
        )

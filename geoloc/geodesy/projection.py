"""From the sphere to planes: Equal Earth for models, tangent planes for neighbourhoods."""

from __future__ import annotations

import math
from typing import Any

from jaxtyping import Float

from geoloc.geodesy.array_namespace import (
    ArrayT,
    array_namespace,
    cast_like,
    sqrt_at_zero,
    widen,
    widen_beside,
)
from geoloc.geodesy.coordinates import (
    latlon_from_unit_vectors,
    unit_vectors,
    wrap_longitude_deg,
)
from geoloc.geodesy.distance import EARTH_RADIUS_KM

EQUAL_EARTH_A1 = 1.340264
EQUAL_EARTH_A2 = -0.081106
EQUAL_EARTH_A3 = 0.000893
EQUAL_EARTH_A4 = 0.003796


def equal_earth(latlon_deg: Float[ArrayT, "*batch 2"]) -> Float[ArrayT, "*batch 2"]:
    """Equal Earth map coordinates (x, y) of places, on the unit sphere.

    Equal-area: equal areas of the sphere have equal areas of the plane. x lies within about
    2.706, y within about 1.318.

    Source: B. Šavrič, T. Patterson, B. Jenny, "The Equal Earth map projection", Int. J. Geogr.
    Inf. Sci. 33(3), 2019 (online 2018), equations 8 and 9, constants A1 to A4.
    """
    xp = array_namespace(latlon_deg)
    lat, lon = xp.deg2rad(latlon_deg[..., 0]), xp.deg2rad(latlon_deg[..., 1])
    theta = xp.arcsin(math.sqrt(3) / 2 * xp.sin(lat))
    square = theta * theta
    sixth = square * square * square
    slope = (
        EQUAL_EARTH_A1
        + 3 * EQUAL_EARTH_A2 * square
        + sixth * (7 * EQUAL_EARTH_A3 + 9 * EQUAL_EARTH_A4 * square)
    )
    x = 2 * math.sqrt(3) / 3 * lon * xp.cos(theta) / slope
    y = theta * (
        EQUAL_EARTH_A1
        + EQUAL_EARTH_A2 * square
        + sixth * (EQUAL_EARTH_A3 + EQUAL_EARTH_A4 * square)
    )
    return xp.stack((x, y), -1)


def destination_deg(
    start_deg: Float[ArrayT, "*#batch 2"],
    bearing_deg: Float[ArrayT, "*#batch"] | float,
    distance_km: Float[ArrayT, "*#batch"] | float,
) -> Float[ArrayT, "*batch 2"]:
    """The place reached from `start_deg` along a great circle.

    Args:
        start_deg: where the way starts; leading axes broadcast with the other arguments.
        bearing_deg: direction at the start, clockwise from north. At a pole, where every way leads
            away from it, "north" lies as it does just beside the pole on the given meridian.
        distance_km: length of the way, on the sphere.

    Returns:
        Places with longitude in [-180, 180), in the dtype of `start_deg`, computed in float64.
    """
    xp = array_namespace(start_deg)
    bearing = xp.deg2rad(widen_beside(bearing_deg, start_deg))
    angle = widen_beside(distance_km, start_deg) / EARTH_RADIUS_KM
    east, north = xp.sin(bearing) * xp.sin(angle), xp.cos(bearing) * xp.sin(angle)
    return _place(start_deg, east=east, north=north, up=xp.cos(angle))


def local_to_latlon_deg(
    center_deg: Float[ArrayT, "*#batch 2"],
    east_km: Float[ArrayT, "*#batch"] | float,
    north_km: Float[ArrayT, "*#batch"] | float,
) -> Float[ArrayT, "*batch 2"]:
    """Places of points on the plane that touches the sphere at `center_deg`.

    The plane is azimuthal equidistant: distance and direction from the centre are exact at every
    distance up to the antipode, so a metre is a metre at every latitude. Leading axes broadcast.

    Returns:
        Places with longitude in [-180, 180), in the dtype of `center_deg`, computed in float64.

    Source: J. P. Snyder, "Map Projections: A Working Manual", USGS Professional Paper 1395, 1987,
    pp. 191-202, written with vectors instead of angles so that poles are no exception.
    """
    xp = array_namespace(center_deg)
    east = widen_beside(east_km, center_deg) / EARTH_RADIUS_KM
    north = widen_beside(north_km, center_deg) / EARTH_RADIUS_KM
    angle = sqrt_at_zero(east * east + north * north)
    share = xp.where(angle > 0, xp.sin(angle) / xp.where(angle > 0, angle, 1.0), 1.0)
    return _place(center_deg, east=east * share, north=north * share, up=xp.cos(angle))


def latlon_to_local_km(
    center_deg: Float[ArrayT, "*#batch 2"], latlon_deg: Float[ArrayT, "*#batch 2"]
) -> tuple[Float[ArrayT, "*batch"], Float[ArrayT, "*batch"]]:
    """East and north in km on the plane that touches at `center_deg`: `local_to_latlon_deg` undone.

    The antipode of the centre, which lies in every direction, is put due north. Computed in
    float64, returned in the dtype of `latlon_deg`.
    """
    xp = array_namespace(center_deg, latlon_deg)
    up_axis, east_axis, north_axis = _local_axes(center_deg)
    place = unit_vectors(widen(latlon_deg))
    east, north = (place * east_axis).sum(-1), (place * north_axis).sum(-1)
    up = (place * up_axis).sum(-1)
    sine = sqrt_at_zero(east * east + north * north)
    arc_km = EARTH_RADIUS_KM * xp.arctan2(sine, up)
    off_axis = sine > 0
    divisor = xp.where(off_axis, sine, 1.0)
    east_km = arc_km * (east / divisor)
    north_km = arc_km * xp.where(off_axis, north / divisor, 1.0)
    return cast_like(east_km, latlon_deg), cast_like(north_km, latlon_deg)


def _local_axes(center_deg: Any) -> tuple[Any, Any, Any]:
    """Unit vectors up, east and north at the centre, float64; defined at the poles too."""
    xp = array_namespace(center_deg)
    wide = widen(center_deg)
    lat, lon = xp.deg2rad(wide[..., 0]), xp.deg2rad(wide[..., 1])
    sin_lat, cos_lat, sin_lon, cos_lon = xp.sin(lat), xp.cos(lat), xp.sin(lon), xp.cos(lon)
    east = xp.stack((-sin_lon, cos_lon, 0.0 * lon), -1)
    north = xp.stack((-sin_lat * cos_lon, -sin_lat * sin_lon, cos_lat), -1)
    return unit_vectors(wide), east, north


def _place(center_deg: Any, *, east: Any, north: Any, up: Any) -> Any:
    """The place in the direction with these components along the centre's local axes."""
    xp = array_namespace(center_deg)
    up_axis, east_axis, north_axis = _local_axes(center_deg)
    vector = up[..., None] * up_axis + east[..., None] * east_axis + north[..., None] * north_axis
    latlon = cast_like(latlon_from_unit_vectors(vector), center_deg)
    return xp.stack((latlon[..., 0], wrap_longitude_deg(latlon[..., 1])), -1)

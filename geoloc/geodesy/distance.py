"""Distance between places: on the sphere for learning, on the ellipsoid for reports."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.geodesy.array_namespace import (
    ArrayT,
    array_namespace,
    cast_like,
    sqrt_at_zero,
    widen,
)
from geoloc.geodesy.coordinates import unit_vectors

EARTH_RADIUS_KM = 6371.0
"""The only radius of the Earth: its mean radius, rounded. Others live inside named protocols."""


def great_circle_km(
    a_deg: Float[ArrayT, "*#batch 2"], b_deg: Float[ArrayT, "*#batch 2"]
) -> Float[ArrayT, "*batch"]:
    """Great-circle distance in km between aligned places (leading axes broadcast).

    Symmetric, 0 for identical places (gradient 0, not NaN), never NaN for finite input, right to
    1 mm + 1e-6 of the distance (in float64 far better) from 1 m up to the antipode. Computed in
    float64 whatever the input, returned in the dtype of `a_deg`: float32 places are exact numbers,
    if a metre apart, and only the arithmetic on them must not lose metres.

    Source: the haversine formula (R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope
    68(2), 1984, p. 159) with h and 1 - h each written as a sum of two squares of half angles, so
    that neither needs clamping and the arc keeps its accuracy at the antipode too.
    """
    xp = array_namespace(a_deg, b_deg)
    a, b = widen(a_deg), widen(b_deg)
    lat_a, lat_b = a[..., 0], b[..., 0]
    lon_difference = a[..., 1] - b[..., 1]
    # whole turns leave no trace: 180 and -180 are one meridian
    lon_difference = lon_difference - 360.0 * xp.round(lon_difference / 360.0)
    half_lat = xp.deg2rad(lat_a - lat_b) / 2
    half_lon = xp.deg2rad(lon_difference) / 2
    mean_lat = xp.deg2rad(lat_a + lat_b) / 2
    sin_half_lon, cos_half_lon = xp.sin(half_lon), xp.cos(half_lon)
    h = (xp.sin(half_lat) * cos_half_lon) ** 2 + (xp.cos(mean_lat) * sin_half_lon) ** 2
    rest = (xp.cos(half_lat) * cos_half_lon) ** 2 + (xp.sin(mean_lat) * sin_half_lon) ** 2
    return cast_like(2 * EARTH_RADIUS_KM * xp.arctan2(sqrt_at_zero(h), sqrt_at_zero(rest)), a_deg)


def pairwise_great_circle_km(
    a_deg: Float[ArrayT, "query 2"], b_deg: Float[ArrayT, "candidate 2"]
) -> Float[ArrayT, "query candidate"]:
    """Great-circle distance in km from each place of `a_deg` to each of `b_deg`.

    Accuracy, gradients and dtypes as `great_circle_km`. Holds about four float64 matrices of the
    result's shape at a time.

    Source: the angle between unit vectors as 2 atan2(|u - v|, |u + v|) (W. Kahan, "How Futile are
    Mindless Assessments of Roundoff in Floating-Point Computation?", 2006, section 12), which,
    unlike arccos(u . v), is right for near places and near the antipode.
    """
    xp = array_namespace(a_deg, b_deg)
    u, v = unit_vectors(widen(a_deg)), unit_vectors(widen(b_deg))
    angle = 2 * xp.arctan2(_chord(u, v), _chord(u, -v))
    return cast_like(EARTH_RADIUS_KM * angle, a_deg)


def _chord(u: Any, v: Any) -> Any:
    """|u - v| of every pair, from differences: a dot product would lose metres at short lags."""
    if isinstance(u, Tensor):
        return torch.cdist(u, v, compute_mode="donot_use_mm_for_euclid_dist")
    from scipy.spatial.distance import cdist

    return cdist(u, v)


def geodesic_km(
    a_deg: Float[np.ndarray, "*#batch 2"] | Float[Tensor, "*#batch 2"],
    b_deg: Float[np.ndarray, "*#batch 2"] | Float[Tensor, "*#batch 2"],
) -> Float[np.ndarray, "*batch"]:
    """Geodesic distance in km on the WGS-84 ellipsoid between aligned places, as NumPy float64.

    For reports and for protocols that ask for it; nothing is learned from it.

    Source: C. F. F. Karney, "Algorithms for geodesics", J. Geodesy 87, 2013, pp. 43-55, in PROJ.
    """
    a, b = np.broadcast_arrays(_float64(a_deg), _float64(b_deg))
    columns = (part.ravel() for part in (a[..., 1], a[..., 0], b[..., 1], b[..., 0]))
    _, _, distance_m = _wgs84().inv(*columns)
    return np.reshape(np.asarray(distance_m) / 1000.0, a.shape[:-1])


def _float64(latlon_deg: np.ndarray | Tensor) -> np.ndarray:
    array = latlon_deg.detach().cpu().numpy() if isinstance(latlon_deg, Tensor) else latlon_deg
    return np.asarray(array, dtype=np.float64)


@functools.cache
def _wgs84() -> Any:
    from pyproj import Geod

    return Geod(ellps="WGS84")

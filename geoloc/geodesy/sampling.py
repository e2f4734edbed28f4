"""Places drawn: evenly over the sphere, and with noise in metres around given places."""

from __future__ import annotations

import math

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geodesy.array_namespace import widen
from geoloc.geodesy.projection import local_to_latlon_deg


def sample_sphere(count: int, *, generator: np.random.Generator) -> Float[np.ndarray, "count 2"]:
    """Random places, even by area over the whole sphere; longitude in [-180, 180).

    Even by area means that the height z = sin(latitude) is uniform (Archimedes' hat-box theorem).

    Raises:
        ConfigError: `count` is negative.
    """
    _check_count(count)
    height = generator.uniform(-1.0, 1.0, count)
    lon_deg = generator.uniform(-180.0, 180.0, count)
    return np.stack((np.rad2deg(np.arcsin(height)), lon_deg), axis=-1)


def fibonacci_sphere(count: int) -> Float[np.ndarray, "count 2"]:
    """A lattice of `count` places, even by area, from north to south; always the same.

    Source: Á. González, "Measurement of areas on a sphere using Fibonacci and latitude-longitude
    lattices", Mathematical Geosciences 42, 2010, pp. 49-64, with points at the middle of equal
    slices of height.

    Raises:
        ConfigError: `count` is negative.
    """
    _check_count(count)
    step = np.arange(count, dtype=np.float64)
    height = 1.0 - (2.0 * step + 1.0) / max(count, 1)
    golden_ratio = (1.0 + math.sqrt(5.0)) / 2.0
    lon_deg = 360.0 * np.mod(step / golden_ratio, 1.0) - 180.0
    return np.stack((np.rad2deg(np.arcsin(height)), lon_deg), axis=-1)


def jitter_m(
    latlon_deg: Float[Tensor, "*batch 2"],
    *,
    sigma_m: float,
    generator: torch.Generator | None = None,
) -> Float[Tensor, "*batch 2"]:
    """Places moved by isotropic Gaussian noise, `sigma_m` metres along each of two axes.

    The noise lives on the tangent plane at each place, so its size in metres is the same at every
    latitude, and poles and the antimeridian are no exception. Longitude comes out in [-180, 180).

    Args:
        latlon_deg: places in degrees.
        sigma_m: standard deviation along east and along north, in metres; 0 moves nothing.
        generator: source of the noise; it may live on another device than the places.

    Raises:
        ConfigError: `sigma_m` is negative or not finite.
    """
    if not (math.isfinite(sigma_m) and sigma_m >= 0):
        raise ConfigError(f"sigma_m is {sigma_m!r}: noise in metres must be finite and >= 0")
    wide = widen(latlon_deg)
    device = wide.device if generator is None else generator.device
    noise = torch.randn(wide.shape, generator=generator, dtype=wide.dtype, device=device)
    moved_km = noise.to(wide.device) * (sigma_m / 1000.0)
    return local_to_latlon_deg(latlon_deg, moved_km[..., 0], moved_km[..., 1])


def _check_count(count: int) -> None:
    if count < 0:
        raise ConfigError(f"count is {count}: a number of places cannot be negative")

"""A simulated space-time field: maps with a known variogram, each times a series of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float64
from scipy.signal import lfilter
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics import gaussian_field, given_variogram


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SimulatedField:
    """A field at places of a plane and times, known with and without its noise.

    Attributes:
        places_km: coordinates on the plane.
        signal: the field.
        values: the field as it is measured, with noise.
    """

    places_km: Float64[Tensor, "place 2"]
    signal: Float64[Tensor, "place time"]
    values: Float64[Tensor, "place time"]


def simulate_field(
    *,
    places: int,
    steps: int,
    bases: int,
    width_km: float,
    scales_km: tuple[float, ...],
    persistence: tuple[float, float],
    noise: float,
    seed: int,
) -> SimulatedField:
    """The sum over bases of a Gaussian field times an autoregressive series, of variance 1.

    Places are drawn evenly from a square. Each map has a Gaussian covariance, each series is of
    first order. White noise is added.

    Args:
        places: how many.
        steps: times.
        bases: maps and series.
        width_km: side of the square.
        scales_km: of the covariance exp(-(lag / scale)^2); maps have them in turn.
        persistence: coefficient of the first and of the last series, the others evenly between
            them; in [0, 1).
        noise: its standard deviation.
        seed: of everything.

    Raises:
        ConfigError: a number is impossible.

    Source: the recipe of F. Amato et al., Scientific Reports 10, 22243, 2020 (20 fields times
    autoregressive series, 1008 steps); scales, coefficients and noise are this project's.
    """
    if not 1 <= len(scales_km) <= bases:
        raise ConfigError(f"{len(scales_km)} scales for {bases} maps: one at least, no more")
    if min(places, steps) < 2 or not 0 <= min(persistence) <= max(persistence) < 1:
        raise ConfigError("two places and steps at least are simulated, with persistence in [0, 1)")
    generator = torch.Generator().manual_seed(seed)
    at = width_km * torch.rand((places, 2), generator=generator, dtype=torch.float64)
    maps = torch.empty((places, bases), dtype=torch.float64)
    for number, scale in enumerate(scales_km):
        fit = given_variogram("gaussian", partial_sill=1.0, scale=scale, lag_metric="euclidean")
        turn = maps[:, number :: len(scales_km)]
        drawn = gaussian_field(
            at,
            fit.covariance,
            generator=generator,
            fields=turn.shape[1],
            metric="euclidean",
        )
        turn.copy_(drawn[:, :, 0].T)
    series = _autoregressive(steps, np.linspace(*persistence, bases), generator)
    signal = maps @ series / bases**0.5
    error = noise * torch.randn(signal.shape, generator=generator, dtype=torch.float64)
    return SimulatedField(places_km=at, signal=signal, values=signal + error)


def _autoregressive(
    steps: int, coefficient: np.ndarray, generator: torch.Generator
) -> Float64[Tensor, "series time"]:
    """Stationary series of variance 1, each with its coefficient."""
    shock = torch.randn((len(coefficient), steps), generator=generator, dtype=torch.float64)
    rows = [
        # the first value is a draw from the stationary distribution
        lfilter([1.0], [1.0, -each], np.r_[row[0], row[1:] * (1.0 - each * each) ** 0.5])
        for each, row in zip(coefficient, shock.numpy(), strict=True)
    ]
    return torch.from_numpy(np.stack(rows))

"""How far two places lie apart: positions whose differences are exact, and lags from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float64, Num
from torch import Tensor

from geoloc.errors import ConfigError, CoordinateError
from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors, validate_latlon
from geoloc.geostatistics.lags import METRES_IN, LagBins, LagUnit, Metric, check_metric

COINCIDENT_M = 1e-6
"""Places nearer than this, in metres on the sphere, are one place: float64 resolves no better."""
POLYNOMIAL_DEGREE = 11


@dataclass(frozen=True, slots=True, kw_only=True)
class Separation:
    """Distance as this engine takes it: the squared length of a difference of positions.

    On the sphere positions are unit vectors and the difference is the chord; in the plane (or on a
    line, or in space) they are the coordinates themselves. A chord taken from a dot product would
    lose a kilometre at a kilometre in float32; from differences of float64 vectors it is right to
    a nanometre.

    Attributes:
        metric: ``great_circle`` or ``euclidean``.
        radius: of the sphere, in the unit of the lags; 0 in the plane.
    """

    metric: Metric
    radius: float

    @classmethod
    def of(cls, bins: LagBins, metric: Metric) -> Separation:
        """The separation that these bins sort by.

        Raises:
            ConfigError: great circles cannot be measured in the unit of the bins.
        """
        check_metric(bins, metric)
        return cls.measuring(metric, bins.unit)

    @classmethod
    def measuring(cls, metric: Metric, unit: LagUnit) -> Separation:
        """The separation by a metric that measures in this unit."""
        return cls(metric=metric, radius=sphere_radius(unit) if metric == "great_circle" else 0.0)

    def positions(
        self, places: Num[np.ndarray, "n ..."] | Num[Tensor, "n ..."]
    ) -> Float64[Tensor, "n 3"]:
        """Positions on the device of the places, float64; missing axes are 0.

        Args:
            places: latitude and longitude in degrees, or one to three coordinates in the unit of
                the lags.

        Raises:
            CoordinateError: a place is not finite or out of range, or of the wrong shape.
        """
        # a copy: torch warns of arrays that cannot be written to
        given = torch.from_numpy(np.array(places)) if isinstance(places, np.ndarray) else places
        given = given.detach().to(torch.float64)
        if self.metric == "great_circle":
            validate_latlon(given)
            if given.ndim != 2:
                raise CoordinateError(f"places: expected (n, 2), got {tuple(given.shape)}")
            return unit_vectors(given)
        given = given[:, None] if given.ndim == 1 else given
        if given.ndim != 2 or not 1 <= given.shape[1] <= 3:
            raise CoordinateError(
                f"places: expected (n,) or (n, 1 to 3) coordinates, got {tuple(given.shape)}"
            )
        if not bool(torch.isfinite(given).all()):
            row = int(torch.nonzero(~torch.isfinite(given).all(dim=1))[0])
            raise CoordinateError(f"place {row} is not finite: {given[row].tolist()}")
        return torch.nn.functional.pad(given, (0, 3 - given.shape[1]))

    def squared(self, lag: Float64[np.ndarray, " edge"]) -> Float64[np.ndarray, " edge"]:
        """Squared separations at these lags; beyond the antipode as much more as the lag is."""
        if not self.radius:
            return lag * lag
        half = np.asarray(lag) / (2.0 * self.radius)
        chord = 2.0 * np.sin(np.minimum(half, math.pi / 2))
        return np.where(half < math.pi / 2, chord * chord, 4.0 + half)

    def coincident(self) -> float:
        """The squared separation up to which two places are one."""
        return (COINCIDENT_M / (EARTH_RADIUS_KM * 1000.0)) ** 2 if self.radius else 0.0

    def lag(self, squared: Float64[Tensor, "*pair"]) -> Float64[Tensor, "*pair"]:
        """Lags of squared separations, in the unit of the lags.

        On the sphere within 1 mm + 1e-6 of the truth from a metre to the antipode: the half angle
        is the arc sine of the half chord, or beyond a right angle the complement of the arc sine
        of the other half chord.
        """
        if not self.radius:
            return squared.sqrt()
        near = squared <= 2.0
        part = torch.where(near, squared, 4.0 - squared).clamp(min=0.0).div(4.0).sqrt().asin()
        return 2.0 * self.radius * torch.where(near, part, math.pi / 2 - part)


def sample_lags(
    places: Num[np.ndarray, "n ..."] | Num[Tensor, "n ..."],
    count: int,
    *,
    generator: np.random.Generator,
    metric: Metric = "great_circle",
    unit: LagUnit = "km",
) -> Float64[np.ndarray, " pair"]:
    """Lags of `count` random pairs of samples, for `LagBins.equal_count`.

    Raises:
        ConfigError: there are fewer than two samples, or the metric has no such unit.
        CoordinateError: a place is not finite or out of range.
    """
    separation = Separation.of(LagBins(edges=(0.0, 1.0), unit=unit), metric)
    position = separation.positions(places).cpu()
    n = len(position)
    if n < 2:
        raise ConfigError(f"a lag lies between two samples; there are {n}")
    one = generator.integers(n, size=count)
    other = (one + generator.integers(1, n, size=count)) % n
    return separation.lag((position[one] - position[other]).square().sum(dim=1)).numpy()


def sphere_radius(unit: LagUnit) -> float:
    """The Earth's radius in a unit of length (km or m)."""
    return EARTH_RADIUS_KM * METRES_IN["km"] / METRES_IN[unit]


@cache
def arc_sine_series() -> tuple[float, ...]:
    """Coefficients c with asin(sqrt(t)) = sqrt(t) * sum of c[k] t**k for t in [0, 1/2].

    A Chebyshev interpolation, right to 1e-11: kernels without a vectorised arc sine use it.
    """
    from numpy.polynomial import Chebyshev, Polynomial

    def arc(t: Float64[np.ndarray, " node"]) -> Float64[np.ndarray, " node"]:
        root = np.sqrt(np.maximum(t, 1e-300))
        return np.arcsin(root) / root

    series = Chebyshev.interpolate(arc, POLYNOMIAL_DEGREE, domain=[0.0, 0.5])
    return tuple(float(c) for c in series.convert(kind=Polynomial).coef)

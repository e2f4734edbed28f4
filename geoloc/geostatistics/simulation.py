"""Simulation: Gaussian fields at given places with a known variogram, exactly drawn."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float64, Num
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics.lags import LagBins, LagUnit, Metric
from geoloc.geostatistics.separation import Separation

Covariance: TypeAlias = Callable[[Tensor], Tensor]
"""From lags, in the unit asked for, to covariances; at lag 0 the sill, nugget included."""

MOST_PLACES = 20_000
_ROUNDING = 1e-9


def gaussian_field(
    places: Num[np.ndarray, "n ..."] | Num[Tensor, "n ..."],
    covariance: Covariance,
    *,
    generator: torch.Generator,
    features: int = 1,
    fields: int = 1,
    metric: Metric = "great_circle",
    unit: LagUnit = "km",
) -> Float64[Tensor, "field n feature"]:
    """Fields of mean zero whose semivariogram is covariance(0) - covariance(lag).

    Each feature is an independent field with that covariance divided by the number of features, so
    the variogram of the vectors under ``squared`` is the one asked for, however many features
    there are. Drawn by a Cholesky factor of the covariance of all places: exact, n cubed once.

    Args:
        places: latitude and longitude in degrees, or coordinates in `unit`.
        covariance: such as `VariogramFit.covariance`; valid for the metric. Two samples at one
            place get one value.
        generator: source of chance, on the CPU.
        features: numbers a sample has.
        fields: independent fields wanted.
        metric: ``great_circle`` or ``euclidean``.
        unit: of the lags that `covariance` takes.

    Raises:
        ConfigError: a number is below 1, there are more than 20,000 places, or the covariance is
            no covariance at these places (it gives a negative variance to a combination of them).
        CoordinateError: a place is not finite or out of range.
    """
    if features < 1 or fields < 1:
        raise ConfigError(f"{fields} fields of {features} features: there must be one at least")
    separation = Separation.of(LagBins(edges=(0.0, 1.0), unit=unit), metric)
    position = separation.positions(places).cpu()
    n = len(position)
    if n > MOST_PLACES:
        raise ConfigError(f"{n} places: an exact field is drawn at {MOST_PLACES} at most")
    squared = torch.cdist(position, position, compute_mode="donot_use_mm_for_euclid_dist").square()
    lag = separation.lag(squared)
    # what is one place to the engine is one place here
    lag = torch.where(squared <= separation.coincident(), 0.0, lag)
    matrix = covariance(lag).to(torch.float64)
    sill = float(covariance(torch.zeros(1, dtype=torch.float64)))
    if sill == 0.0:
        return torch.zeros((fields, n, features), dtype=torch.float64)
    # of unit sill, so that neither tiny nor huge ones leave the range of float64
    matrix = matrix / sill + _ROUNDING * torch.eye(n, dtype=torch.float64)
    factor, info = torch.linalg.cholesky_ex(matrix)
    if int(info):
        raise ConfigError(
            "this is no covariance at these places: with great circles for lags only some models "
            "are valid, with chords all of them"
        )
    noise = torch.randn((fields, n, features), generator=generator, dtype=torch.float64)
    return factor @ noise * (sill / features) ** 0.5

"""How far errors resemble one another over the ground, for the choice of the bootstrap's blocks."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from scipy.stats import norm, rankdata

from geoloc.errors import DataError
from geoloc.geostatistics import LagBins, estimate_variogram, fit_variogram

MOST_BLOCK_SHARE = 0.2
"""The part of a block's side that errors may stay alike over; measured in docs/scoring.md."""

_SAMPLE = 4000
_FEWEST = 30
_EDGES = (0.0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8, 1.2, 1.6, 2.4, 3.2, 4.8)


def correlation_length_km(
    latlon_deg: Float64[np.ndarray, "row 2"],
    value: Float64[np.ndarray, " row"],
    *,
    block_km: float,
    seed: int = 0,
) -> float | None:
    """The lag at which the likeness of values has fallen to 1/e, beside what no neighbour shares.

    The scale of an exponential model with a nugget, fitted to the semivariogram of the values'
    normal scores up to some five blocks; the effective range is three times as long where there
    is no nugget. A sample of 4,000 rows is looked at. For independent values 0.

    Args:
        latlon_deg: places.
        value: such as errors in km; only their order counts.
        block_km: side of the blocks in question.
        seed: of the sample.

    Returns:
        Kilometres, at most five blocks; None where there is nothing to go by: fewer than 30 rows,
        equal values, or no two places within five blocks.
    """
    chosen = np.arange(len(value))
    if len(value) > _SAMPLE:
        chosen = np.random.default_rng(seed).choice(len(value), size=_SAMPLE, replace=False)
    value, places = value[chosen], latlon_deg[chosen]
    if len(value) < _FEWEST or (value == value[0]).all():
        return None
    score = np.asarray(norm.ppf((rankdata(value) - 0.5) / len(value)), dtype=np.float64)
    bins = LagBins(edges=tuple(share * block_km for share in _EDGES))
    try:
        variogram = estimate_variogram(places, score, bins=bins, groups=1)
        fit = fit_variogram(variogram, "exponential")
    except DataError:
        return None
    return min(fit.scale, _EDGES[-1] * block_km) if fit.has_structure else 0.0


def block_warning(correlation_km: float | None, block_km: float) -> str | None:
    """What to say where blocks are too small for errors that resemble each other so far."""
    if correlation_km is None or correlation_km <= MOST_BLOCK_SHARE * block_km:
        return None
    wanted = 100.0 * np.ceil(correlation_km / MOST_BLOCK_SHARE / 100.0)
    return (
        f"errors resemble one another over some {correlation_km:,.0f} km, more than a fifth of the "
        f"blocks of {block_km:,.0f} km: the intervals are too narrow; blocks of {wanted:,.0f} km "
        "would be wide enough, if enough of them are left"
    )

"""How far errors resemble one another over the ground, for the choice of the bootstrap's blocks."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import fill
from typing import Any

import numpy as np
from jaxtyping import Float64
from scipy.spatial import KDTree
from scipy.stats import norm, rankdata

from geoloc.errors import DataError
from geoloc.geodesy import EARTH_RADIUS_KM, unit_vectors
from geoloc.geostatistics import LagBins, estimate_variogram, fit_variogram

MOST_BLOCK_SHARE = 0.2
"""The part of a block's side that errors may stay alike over; measured in docs/scoring.md."""

_SAMPLE = 4000
_FEWEST = 30
CONTINUED = "  "
_NEAR = 0.3
_MOST_PAIRS = 100_000
_SHUFFLES = 39
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
    is no nugget. A sample of 4,000 rows is looked at. 0 unless near values are more alike than in
    39 shuffles of them: of independent values a fit would find some length or other.

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
    if not _near_are_alike(places, score, within_km=_NEAR * block_km, seed=seed):
        return 0.0
    bins = LagBins(edges=tuple(share * block_km for share in _EDGES))
    try:
        variogram = estimate_variogram(places, score, bins=bins, groups=1)
        fit = fit_variogram(variogram, "exponential")
    except DataError:
        return None
    return min(fit.scale, _EDGES[-1] * block_km) if "no_structure" not in fit.flags else 0.0


def _near_are_alike(
    latlon_deg: np.ndarray, score: np.ndarray, *, within_km: float, seed: int
) -> bool:
    """Whether near pairs differ less than in every one of 39 shuffles (2.5 %, one-sided)."""
    chord = 2.0 * np.sin(within_km / EARTH_RADIUS_KM / 2.0)
    pair = KDTree(unit_vectors(latlon_deg)).query_pairs(chord, output_type="ndarray")
    generator = np.random.default_rng(seed)
    if len(pair) > _MOST_PAIRS:
        pair = pair[generator.choice(len(pair), size=_MOST_PAIRS, replace=False)]

    def unlike(values: np.ndarray) -> float:
        return float(np.square(values[pair[:, 0]] - values[pair[:, 1]]).sum())

    told = unlike(score)
    return all(told < unlike(generator.permutation(score)) for _ in range(_SHUFFLES))


def block_warning(correlation_km: float | None, block_km: float) -> str | None:
    """What to say where blocks are too small for errors that resemble each other so far."""
    if correlation_km is None or correlation_km <= MOST_BLOCK_SHARE * block_km:
        return None
    wanted = 100.0 * np.ceil(correlation_km / MOST_BLOCK_SHARE / 100.0)
    return (
        "likeness over more than a fifth of a block: the intervals are too narrow; blocks of "
        f"{wanted:,.0f} km would do, if enough are left"
    )


def told_blocks(how: Mapping[str, Any]) -> str:
    """In words which blocks intervals come from; a warning's later lines begin with `CONTINUED`."""
    line = f"95 % intervals from {how['blocks']:,} spatial blocks of {how['block_km']:g} km"
    if how["correlation_length_km"]:
        line += f"; errors resemble one another over some {how['correlation_length_km']:,.0f} km"
    if not how["warning"]:
        return line
    warning = fill(f"WARNING: {how['warning']}", 98, subsequent_indent=CONTINUED)
    return f"{line}\n{warning}"

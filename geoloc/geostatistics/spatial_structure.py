"""SpatialStructure: how alike near places are, over one step of time or several."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64

from geoloc.errors import DataError
from geoloc.geodesy import EARTH_RADIUS_KM, great_circle_km
from geoloc.geostatistics.autocorrelation import Autocorrelation, morans_i
from geoloc.geostatistics.estimate import accumulator_for
from geoloc.geostatistics.files import variogram_tree
from geoloc.geostatistics.fitting import fit_variogram
from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.neighbours import SpatialWeights, nearest_neighbours
from geoloc.geostatistics.replicates import fit_replicates
from geoloc.geostatistics.separation import sample_lags
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit

FEWEST_PLACES = 10
MOST_STEPS = 24
NEIGHBOURS = 8
_CLASSES = 24
_LAGS_SEEN = 200_000
_NEAREST = 0.01
_NARROW = 4.0
_BEYOND_CHANCE = 1.959963984540054


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SpatialStructure:
    """The semivariogram and Moran's I of values at places, step by step.

    Attributes:
        variogram: over the pairs of places of all the steps looked at; never over time.
        fit: a stable model of it, up to half the longest lag.
        steps: the steps looked at.
        moran: Moran's I of each of these that is not constant.
        neighbours: whom a place is compared with in `moran`, in words.
        neighbour_km: median distance to them.
    """

    variogram: Variogram
    fit: VariogramFit
    steps: tuple[int, ...]
    moran: tuple[Autocorrelation, ...]
    neighbours: str
    neighbour_km: float

    @property
    def structured(self) -> bool:
        """Whether near places are alike: semivariance rises with lag, and Moran's I with it.

        Either alone is taken in by noise now and then: the model is better than a nugget by AIC,
        and Moran's I of the step in the middle is above what 97.5 % of random deals have.
        """
        return self.fit.has_structure and self.typical_moran.z > _BEYOND_CHANCE

    @property
    def typical_moran(self) -> Autocorrelation:
        """Moran's I of the step in the middle, by its value."""
        return sorted(self.moran, key=lambda each: each.value)[len(self.moran) // 2]

    def to_json(self) -> dict[str, Any]:
        """The structure as JSON can hold it."""
        return {
            "variogram": variogram_tree(self.variogram),
            "fit": self.fit.to_json(),
            "structured": self.structured,
            "steps": list(self.steps),
            "moran": [each.to_json() for each in self.moran],
            "neighbours": self.neighbours,
            "neighbour_km": self.neighbour_km,
        }


def lags_between(*places_deg: Float64[np.ndarray, "_place 2"]) -> LagBins:
    """Classes of lag that suit all of these sets of places, so that their variograms compare.

    Logarithmic from a lag that one place in a hundred has a neighbour within, to the longest.

    Args:
        places_deg: latitude and longitude of two or more places each.

    Raises:
        DataError: all places of a set are one.
    """
    first, last = zip(*map(_reach, places_deg), strict=True)
    nearest, farthest = min(first), max(last)
    if farthest < _NARROW * nearest:
        return LagBins.even(_CLASSES // 2, farthest)
    return LagBins.logarithmic(_CLASSES, nearest, farthest)


def _reach(places_deg: np.ndarray) -> tuple[float, float]:
    """From the short lags of these places to the longest, in km."""
    lag = sample_lags(places_deg, _LAGS_SEEN, generator=np.random.default_rng(0))
    near = _neighbour_lags(places_deg, nearest_neighbours(places_deg, 1))
    near = near[near > 0] if bool((near > 0).any()) else lag[lag > 0]
    if not len(near):
        raise DataError("all places are one: there is no lag between them")
    longest = min(1.001 * float(lag.max()), float(math.ceil(math.pi * EARTH_RADIUS_KM)))
    # classes do not hold their lower edge
    return 0.999 * float(np.quantile(near, _NEAREST)), longest


def spatial_structure(
    latlon_deg: Float64[np.ndarray, "place 2"],
    series: Float64[np.ndarray, "time place"],
    *,
    bins: LagBins,
) -> SpatialStructure:
    """How alike near places are.

    Places are compared within a step of time, in 24 steps at most, evenly chosen; the jackknife
    deletes groups of places in all steps at once.

    Args:
        latlon_deg: of the places.
        series: nan is missing.
        bins: such as `lags_between`.

    Raises:
        CoordinateError: a place is out of range.
        DataError: there are fewer than ten places, values are infinite, or no step has ten places
            of different values.
    """
    if len(latlon_deg) < FEWEST_PLACES:
        raise DataError(f"{len(latlon_deg)} places: structure in space needs {FEWEST_PLACES}")
    steps = _telling_steps(series)
    variogram = _variogram(latlon_deg, series[list(steps)], bins)
    fit = fit_variogram(variogram, max_lag=float(bins.edges[-1]) / 2.0)
    if variogram.replicate is not None:
        fit = fit_replicates(variogram, fit)
    weights = _weights(latlon_deg)
    return SpatialStructure(
        variogram=variogram,
        fit=fit,
        steps=steps,
        moran=tuple(_moran(latlon_deg, series[step], weights) for step in steps),
        neighbours=weights.kind,
        neighbour_km=float(np.median(_neighbour_lags(latlon_deg, weights))),
    )


def _telling_steps(series: np.ndarray) -> tuple[int, ...]:
    """Steps with enough places of different values, not too many of them."""
    known = (~np.isnan(series)).sum(axis=1) >= FEWEST_PLACES
    telling = np.flatnonzero(known)
    spread = np.nanmax(series[telling], axis=1) > np.nanmin(series[telling], axis=1)
    telling = telling[spread]
    if not len(telling):
        raise DataError(f"no step has {FEWEST_PLACES} places of different values")
    chosen = np.linspace(0, len(telling) - 1, min(len(telling), MOST_STEPS)).round().astype(int)
    return tuple(int(step) for step in telling[chosen])


def _variogram(places_deg: np.ndarray, series: np.ndarray, bins: LagBins) -> Variogram:
    # the step that varies most sets the scale of the histogram
    widest = series[int(np.nanargmax(np.nanvar(series, axis=1)))]
    sums, group = accumulator_for(
        places_deg,
        np.where(np.isnan(widest), np.nanmean(widest), widest),
        bins=bins,
        dissimilarity="squared",
    )
    for value in series:
        known = ~np.isnan(value)
        sums.add(places_deg[known], value[known], groups=group[known])
    about = {
        "samples": len(places_deg),
        "steps": len(series),
        "pairs": "all",
        "pairs_seen": sums.pair_count,
        "groups": sums.group_count,
    }
    return sums.variogram(feature_dim=1, provenance=about)


def _weights(places_deg: np.ndarray) -> SpatialWeights:
    # of few places all would be neighbours, and Moran's I the same whatever the values
    return nearest_neighbours(places_deg, min(NEIGHBOURS, (len(places_deg) - 1) // 2))


def _moran(places_deg: np.ndarray, value: np.ndarray, weights: SpatialWeights) -> Autocorrelation:
    known = ~np.isnan(value)
    if bool(known.all()):
        return morans_i(value, weights)
    return morans_i(value[known], _weights(places_deg[known]))


def _neighbour_lags(places_deg: np.ndarray, weights: SpatialWeights) -> np.ndarray:
    one, other = weights.matrix.nonzero()
    return np.asarray(great_circle_km(places_deg[one], places_deg[other]))

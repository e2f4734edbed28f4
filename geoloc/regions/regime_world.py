"""A world with a known answer for clusterings: Gaussian regimes that hold patches of the metric."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64, Int64
from scipy.spatial import KDTree

from geoloc.errors import ConfigError
from geoloc.geostatistics import LagBins
from geoloc.geostatistics.lags import LagUnit, Metric
from geoloc.geostatistics.separation import Separation

_DEGREES_OF_FREEDOM = 3
"""Of the covariances' Wishart distribution, beyond the features."""


def regime_world(
    places: Float64[np.ndarray, "n ..."],
    *,
    generator: np.random.Generator,
    regimes: int = 5,
    patches: int = 10,
    features: int = 5,
    mean_spread: float = 0.5,
    metric: Metric = "great_circle",
    unit: LagUnit = "km",
) -> tuple[Float64[np.ndarray, "n feature"], Int64[np.ndarray, " n"]]:
    """Features at places, and the regime that each was drawn from.

    Patches are the places nearest to each of some random places; regimes take turns in holding
    them, so each returns in several patches where there are more patches than regimes. A regime is
    a Gaussian: its mean is normal with a standard deviation of `mean_spread`, its covariance a
    Wishart matrix of features + 3 degrees of freedom over that number. Draws are independent, so
    single observations tell little of their regime. Features are standardised at the end.

    Args:
        places: latitude and longitude in degrees, or one to three coordinates.
        generator: all chance comes from it.
        regimes: how many.
        patches: how many, at least as many as regimes.
        features: of each observation.
        mean_spread: how far the means of the regimes lie apart.
        metric: of the places.
        unit: of lags.

    Raises:
        ConfigError: there are fewer patches than regimes, or fewer places than patches.
        CoordinateError: a place is not finite or out of range.
    """
    if not 1 <= regimes <= patches <= len(places):
        raise ConfigError(
            f"{regimes} regimes in {patches} patches of {len(places)} places: there must be a "
            "patch for each regime, and a place for each patch"
        )
    separation = Separation.of(LagBins(edges=(0.0, 1.0), unit=unit), metric)
    position = separation.positions(places).cpu().numpy()
    centre = position[generator.choice(len(places), patches, replace=False)]
    if position[:, 1:].any():
        patch = np.asarray(KDTree(centre).query(position)[1], dtype=np.int64)
    else:
        # along a line neighbouring patches must not belong to one regime
        patch = np.asarray(KDTree(np.sort(centre, axis=0)).query(position)[1], dtype=np.int64)
    label = patch % regimes
    freedom = features + _DEGREES_OF_FREEDOM
    mixing = generator.normal(size=(regimes, features, freedom)) / np.sqrt(freedom)
    mean = mean_spread * generator.normal(size=(regimes, features))
    drawn = np.einsum("nij,nj->ni", mixing[label], generator.normal(size=(len(label), freedom)))
    drawn += mean[label]
    return (drawn - drawn.mean(axis=0)) / drawn.std(axis=0), label

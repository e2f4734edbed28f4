"""What a metric-constrained clustering rests on: Gaussians, their semivariogram and its range."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics import (
    LagBins,
    Variogram,
    VariogramFit,
    estimate_variogram,
    fit_variogram,
    sample_lags,
)
from geoloc.geostatistics.separation import Separation
from geoloc.regions.cluster_settings import ClusterSettings
from geoloc.regions.neighbour_gaussians import Gaussians, neighbour_gaussians
from geoloc.regions.pair_losses import Observations
from geoloc.regions.transport import transport_features

_EVERY_PAIR = 1 << 26
_SAMPLED_LAGS = 20_000
_GROUPS = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Prepared:
    """What does not depend on eps, min_samples, weight and margin: computed once for many of them.

    Attributes:
        observations: with their Gaussians, the fit and its range.
        semivariogram: of the Gaussians.
        settings: that it was made with.
    """

    observations: Observations
    semivariogram: Variogram
    settings: ClusterSettings


def prepare(
    features: Float[np.ndarray, "n d"] | Float[Tensor, "n d"],
    places: Float[np.ndarray, "place ..."] | Float[Tensor, "place ..."],
    *,
    settings: ClusterSettings,
) -> Prepared:
    """Gaussians, semivariogram and fit, as `clusters_of` and `tune` take them.

    Args:
        features: as for `metric_constrained_clusters`.
        places: likewise.
        settings: all but eps, min_samples, weight and margin are read.

    Raises:
        ConfigError: a setting is impossible.
        CoordinateError: a place is not finite or out of range.
        DataError: features do not fit the places or are not finite, or observations are too few.
    """
    if len(features) != len(places):
        raise DataError(f"{len(features)} rows of features for {len(places)} places")
    given = torch.from_numpy(features) if isinstance(features, np.ndarray) else features
    given = given.detach().to(torch.float64)
    if given.ndim != 2:
        raise DataError(f"features: expected (n, feature), got {tuple(given.shape)}")
    if settings.compared is not None and settings.compared < 2:
        raise ConfigError(
            f"an observation is compared with two at least, itself among them, not "
            f"{settings.compared}"
        )
    if settings.max_lag is not None and not settings.max_lag > 0:
        raise ConfigError(f"max_lag must be positive, not {settings.max_lag}")
    separation = Separation.of(LagBins(edges=(0.0, 1.0), unit=settings.unit), settings.metric)
    position = separation.positions(places).to(given.device)
    gaussians = neighbour_gaussians(
        given,
        position.cpu().numpy(),
        neighbours=settings.neighbours,
        sparsity=settings.sparsity,
    )
    semivariogram = _semivariogram(gaussians, places, settings)
    fit = fit_variogram(semivariogram, "stable")
    observations = Observations(
        gaussians=gaussians,
        position=position,
        separation=separation,
        fit=fit,
        reach=constraint_reach(fit, settings.flat_share),
        distance=settings.distance,
        compared=settings.compared,
    )
    return Prepared(
        observations=observations,
        semivariogram=semivariogram,
        settings=settings,
    )


def constraint_reach(fit: VariogramFit, flat_share: float) -> float:
    """The first lag, beyond the steepest, where a fitted curve is flat: rho of the source.

    Read on an increasing grid of lags, so it does not depend on the order of the observations.

    Args:
        fit: any.
        flat_share: the slope that counts as flat, as a part of the partial sill over one scale.

    Returns:
        0 where nothing grows with lag, infinity where the curve flattens nowhere.

    Raises:
        ConfigError: the share is not positive.
    """
    if not flat_share > 0:
        raise ConfigError(f"flat_share must be positive, not {flat_share}")
    if fit.partial_sill == 0 or fit.scale == 0:
        return 0.0
    return fit.slope_range(flat_share * fit.partial_sill / fit.scale)


def _semivariogram(
    gaussians: Gaussians,
    places: Float[np.ndarray, "place ..."] | Float[Tensor, "place ..."],
    settings: ClusterSettings,
) -> Variogram:
    n = len(gaussians)
    maximum = settings.max_lag
    if maximum is None:
        chance = np.random.default_rng(settings.seed)
        unit, metric = settings.unit, settings.metric
        lag = sample_lags(places, _SAMPLED_LAGS, generator=chance, metric=metric, unit=unit)
        maximum = float(lag.max())
    if not maximum > 0:
        raise DataError("all observations are at one place: there is no metric to constrain by")
    return estimate_variogram(
        places,
        transport_features(gaussians),
        bins=LagBins.even(settings.lag_classes, maximum, unit=settings.unit),
        dissimilarity="squared",
        metric=settings.metric,
        pairs="all" if n * n / 2 <= _EVERY_PAIR else settings.variogram_pairs,
        groups=_GROUPS,
        generator=torch.Generator().manual_seed(settings.seed),
    )

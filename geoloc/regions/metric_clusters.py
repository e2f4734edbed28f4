"""Metric-constrained model-based clusters: alike in their features, and as near as that allows."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.geostatistics import Variogram, VariogramFit
from geoloc.regions.cluster_evidence import Prepared, prepare
from geoloc.regions.cluster_settings import ClusterSettings
from geoloc.regions.density import NearPairs, density_clusters
from geoloc.regions.pair_losses import PairPart, near_parts, pair_loss


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MetricConstrainedClusters:
    """Clusters, and how they were come by.

    Attributes:
        label: of each observation, from 0; -1 for noise.
        core: which observations are cores.
        semivariogram: half the mean squared distance of Gaussians by lag (`transport_features`).
        fit: the model fitted to it.
        reach: the lag up to which the metric constrains (rho), in the unit of the lags; 0 where
            the fit has no structure, infinite where the curve flattens nowhere.
        settings: as given.
    """

    label: Int64[np.ndarray, " n"]
    core: Bool[np.ndarray, " n"]
    semivariogram: Variogram
    fit: VariogramFit
    reach: float
    settings: ClusterSettings

    @property
    def count(self) -> int:
        """How many clusters there are, noise aside."""
        return int(self.label.max(initial=-1)) + 1

    @property
    def noise_share(self) -> float:
        """Part of the observations that is in no cluster."""
        return float((self.label < 0).mean())


def metric_constrained_clusters(
    features: Float[np.ndarray, "n d"] | Float[Tensor, "n d"],
    places: Float[np.ndarray, "place ..."] | Float[Tensor, "place ..."],
    *,
    settings: ClusterSettings | None = None,
) -> MetricConstrainedClusters:
    """Clusters of observations whose features follow one distribution, constrained by the metric.

    Each observation is given a Gaussian from its nearest neighbours. A pair's loss is the squared
    2-Wasserstein distance of the Gaussians, plus a charge where that exceeds what the semivariogram
    lets expect at the pair's lag; DBSCAN clusters by it. Memory does not grow with the square of n.

    Args:
        features: of each observation, all in one unit (standardised, or principal components).
            Computed where a tensor is; arrays on the CPU.
        places: latitude and longitude in degrees, or one to three coordinates in the unit of lags.
        settings: of the clustering.

    Raises:
        ConfigError: a setting is impossible.
        CoordinateError: a place is not finite or out of range.
        DataError: features do not fit the places or are not finite, or observations are too few.

    Source: Z. Wang, G. Mai, K. Janowicz, N. Lao, "MC-GTA: Metric-constrained model-based clustering
    using goodness-of-fit tests with autocorrelations", ICML 2024.
    """
    return clusters_of(prepare(features, places, settings=settings or ClusterSettings()))


def clusters_of(
    prepared: Prepared,
    settings: ClusterSettings | None = None,
    *,
    parts: Sequence[PairPart] | None = None,
) -> MetricConstrainedClusters:
    """The clusters of what `prepare` gave.

    Args:
        prepared: Gaussians and fit.
        settings: of which eps, min_samples, weight and margin are read; None for those prepared
            with.
        parts: what `near_parts` gave for this or a greater eps; None to compute it.

    Raises:
        ConfigError: one of these is impossible.
    """
    chosen = settings or prepared.settings
    _check(chosen)
    weight, margin = chosen.weight, chosen.margin

    def near_pairs() -> Iterator[NearPairs]:
        for part in near_parts(prepared.observations, chosen.eps) if parts is None else parts:
            loss = pair_loss(part.transport, part.expected, weight=weight, margin=margin)
            near = loss <= chosen.eps
            yield part.one[near].cpu().numpy(), part.other[near].cpu().numpy()

    label, core = density_clusters(
        len(prepared.observations), near_pairs, min_samples=chosen.min_samples
    )
    return MetricConstrainedClusters(
        label=label,
        core=core,
        semivariogram=prepared.semivariogram,
        fit=prepared.observations.fit,
        reach=prepared.observations.reach,
        settings=chosen,
    )


def _check(settings: ClusterSettings) -> None:
    if not 0 <= settings.weight < math.inf:
        raise ConfigError(f"the weight of the metric must be 0 or more, not {settings.weight}")
    if not 0 < settings.eps < math.inf:
        raise ConfigError(f"eps must be positive, not {settings.eps}")
    if not math.isfinite(settings.margin):
        raise ConfigError(f"the margin must be a number, not {settings.margin}")

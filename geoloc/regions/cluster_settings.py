"""The choices of a metric-constrained clustering."""

from __future__ import annotations

from dataclasses import dataclass

from geoloc.geostatistics.lags import LagUnit, Metric
from geoloc.regions.pair_losses import Distance


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSettings:
    """Choices of a clustering; the defaults are those of the source where it has any.

    Attributes:
        metric: of the places: ``great_circle``, or ``euclidean`` (a line, the plane, space).
        unit: of lags.
        neighbours: observations that a Gaussian is fitted to, its own among them.
        sparsity: penalty of the graphical lasso, in squared units of the features.
        distance: ``embedding`` for scale, ``exact`` for the distance of the source.
        eps: loss up to which two observations are near, in squared units of the features.
        min_samples: near observations, itself included, that make one a core.
        weight: of the metric constraint (beta of the source); 0 for none.
        margin: by how much a pair must be more alike than expected not to be charged (delta of the
            source), in squared units of the features; may be negative.
        lag_classes: classes of the semivariogram, all of one width.
        max_lag: where they end; None for the greatest lag of a sample of pairs.
        flat_share: the range ends where the fitted curve grows by less than this part of its
            partial sill over one scale.
        compared: each observation is compared only with its so many nearest places; None for all.
            Then time and memory grow with n times this number, and a cluster cannot leap a gap.
        variogram_pairs: pairs drawn for the semivariogram where there are more than 2**26.
        seed: of that draw.
    """

    metric: Metric = "great_circle"
    unit: LagUnit = "km"
    neighbours: int = 30
    sparsity: float = 0.01
    distance: Distance = "embedding"
    eps: float = 2.0
    min_samples: int = 20
    weight: float = 0.6
    margin: float = 3.4
    lag_classes: int = 50
    max_lag: float | None = None
    flat_share: float = 0.01
    compared: int | None = None
    variogram_pairs: int = 20_000_000
    seed: int = 0

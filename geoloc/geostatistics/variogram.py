"""Variogram: an experimental semivariogram, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from geoloc.geostatistics.lags import LagBins, LagUnit, Metric

Estimator: TypeAlias = Literal["matheron", "cressie", "median"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Variogram:
    """Semivariance against lag, in the occupied classes of lag only, by increasing lag.

    Attributes:
        bins: all classes, occupied or not.
        bin: the number of each occupied class in `bins`.
        lag: mean lag of the class's pairs, in `unit`; not the middle of the class.
        semivariance: as `estimator` has it, of the dissimilarity.
        spread: standard deviation of the dissimilarity over the class's pairs.
        pair_count: pairs in the class.
        standard_error: of the semivariance, by the delete-a-group jackknife over spatial groups;
            NaN without groups, and in a class whose pairs all touch one of them.
        quantile_level: levels of `quantile`, increasing, in (0, 1); none without a histogram.
        quantile: of the dissimilarity over the class's pairs, one column a level.
        estimator: ``matheron``, ``cressie`` or ``median``.
        dissimilarity: ``cosine``, ``squared`` or ``absolute``; ``cross`` for two variables.
        metric: ``great_circle`` or ``euclidean``.
        coincident_count: pairs at lag 0, which are in no class.
        below_count: pairs at a lag above 0, but not above the first edge.
        beyond_count: pairs beyond the last edge.
        replicate: semivariance without each group in turn (one row a group; NaN where the class is
            then empty); None without groups.
        provenance: how it came about: sample count, sampling, versions, as JSON can hold it.
    """

    bins: LagBins
    bin: Int64[np.ndarray, " class"]
    lag: Float64[np.ndarray, " class"]
    semivariance: Float64[np.ndarray, " class"]
    spread: Float64[np.ndarray, " class"]
    pair_count: Int64[np.ndarray, " class"]
    standard_error: Float64[np.ndarray, " class"]
    quantile_level: tuple[float, ...] = ()
    quantile: Float64[np.ndarray, "class level"] | None = None
    estimator: Estimator = "matheron"
    dissimilarity: str = "cosine"
    metric: Metric = "great_circle"
    coincident_count: int = 0
    below_count: int = 0
    beyond_count: int = 0
    replicate: Float64[np.ndarray, "group class"] | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __len__(self) -> int:
        return len(self.lag)

    @property
    def unit(self) -> LagUnit:
        """Unit of the lags."""
        return self.bins.unit

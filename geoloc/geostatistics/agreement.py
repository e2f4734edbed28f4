"""Agreement: how near an estimate comes to what it estimates, value by value and in structure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Num
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.geostatistics.variogram import Variogram

_FEWEST = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """An estimate against the truth, over the values that both have.

    Attributes:
        count: values compared.
        rmse: root of the mean squared error, in the unit of the values.
        mae: mean absolute error.
        bias: mean of estimate minus truth.
        pearson: linear correlation; nan where either is constant.
        nse: Nash and Sutcliffe's efficiency, 1 - squared errors / squares of the truth about its
            mean: what regression calls R2 on data it has not seen. Below 0 the mean of the truth
            would have been the better estimate. nan where the truth is constant.
        kge: Kling and Gupta's efficiency, 1 - the distance of (correlation, ratio of standard
            deviations, ratio of means) from (1, 1, 1); nan where either is constant or the mean of
            the truth is 0. It depends on where the unit has its zero, and says nothing of
            anomalies, whose mean is near 0.

    Source: J. E. Nash and J. V. Sutcliffe, Journal of Hydrology 10, 1970, eq. 3; H. V. Gupta et
    al., Journal of Hydrology 377, 2009, eqs. 9 and 10.
    """

    count: int
    rmse: float
    mae: float
    bias: float
    pearson: float
    nse: float
    kge: float

    @property
    def r2(self) -> float:
        """The square of the correlation: what a line through the estimates would explain."""
        return self.pearson * self.pearson

    def to_json(self) -> dict[str, Any]:
        """All measures as JSON can hold them, r2 too; None where there is none."""
        names = ("rmse", "mae", "bias", "pearson", "r2", "nse", "kge")
        found = {name: float(getattr(self, name)) for name in names}
        return {
            "count": self.count,
            **{name: None if math.isnan(each) else each for name, each in found.items()},
        }


def measure_agreement(
    estimate: Num[Tensor, ...] | Num[np.ndarray, ...],
    truth: Num[Tensor, ...] | Num[np.ndarray, ...],
) -> Agreement:
    """Compare an estimate with the truth, leaving out where either is nan.

    Args:
        estimate: of any shape.
        truth: of the same.

    Raises:
        DataError: shapes differ, a value is infinite, or fewer than three can be compared.
    """
    one, other = _float64(estimate), _float64(truth)
    if one.shape != other.shape:
        raise DataError(
            f"an estimate of {tuple(one.shape)} values, a truth of {tuple(other.shape)}"
        )
    known = ~(torch.isnan(one) | torch.isnan(other))
    one, other = one[known], other[known]
    if len(one) < _FEWEST:
        raise DataError(f"{len(one)} values known in both: {_FEWEST} at least can be compared")
    if bool(torch.isinf(one).any() or torch.isinf(other).any()):
        raise DataError("an infinite value cannot be compared: leave it out, as nan")
    error = one - other
    squares = float((other - other.mean()).square().sum())
    pearson = _pearson(one, other)
    return Agreement(
        count=len(one),
        rmse=math.sqrt(float(error.square().mean())),
        mae=float(error.abs().mean()),
        bias=float(error.mean()),
        pearson=pearson,
        nse=math.nan if _constant(other) else 1.0 - float(error.square().sum()) / squares,
        kge=_kling_gupta(pearson, one, other),
    )


def _constant(value: Tensor) -> bool:
    """Whether all values are equal, which the rounding of their mean would hide."""
    return bool(value.amax() == value.amin())


def _pearson(one: Tensor, other: Tensor) -> float:
    if _constant(one) or _constant(other):
        return math.nan
    product = float(((one - one.mean()) * (other - other.mean())).mean())
    found = product / float(one.std(correction=0) * other.std(correction=0))
    return min(max(found, -1.0), 1.0)


def _kling_gupta(pearson: float, one: Tensor, other: Tensor) -> float:
    mean = float(other.mean())
    if math.isnan(pearson) or mean == 0.0:
        return math.nan
    spread = float(one.std(correction=0) / other.std(correction=0))
    return 1.0 - math.hypot(pearson - 1.0, spread - 1.0, float(one.mean()) / mean - 1.0)


def lagged_agreement(
    series: Num[Tensor, "time ..."] | Num[np.ndarray, "time ..."], lags: int
) -> tuple[Float64[np.ndarray, " lag"], Float64[np.ndarray, " lag"]]:
    """How far, and how alike, values are 1, 2, ... `lags` steps apart: lag-RMSE and lag-R2.

    Over all places at once; R2 is the squared correlation. What a series forgets, and how fast:
    two fields with the same curves change alike from step to step.

    Args:
        series: equally spaced in time; nan is missing.
        lags: the longest lag, in steps.

    Raises:
        ConfigError: there are no lags, or not fewer than steps.
        DataError: fewer than three pairs of values are known at a lag.
    """
    value = _float64(series)
    if not 1 <= lags < len(value):
        raise ConfigError(f"{lags} lags of {len(value)} steps: one at least, fewer than steps")
    found = [measure_agreement(value[lag:], value[:-lag]) for lag in range(1, lags + 1)]
    return np.array([each.rmse for each in found]), np.array([each.r2 for each in found])


def wasserstein_distance(
    one: Num[Tensor, ...] | Num[np.ndarray, ...],
    other: Num[Tensor, ...] | Num[np.ndarray, ...],
) -> float:
    """How far the values of one must be moved to be distributed as the other's, in their unit.

    The first Wasserstein distance of the two distributions, wherever and whenever the values lie;
    nan is left out.

    Raises:
        DataError: one of them has no value.

    Source: L. N. Vaserstein, Problems of Information Transmission 5, 1969; computed by SciPy.
    """
    from scipy.stats import wasserstein_distance as distance

    values = [np.asarray(_float64(each).cpu()).ravel() for each in (one, other)]
    values = [each[~np.isnan(each)] for each in values]
    if not all(len(each) for each in values):
        raise DataError("a field without values has no distance from another")
    return float(distance(*values))


def semivariogram_distance(estimate: Variogram, truth: Variogram) -> float:
    """How far a field's structure is from another's: 0 for the same semivariances at all lags.

    The mean over classes of the absolute difference of the semivariances, divided by the mean
    semivariance of the truth; classes that either lacks are left out.

    Args:
        estimate: estimated in the same classes.
        truth: what it should be like.

    Raises:
        DataError: their classes, metrics or dissimilarities differ, they have no class in common,
            or the truth has no semivariance at all.
    """
    if estimate.bins != truth.bins:
        raise DataError("two variograms in different classes of lag cannot be compared")
    if (estimate.metric, estimate.dissimilarity) != (truth.metric, truth.dissimilarity):
        raise DataError("two variograms of different metrics or dissimilarities cannot be compared")
    mine = dict(zip(estimate.bin.tolist(), estimate.semivariance.tolist(), strict=True))
    theirs = dict(zip(truth.bin.tolist(), truth.semivariance.tolist(), strict=True))
    both = sorted(mine.keys() & theirs.keys())
    if not both:
        raise DataError("two variograms have no class of lag in common")
    gap = np.mean([abs(mine[each] - theirs[each]) for each in both])
    level = float(np.mean([theirs[each] for each in both]))
    if not level > 0:
        raise DataError("the truth is constant: a distance from its semivariogram has no scale")
    return float(gap) / level


def _float64(values: Tensor | np.ndarray) -> Tensor:
    return torch.as_tensor(values).detach().to(torch.float64)

"""Normal intervals of an estimate, and how often they hold what they promise."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError


def normal_reach(level: float) -> float:
    """How many standard deviations a normal interval of that probability reaches to each side.

    Raises:
        ConfigError: the level is not in (0, 1).
    """
    if not 0.0 < level < 1.0:
        raise ConfigError(f"the level of an interval lies in (0, 1), not {level}")
    return NormalDist().inv_cdf(0.5 + level / 2.0)


def interval_coverage(
    error: Float64[np.ndarray, "*sample"] | Float64[Tensor, "*sample"],
    variance: Float64[np.ndarray, "*sample"] | Float64[Tensor, "*sample"],
    level: float,
) -> float:
    """The share of errors within normal intervals of that probability.

    Args:
        error: estimate minus truth.
        variance: that is claimed for it.
        level: probability of the intervals.

    Returns:
        nan where there are none.

    Raises:
        ConfigError: the level is not in (0, 1).
    """
    within = abs(error) <= normal_reach(level) * variance**0.5
    count = math.prod(within.shape)
    return float(within.sum()) / count if count else math.nan

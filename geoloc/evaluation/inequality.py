"""Inequality of what images or groups of images score, as pure functions."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64


def gini(
    value: Float64[np.ndarray, "*batch n"], weight: Float64[np.ndarray, "*batch n"] | None = None
) -> Float64[np.ndarray, "*batch"]:
    """Gini index of values that are not negative: 0 where all are equal, (n - 1)/n for one of n.

    Half the mean absolute difference between two members, over the mean. NaN where all are 0 or
    nothing weighs.

    Args:
        value: finite and at least 0.
        weight: of each, as if so many members had the value; at least 0, 1 by default.

    Raises:
        ValueError: a value is negative or not finite.

    Source: C. Gini, Variabilità e mutabilità, 1912; by the Lorenz curve, as L. Ceriani and
    P. Verme, Journal of Economic Inequality 10, 2012, eq. 9, write it.
    """
    if not (np.isfinite(value).all() and (value >= 0).all()):
        raise ValueError("a Gini index is of finite values that are not negative")
    weight = np.ones_like(value) if weight is None else weight
    order = np.argsort(value, axis=-1, kind="stable")
    weight = np.take_along_axis(weight, order, axis=-1)
    reached = np.cumsum(weight * np.take_along_axis(value, order, axis=-1), axis=-1)
    total = reached[..., -1]
    before = reached - weight * np.take_along_axis(value, order, axis=-1)
    area = (weight * (reached + before)).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(1.0 - area / (total * weight.sum(axis=-1)))


def worst_mean(
    value: Float64[np.ndarray, "*batch n"],
    share: float,
    weight: Float64[np.ndarray, "*batch n"] | None = None,
) -> Float64[np.ndarray, "*batch"]:
    """Mean of the lowest part of the members, the one on the edge counting in part.

    Args:
        value: higher is better.
        share: of the members, in (0, 1].
        weight: of each, as in `gini`; NaN comes out where nothing weighs.

    Raises:
        ValueError: the share is out of range.

    Source: expected shortfall, C. Acerbi and D. Tasche, Journal of Banking & Finance 26, 2002.
    """
    if not 0.0 < share <= 1.0:
        raise ValueError(f"a share lies in (0, 1], not {share}")
    weight = np.ones_like(value) if weight is None else weight
    order = np.argsort(value, axis=-1, kind="stable")
    weight = np.take_along_axis(weight, order, axis=-1)
    wanted = share * weight.sum(axis=-1, keepdims=True)
    before = np.cumsum(weight, axis=-1) - weight
    taken = np.clip(wanted - before, 0.0, weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        total = (taken * np.take_along_axis(value, order, axis=-1)).sum(axis=-1)
        return np.asarray(total / wanted[..., 0])

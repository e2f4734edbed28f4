"""Fits of a model to many curves at once, on any device."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.geostatistics.curve_problem import CurveProblem
from geoloc.geostatistics.curve_search import NARROWEST, POINTS, best_position, descend, solve_at
from geoloc.geostatistics.models import fixed_shapes, split_sum

GAMMA_FLOOR = 1e-3
"""Weights N / gamma^2 take no semivariance below this part of the greatest one."""

_TINY = 1e-300
_NOTHING = 1e-140
"""A curve that is nowhere greater is one of zeros, and has no unit of its own."""

_ELEMENTS = 8_000_000
_ROUNDS = 4
_REWEIGHTINGS = 60
_SETTLED = 1e-8


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CurveFits:
    """What `fit_curves` gives, a row for each curve.

    Attributes:
        nugget: 0 where none is fitted.
        partial_sill: of each structure.
        scale: of each structure, in the unit of the lags; without meaning at partial sill 0.
        shape: of each structure; NaN where it has none.
        square: weighted sum of squares left over, under `weight`.
        weight: as given, or as the model made them; 0 where a bin did not count.
    """

    nugget: Float64[Tensor, " curve"]
    partial_sill: Float64[Tensor, "curve structure"]
    scale: Float64[Tensor, "curve structure"]
    shape: Float64[Tensor, "curve structure"]
    square: Float64[Tensor, " curve"]
    weight: Float64[Tensor, "curve bin"]


def fit_curves(
    lag: Float64[Tensor, "#curve bin"],
    semivariance: Float64[Tensor, "curve bin"],
    weight: Float64[Tensor, "#curve bin"],
    *,
    model: str,
    shape: float | None = None,
    nugget: bool = True,
    reweight: bool = False,
) -> CurveFits:
    """Fit a model to every curve by weighted least squares; no start values, no failures.

    For given scales (and shape) the nugget and the sills follow in closed form, so one or two
    numbers are searched: a grid finds the valleys, Newton's steps their bottoms, in float64. Scales
    lie between 1/20 of the least lag and 1000 times the greatest. Units of lags, semivariances and
    weights change answers only in proportion.

    Args:
        lag: of the bins, above 0 where they count; one row will do for curves that share them.
        semivariance: NaN where a bin does not count.
        weight: at least 0; 0 or NaN where a bin does not count.
        model: a family or a sum of two, as `split_sum` reads it.
        shape: of the structures that have one; None fits that of a single structure.
        nugget: whether a nugget is fitted; a sum that names one has one in any case.
        reweight: divide the weights by the squared model, over and over until it stands still.

    Raises:
        ConfigError: the model or the shape is impossible.

    Source: N. Cressie, Mathematical Geology 17, 1985, equation 11, for the weights of `reweight`.
    """
    named, structures = split_sum(model)
    shapes = fixed_shapes(structures, shape)
    lag, value, used = _usable(lag, semivariance, weight)
    if not structures:
        return _pure_nugget(value, used, reweight=reweight)
    unit = lag.amax(-1, keepdim=True).clamp(min=_TINY)
    top = value.abs().amax(-1, keepdim=True)
    top = torch.where(top > _NOTHING, top, 1.0)
    total = used.sum(-1, keepdim=True).clamp(min=_TINY)
    problem = CurveProblem(
        lag=lag / unit,
        semivariance=value / top,
        weight=used / total,
        structures=structures,
        shapes=shapes,
        nugget=nugget or named,
    )
    parts = [_fit(part, reweight=reweight) for part in _parts(problem)]
    position, sill, square, weight = (torch.cat(each) for each in zip(*parts, strict=True))
    count = len(structures)
    fitted = position[:, count:] if problem.shape_is_free else None
    return CurveFits(
        nugget=sill[:, 0] * top[:, 0] if problem.nugget else torch.zeros_like(sill[:, 0]),
        partial_sill=sill[:, -count:] * top,
        scale=position[:, :count].exp() * unit,
        shape=_shapes(shapes, fitted, len(value), like=value),
        square=square * (total if reweight else total * top * top)[:, 0],
        weight=weight * (total / (top * top) if reweight else total),
    )


def _usable(lag: Tensor, value: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Finite lags, values and weights; 0 weighs what does not count."""
    counts = value.isfinite() & (weight > 0) & weight.isfinite() & lag.isfinite() & (lag > 0)
    seen = counts.any(0, keepdim=True) if len(lag) == 1 else counts
    return (
        torch.where(seen, lag, torch.where(seen, lag, 0.0).amax(-1, keepdim=True)),
        torch.where(counts, value, 0.0),
        torch.where(counts, weight, 0.0),
    )


def _parts(problem: CurveProblem) -> list[CurveProblem]:
    """The problem in portions of curves that a moderate amount of memory holds."""
    count, bins = problem.semivariance.shape
    nodes = 64 if problem.structures[0].name == "matern" else 1
    each = POINTS[problem.position_count] * (bins * nodes if len(problem.lag) > 1 else 16)
    size = max(1, _ELEMENTS // each)
    number = torch.arange(count, device=problem.weight.device)
    return [problem.of_curves(part) for part in number.split(size)]


def _fit(problem: CurveProblem, *, reweight: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Position, sills, squares and weights of some curves."""
    position, _ = best_position(problem)
    if reweight:
        position, problem = _settle(problem, position)
    return position, *solve_at(problem, position), problem.weight


def _settle(problem: CurveProblem, position: Tensor) -> tuple[Tensor, CurveProblem]:
    """Reweight until the fit stands still, and is the best one under its own weights."""
    position, weight = position.clone(), problem.weight.clone()
    moving = torch.arange(len(position), device=position.device)
    part, start = problem, position
    for _ in range(_ROUNDS):
        position[moving], now = _stand_still(problem.of_curves(moving), part, start)
        weight[moving] = now.weight
        found, square = best_position(now)
        better = square < solve_at(now, position[moving])[1] * (1 - 1e-9)
        if not bool(better.any()):
            break
        moving, part, start = moving[better], now.of_curves(better.nonzero()[:, 0]), found[better]
    return position, replace(problem, weight=weight)


def _stand_still(
    problem: CurveProblem, now: CurveProblem, position: Tensor
) -> tuple[Tensor, CurveProblem]:
    """Reweight and descend in turn until neither changes anything; starting from a fit to `now`.

    Source: D. G. Anderson, J. ACM 12, 1965, with one step remembered, for the acceleration.
    """
    position = position.clone()
    moving = torch.arange(len(position), device=position.device)
    used = _log_gamma(now, position)
    used_before = fitted_before = used
    weight = torch.empty_like(problem.weight)
    width = position.new_full((len(position), 1), 0.02)
    for number in range(_REWEIGHTINGS):
        part = problem.of_curves(moving)
        now = replace(part, weight=part.weight * torch.exp(-2 * used))
        before = position[moving]
        position[moving], _ = descend(now, before, steps=2, width=width)
        moved = (position[moving] - before).abs().amax(-1, keepdim=True)
        width = torch.minimum(width, moved.clamp(min=NARROWEST))
        weight[moving] = now.weight
        fitted = _log_gamma(now, position[moving])
        change = fitted - used
        difference = change - (fitted_before - used_before)
        share = (change * difference).sum(-1) / (difference * difference).sum(-1).clamp(min=_TINY)
        share = share.clamp(-1, 1)[:, None] * (number > 0)
        fresh = fitted - share * (fitted - fitted_before)
        rest = (change.abs() >= _SETTLED).any(-1)
        if not bool(rest.any()):
            break
        moving, used_before, fitted_before = moving[rest], used[rest], fitted[rest]
        used, width = fresh[rest], width[rest]
    return position, replace(problem, weight=weight)


def _log_gamma(problem: CurveProblem, position: Tensor) -> Tensor:
    """Logarithm of the model at the lags, floored for use in weights."""
    sill, _ = solve_at(problem, position)
    gamma = (sill[:, None, :] @ problem.columns(position, problem.lag))[:, 0]
    greatest = gamma.amax(-1, keepdim=True)
    floored = torch.maximum(gamma, GAMMA_FLOOR * greatest)
    return torch.where(greatest > 0, floored, 1.0).log()


def _pure_nugget(value: Tensor, weight: Tensor, *, reweight: bool) -> CurveFits:
    """The weighted mean, which dividing all weights by one number does not change."""
    total = weight.sum(-1, keepdim=True).clamp(min=_TINY)
    mean = (weight * value).sum(-1, keepdim=True) / total
    if reweight:
        weight = weight / torch.where(mean > 0, mean, 1.0) ** 2
    none = value.new_empty(len(value), 0)
    return CurveFits(
        nugget=mean[:, 0],
        partial_sill=none,
        scale=none,
        shape=none,
        square=(weight * (value - mean) ** 2).sum(-1),
        weight=weight,
    )


def _shapes(
    fixed: tuple[float | None, ...], fitted: Tensor | None, count: int, *, like: Tensor
) -> Tensor:
    if fitted is not None:
        return fitted.exp()
    known = [math.nan if each is None else each for each in fixed]
    return like.new_tensor(known).expand(count, -1).clone()

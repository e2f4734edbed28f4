"""The search for scales and shapes: a grid that sees every valley, then Newton's steps in each."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float64, Int64
from torch import Tensor
from torch.nn import functional

from geoloc.geostatistics.curve_problem import CurveProblem
from geoloc.geostatistics.nonnegative import best_face, nonnegative_least_squares

_GRID = {1: (160, 1), 2: (64, 64)}
_SHAPE_GRID = (72, 14)
POINTS = {number: sides[0] * sides[1] for number, sides in _GRID.items()}
"""Points of the grid at most, by the numbers that are searched."""
_STARTS = {1: 4, 2: 8}
_SHAPE_STARTS = 5
_STEPS = 50
_WIDEST, NARROWEST = {1: 0.05, 2: 0.15}, 2e-4
"""Half width of the stencil in logarithms: at first, by the numbers searched; and at last.

At the last one, central differences of a smooth square are right to 1e-8, and rounding is far below
its curvature.
"""
_END = 1e-7
"""Stencils that are narrower still are for seams, where a nugget or a sill comes to 0."""
_REACH = 4.0
_CLOSE = 1e-7
"""Steps below this end a descent."""
_GAIN = 1e-11
"""Steps that promise less than this part of the squares end it as well."""


@dataclass(slots=True)
class _Descent:
    """Where descents stand; a row for each."""

    center: Tensor
    width: Tensor
    best: Tensor
    square: Tensor
    ended: Tensor


def solve_at(
    problem: CurveProblem, position: Float64[Tensor, "curve position"]
) -> tuple[Float64[Tensor, "curve column"], Float64[Tensor, " curve"]]:
    """Nugget and partial sills at given positions, and the weighted sum of squares left."""
    column = problem.columns(position, problem.lag)
    root = problem.weight.sqrt()
    weighted, target = column * root[:, None, :], problem.semivariance * root
    return nonnegative_least_squares(weighted, target)


def best_position(
    problem: CurveProblem,
) -> tuple[Float64[Tensor, "curve position"], Float64[Tensor, " curve"]]:
    """The position with the least squares for each curve, at the bottom of the deepest valley."""
    curve, start = _grid_starts(problem)
    found, square = descend(problem.of_curves(curve), start)
    # the lowest of each curve: sorted by square, then (stably) by curve
    order = square.argsort()
    order = order[curve[order].argsort(stable=True)]
    first = torch.searchsorted(curve[order], torch.arange(len(problem.weight), device=curve.device))
    return found[order[first]], square[order[first]]


def descend(
    problem: CurveProblem,
    position: Float64[Tensor, "curve position"],
    *,
    steps: int = _STEPS,
    width: Float64[Tensor, "curve 1"] | None = None,
) -> tuple[Float64[Tensor, "curve position"], Float64[Tensor, " curve"]]:
    """The bottom of the valley that each curve's position lies in, and the squares there.

    Squares on a stencil of 3 or 9 points around a center give a parabola, whose lowest point (not
    beyond four widths of the stencil) is the next center. Where the squares on the new stencil are
    no lower, the descent goes back to the best point met and halves its stencil twice.

    Args:
        problem: one curve for each descent.
        position: where to start.
        steps: at most.
        width: half widths of the first stencils.

    Source: variable projection (G. H. Golub, V. Pereyra, SIAM J. Numer. Anal. 10, 1973): only
    scales and shape are searched, the rest follows. Their Gauss-Newton steps are slow where much
    is left over, as with experimental variograms; Newton's are not.
    """
    low, high = (each.expand(len(position), -1) for each in problem.bounds())
    if width is None:
        width = position.new_full((len(position), 1), _WIDEST[position.shape[-1]])
    now = _Descent(
        center=position.clone(),
        width=width.clone(),
        best=position.clone(),
        square=position.new_full((len(position),), torch.inf),
        ended=position.new_zeros(len(position), dtype=torch.bool),
    )
    for _ in range(steps):
        alive = (~now.ended).nonzero()[:, 0]
        if not len(alive):
            break
        _advance(problem.of_curves(alive), now, alive, low=low[alive], high=high[alive])
    both = torch.stack([now.best, now.center.clamp(low, high)], 1)
    square, which = _squares(problem, problem.columns(both, problem.lag[:, None, :])).min(-1)
    return both.take_along_dim(which[:, None, None], 1)[:, 0], square


def _advance(
    problem: CurveProblem, now: _Descent, alive: Tensor, *, low: Tensor, high: Tensor
) -> None:
    """One step of the descents that have not ended."""
    width = now.width[alive]
    stencil, to_parabola = _stencil(low.shape[-1], low.device)
    # the whole stencil lies within the bounds
    center = torch.maximum(torch.minimum(now.center[alive], high - width), low + width)
    points = center[:, None, :] + stencil * width[:, None, :]
    square = _squares(problem, problem.columns(points, problem.lag[:, None, :]))
    least, which = square.min(-1)
    lower = (least < now.square[alive])[:, None]
    found = points.take_along_dim(which[:, None, None], 1)[:, 0]
    least_step = torch.maximum((low - center) / width, torch.full_like(center, -_REACH))
    greatest_step = torch.minimum((high - center) / width, torch.full_like(center, _REACH))
    step, drop = _lowest(square @ to_parabola, least_step, greatest_step)
    step = step * width
    size = step.abs().amax(-1, keepdim=True)
    best = torch.where(lower, found, now.best[alive])
    # far away for next to nothing: a plain; near by: only a narrow stencil is to be believed
    settled = (width <= 10 * NARROWEST) | (size >= width)
    idle = (size < _CLOSE) & (width <= NARROWEST) | (drop < _GAIN * least[:, None]) & settled
    ended = torch.where(lower, idle, width <= _END)
    now.ended[alive] = ended[:, 0]
    now.best[alive] = best
    now.square[alive] = torch.minimum(least, now.square[alive])
    now.center[alive] = torch.where(lower | ended, center + step, best)
    wider = torch.minimum(torch.maximum(size, width.clamp(max=NARROWEST)), 2 * width)
    now.width[alive] = torch.where(lower, wider, width / 4)


@functools.cache
def _stencil(count: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points -1, 0, 1 in each direction, and what makes a parabola of the squares there.

    The parabola that is nearest to the squares is a sum of g_i u_i and h_ij u_i u_j / 2; its
    coefficients come as g_1 [g_2] h_11 [h_12 h_22].
    """
    points = torch.cartesian_prod(*[torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)] * count)
    points = points.reshape(-1, count)
    terms = [torch.ones(len(points), dtype=torch.float64), *points.unbind(-1)]
    for i, j in itertools.combinations_with_replacement(range(count), 2):
        terms.append(points[:, i] * points[:, j] * (0.5 if i == j else 1.0))
    inverse = torch.linalg.pinv(torch.stack(terms, -1))
    return points.to(device), inverse[1:].mT.contiguous().to(device)


def _lowest(parabola: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """The lowest point of a parabola in one or two directions between bounds, and how far down.

    The bounds hold 0, from where the depth is counted.
    """
    if low.shape[-1] == 1:
        slope, bend = parabola.split(1, -1)
        point = _lowest_between(slope, bend, low, high)
        return point, -(slope * point + bend * point * point / 2)
    slope, (h11, h12, h22) = parabola[:, :2], parabola[:, 2:].split(1, -1)
    g1, g2 = slope.split(1, -1)
    determinant = h11 * h22 - h12 * h12
    bowl = (determinant > 1e-12 * h11 * h22) & (h11 > 0)
    whole = torch.where(bowl, determinant, 1.0)
    inner = torch.cat([h12 * g2 - h22 * g1, h12 * g1 - h11 * g2], -1) / whole
    inside = bowl & ((inner >= low) & (inner <= high)).all(-1, keepdim=True)
    candidates = [torch.where(inside, inner, 0.0)]
    for side in (low, high):
        first, second = side.split(1, -1)
        on_first = _lowest_between(g2 + h12 * first, h22, low[:, 1:], high[:, 1:])
        on_second = _lowest_between(g1 + h12 * second, h11, low[:, :1], high[:, :1])
        candidates += [torch.cat([first, on_first], -1), torch.cat([on_second, second], -1)]
    point = torch.stack(candidates, 1)
    u, v = point.unbind(-1)
    value = g1 * u + g2 * v + (h11 * u * u + h22 * v * v) / 2 + h12 * u * v
    least, best = value.min(-1, keepdim=True)
    return point.take_along_dim(best[..., None], 1)[:, 0], -least


def _lowest_between(slope: Tensor, bend: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Where slope u + bend u^2 / 2 is lowest between bounds."""
    bowl = bend > 0
    bottom = (-slope / torch.where(bowl, bend, 1.0)).clamp(low, high)
    at_low, at_high = (slope * u + bend * u * u / 2 for u in (low, high))
    return torch.where(bowl, bottom, torch.where(at_low < at_high, low, high))


def _grid_starts(
    problem: CurveProblem,
) -> tuple[Int64[Tensor, " start"], Float64[Tensor, "start position"]]:
    """The deepest valleys of a grid over all scales (and shapes): of which curve, and where.

    A point of the grid is a start where no neighbour lies lower. Where lags are the same for all
    curves the columns of the grid are computed once, and a curve costs a few small products.
    """
    sides = _SHAPE_GRID if problem.shape_is_free else _GRID[len(problem.structures)]
    low, high = problem.bounds()
    parts = [torch.linspace(0, 1, side, dtype=low.dtype, device=low.device) for side in sides]
    share = torch.cartesian_prod(*parts)[:, : low.shape[-1]]
    position = low[:, None] + share * (high - low)[:, None]
    square = _grid_squares(problem, problem.columns(position, problem.lag[:, None, :]))
    # a plain without slope has one lowest point instead of many
    order = torch.arange(square.shape[1], dtype=square.dtype, device=square.device)
    square = square * (1 + 1e-10 * order)
    window = [min(3, side) for side in sides]
    plane = -square.reshape(-1, 1, *sides)
    lowest = -functional.max_pool2d(plane, window, 1, [side // 2 for side in window]).flatten(1)
    valley = torch.where(square <= lowest, square, torch.inf)
    starts = _SHAPE_STARTS if problem.shape_is_free else _STARTS[len(problem.structures)]
    depth, chosen = valley.topk(starts, largest=False)
    curve, number = depth.isfinite().nonzero(as_tuple=True)
    row = curve if len(position) > 1 else torch.zeros_like(curve)
    return curve, position[row, chosen[curve, number]]


def _grid_squares(
    problem: CurveProblem, column: Float64[Tensor, "row point column bin"]
) -> Float64[Tensor, "curve point"]:
    """The least weighted squares on a grid, by products only: right to some 1e-13 of the whole."""
    _, gain = _best_sills(problem, column)
    whole = (problem.weight * problem.semivariance**2).sum(-1)
    return whole[:, None] - gain


def _squares(
    problem: CurveProblem, column: Float64[Tensor, "curve point column bin"]
) -> Float64[Tensor, "curve point"]:
    """The least weighted squares at some positions, right even where hardly anything is left."""
    sill, _ = _best_sills(problem, column)
    left = problem.semivariance[:, None, :] - (sill[..., None, :] @ column)[..., 0, :]
    return _contract(left * left, problem.weight)


def _best_sills(
    problem: CurveProblem, column: Float64[Tensor, "row point column bin"]
) -> tuple[Float64[Tensor, "curve point column"], Float64[Tensor, "curve point"]]:
    """The coefficients that leave the least squares, and how much they take from the whole."""
    count = column.shape[2]
    weighted = problem.weight * problem.semivariance
    gram = column.new_empty(len(weighted), column.shape[1], count, count)
    for i, j in itertools.combinations_with_replacement(range(count), 2):
        product = _contract(column[..., i, :] * column[..., j, :], problem.weight)
        gram[..., i, j] = gram[..., j, i] = product
    right = torch.stack([_contract(column[..., i, :], weighted) for i in range(count)], -1)
    sill, gain, _ = best_face(gram, right)
    return sill, gain


def _contract(value: Tensor, weight: Tensor) -> Tensor:
    """Weighted sums over bins: (row, point, bin) and (curve, bin) to (curve, point)."""
    if len(value) == 1:
        return weight @ value[0].mT
    return (value @ weight[..., None])[..., 0]

"""The graphical lasso for many small covariances at once."""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError, DataError

_TOLERANCE = 1e-6
_MOST_SWEEPS = 200
_MOST_INNER = 100
_SHRINKAGE = 0.95


def graphical_lasso(
    empirical: Float64[Tensor, "n d d"], penalty: float | int, *, tolerance: float = _TOLERANCE
) -> Float64[Tensor, "n d d"]:
    """Covariances W whose inverses K maximise log det K - tr(S K) - penalty * sum |K_ij|, i != j.

    Solved column by column, each a lasso by coordinate descent, for all matrices at once; those
    that have converged are left out of the sweeps that follow. The diagonal is not penalised, so
    W has the diagonal of S. Off the diagonal W differs from S by the penalty at most.

    Args:
        empirical: symmetric, positive semidefinite covariances S.
        penalty: at least 0, in the unit of the covariances; above 0 where some S is singular.
        tolerance: sweeps end where no entry moves by more than this part of the mean variance.

    Returns:
        Covariances, positive definite where no variance is 0.

    Raises:
        ConfigError: the penalty is negative.
        DataError: a covariance is not finite.

    Source: J. Friedman, T. Hastie, R. Tibshirani, Biostatistics 9, 2008, pp. 432-441 (algorithm of
    section 2), with the diagonal left free as in scikit-learn.
    """
    if not penalty >= 0:
        raise ConfigError(f"the penalty of a graphical lasso must be 0 or more, not {penalty}")
    if not bool(torch.isfinite(empirical).all()):
        raise DataError("a covariance is not finite: look for missing values among the features")
    d = empirical.shape[-1]
    if penalty == 0 or d == 1:
        return empirical.clone()
    diagonal = torch.eye(d, dtype=torch.bool, device=empirical.device)
    solved = torch.where(diagonal, empirical, _SHRINKAGE * empirical)
    active = torch.arange(len(empirical), device=empirical.device)
    weight = torch.zeros_like(empirical)
    for _ in range(_MOST_SWEEPS):
        part, before = solved[active], solved[active]
        inner = weight[active]
        for column in range(d):
            goal = empirical[active, :, column]
            _solve_column(
                part, inner[:, column], goal, column, penalty=float(penalty), tolerance=tolerance
            )
        solved[active], weight[active] = part, inner
        scale = part.diagonal(dim1=1, dim2=2).mean(dim=1)
        moved = (part - before).abs().amax(dim=(1, 2))
        active = active[moved > tolerance * scale]
        if not len(active):
            break
    return solved


def _solve_column(
    covariance: Float64[Tensor, "n d d"],
    weight: Float64[Tensor, "n d"],
    goal: Float64[Tensor, "n d"],
    column: int,
    *,
    penalty: float,
    tolerance: float,
) -> None:
    """Solve the lasso of one column for all matrices, and write it into the covariances."""
    others = [row for row in range(covariance.shape[-1]) if row != column]
    variance = covariance.diagonal(dim1=1, dim2=2)
    # a feature that is constant among the neighbours has no part in any other
    usable = variance > 0
    divisor = torch.where(usable, variance, 1.0)
    fitted = (covariance @ weight[:, :, None])[:, :, 0]
    bound = 0.1 * tolerance * float(variance.mean())
    for _ in range(_MOST_INNER):
        largest = torch.zeros((), dtype=covariance.dtype, device=covariance.device)
        for row in others:
            rest = goal[:, row] - fitted[:, row] + variance[:, row] * weight[:, row]
            new = torch.nn.functional.softshrink(rest, penalty) / divisor[:, row]
            step = torch.where(usable[:, row], new, 0.0) - weight[:, row]
            weight[:, row] += step
            fitted += covariance[:, :, row] * step[:, None]
            largest = torch.maximum(largest, (step.abs() * divisor[:, row]).max())
        if float(largest) <= bound:
            break
    covariance[:, others, column] = fitted[:, others]
    covariance[:, column, others] = fitted[:, others]

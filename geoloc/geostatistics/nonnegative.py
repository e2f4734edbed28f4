"""Least squares with coefficients that must not be negative, for many small problems at once."""

from __future__ import annotations

import functools
import itertools

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

_SINGULAR = 1e-11
"""Columns whose squared sine is below this are one column: another face holds their best fit."""


def nonnegative_least_squares(
    column: Float64[Tensor, "*batch column value"], target: Float64[Tensor, "*batch value"]
) -> tuple[Float64[Tensor, "*batch column"], Float64[Tensor, "*batch"]]:
    """The coefficients, none negative, whose sum of columns is nearest to each target.

    Normal equations are solved twice, the second time for what the first left over, which makes
    good what squaring the columns loses. Of proportional columns the first takes all.

    Returns:
        The coefficients, and the sum of squares left over.
    """
    gram = column @ column.mT
    found, _, face = best_face(gram, (column @ target[..., None])[..., 0])
    left = target - (found[..., None, :] @ column)[..., 0, :]
    again, _ = _solve_faces(gram, (column @ left[..., None])[..., 0])
    found = (found + _pick(again, face)).clamp(min=0)
    left = target - (found[..., None, :] @ column)[..., 0, :]
    return found, (left * left).sum(-1)


def best_face(
    gram: Float64[Tensor, "*batch column column"], right: Float64[Tensor, "*batch column"]
) -> tuple[Float64[Tensor, "*batch column"], Float64[Tensor, "*batch"], Int64[Tensor, "*batch"]]:
    """Non-negative coefficients from normal equations of one to three columns.

    The unconstrained solution on every set of columns (a face) is tried, and the best that has no
    negative coefficient is the answer.

    Args:
        gram: products of columns with columns.
        right: products of columns with the target.

    Returns:
        The coefficients, by how much they cut the sum of squares, and the number of the face.

    Source: C. L. Lawson, R. J. Hanson, "Solving Least Squares Problems", 1974, chapter 23, with
    the search for the active set written out.
    """
    found, usable = _solve_faces(gram, right)
    gain = (found * right[..., None, :]).sum(-1)
    gain = torch.where(usable & (found >= 0).all(-1), gain, -torch.inf)
    # of faces that are equal but for rounding the larger is the better one
    rank = torch.arange(gain.shape[-1], dtype=gain.dtype, device=gain.device)
    face = (gain * (1 + 1e-14 * rank)).argmax(-1)
    return _pick(found, face), gain.take_along_dim(face[..., None], -1)[..., 0], face


def _solve_faces(gram: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """The unconstrained coefficients on every face, and whether its columns are independent.

    Source: the factorisation L D L' of the normal equations, whose columns are first brought to
    length 1.
    """
    count = gram.shape[-1]
    on = _faces(count, gram.device)
    square = [gram[..., j, j, None] for j in range(count)]
    inverse = [torch.where(each > 0, each.rsqrt(), 0.0) for each in square]
    pivot: list[Tensor] = []
    lower: list[list[Tensor]] = [[] for _ in range(count)]
    forward: list[Tensor] = []
    usable = torch.ones_like(square[0] * on[0], dtype=torch.bool)
    for j in range(count):
        rest = on[j] * square[j] * inverse[j] ** 2
        known = on[j] * right[..., j, None] * inverse[j]
        for m in range(j):
            rest = rest - lower[j][m] ** 2 * pivot[m]
            known = known - lower[j][m] * forward[m]
        live = rest > _SINGULAR
        usable = usable & (live | (on[j] == 0))
        pivot.append(torch.where(live, rest, 1.0))
        forward.append(known)
        for i in range(j + 1, count):
            product = on[i] * on[j] * (gram[..., i, j, None] * inverse[i] * inverse[j])
            for m in range(j):
                product = product - lower[i][m] * lower[j][m] * pivot[m]
            lower[i].append(product / pivot[j])
    solution = [each / by for each, by in zip(forward, pivot, strict=True)]
    for j in reversed(range(count)):
        for i in range(j + 1, count):
            solution[j] = solution[j] - lower[i][j] * solution[i]
    scaled = [each * by for each, by in zip(solution, inverse, strict=True)]
    return torch.stack(scaled, -1), usable


@functools.cache
def _faces(count: int, device: torch.device) -> list[Tensor]:
    """For each column the faces that hold it, as 1 and 0; small ones and late columns first."""
    sets = sorted(itertools.product((0.0, 1.0), repeat=count), key=sum)
    return list(torch.tensor(sets, dtype=torch.float64, device=device).unbind(-1))


def _pick(solutions: Tensor, face: Tensor) -> Tensor:
    return solutions.take_along_dim(face[..., None, None], -2)[..., 0, :]

"""Gaps in space-time fields, filled from the patterns that the rest of the field shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.errors import ConfigError, DataError
from geoloc.spacetime.eof import decomposed

_HELD_OUT_SHARE = 0.03
_FEWEST_HELD_OUT = 20
_TOLERANCE = 1e-4
_MOST_ROUNDS = 300
_BETTER = 0.99


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FilledField:
    """A field without gaps.

    Attributes:
        values: the known values as they were, the others filled.
        components: patterns they are filled by.
        rmse: root mean square error of so many patterns at known values that were held out; one
            number for each count of patterns tried, from 1.
    """

    values: Float64[Tensor, "sample column"]
    components: int
    rmse: tuple[float, ...]


def fill_gaps(
    values: Float64[Tensor, "sample column"], *, most_components: int = 20, seed: int = 0
) -> FilledField:
    """Fill what is nan by the leading empirical orthogonal functions of the whole.

    Gaps start at the mean of their column; singular vectors of the filled field give them new
    values, until these stand still. How many vectors are used is settled by some known values that
    are held out: more are tried until two in a row do not better the best by one per cent.

    Args:
        values: nan is missing.
        most_components: patterns tried at most.
        seed: of the values held out.

    Raises:
        ConfigError: no pattern may be tried.
        DataError: a row or a column has no value at all, or too few are known to hold any out.

    Source: J.-M. Beckers and M. Rixen, Journal of Atmospheric and Oceanic Technology 20, 2003
    (DINEOF).
    """
    if most_components < 1:
        raise ConfigError(f"{most_components} patterns fill no gap: one at least")
    known = ~torch.isnan(values)
    if bool(known.all()):
        return FilledField(values=values.clone(), components=0, rmse=())
    if not (bool(known.any(dim=0).all()) and bool(known.any(dim=1).all())):
        raise DataError("a sample or a column has no value at all: leave it out")
    shown = _without_some(known, torch.Generator().manual_seed(seed))
    held_out = known & ~shown
    told, best = list[float](), 1
    filled = _start(values, shown)
    for count in range(1, min(most_components, *values.shape) + 1):
        # each count goes on from the fill of the one before
        filled = _filled(filled, shown, count)
        error = (filled - values)[held_out]
        told.append(float(error.square().mean().sqrt()))
        if told[-1] < _BETTER * told[best - 1]:
            best = count
        if count - best >= 2:
            break
    filled = _start(values, known)
    for count in range(1, best + 1):
        filled = _filled(filled, known, count)
    return FilledField(values=filled, components=best, rmse=tuple(told))


def _without_some(known: Tensor, generator: torch.Generator) -> Tensor:
    """Known values less those held out; a row or column keeps one value at least."""
    where = torch.nonzero(known)
    count = max(_FEWEST_HELD_OUT, int(_HELD_OUT_SHARE * len(where)))
    if count > len(where) // 2:
        raise DataError(f"{len(where)} known values: too few to fill the others by")
    shown = known.clone()
    drawn = where[torch.randperm(len(where), generator=generator)[:count]]
    shown[drawn[:, 0], drawn[:, 1]] = False
    bare = known & (~shown.any(dim=1, keepdim=True) | ~shown.any(dim=0, keepdim=True))
    return shown | bare


def _start(values: Tensor, shown: Tensor) -> Tensor:
    mean = torch.where(shown, values, torch.nan).nanmean(dim=0)
    return torch.where(shown, values, mean)


def _filled(field: Tensor, shown: Tensor, count: int) -> Tensor:
    """The field with its gaps at what `count` patterns of the filled field make of them."""
    gaps = ~shown
    for _ in range(_MOST_ROUNDS):
        mean = field.mean(dim=0)
        left, single, right = decomposed(field - mean, count, seed=0)
        guess = (left * single) @ right + mean
        moved = (guess - field)[gaps].square().mean().sqrt()
        field = torch.where(gaps, guess, field)
        if float(moved) <= _TOLERANCE * float(field.std()):
            break
    return field

"""What a terminal shows of a semivariogram and of the difference of two."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz.variogram_words import (
    caution_words,
    fit_name,
    flag_words,
    no_interval,
    parameter_words,
    variogram_lines,
)


def variogram_report(
    variogram: Variogram, fit: VariogramFit, others: Sequence[VariogramFit], *, source: str
) -> str:
    """What was compared, the fitted parameters with their intervals, and warnings in words."""
    classes = f"{len(fit.lag)} of {len(variogram)} classes, weights {fit.weights}"
    reason = no_interval(variogram, fit)
    head = [] if reason else [("", "", "95 % interval")]
    # without structure nothing that follows means what it seems to
    notes = flag_words(fit)
    first, rest = ([], notes) if fit.has_structure else (notes, [])
    lines = [
        source,
        ", ".join(variogram_lines(variogram)),
        "",
        *first,
        f"{fit_name(fit)}, fitted to {classes}: R2 {fit.r2:.4f}, AIC {fit.aic:.1f}",
        *aligned([*head, *parameter_words(fit)]),
        *([reason] if reason else []),
    ]
    lines += [f"not as good by AIC: {fit_name(other)} (AIC {other.aic:.1f})" for other in others]
    lines += [f"note: {words}" for words in [*rest, *caution_words(variogram, fit)]]
    return "\n".join(lines)


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines: the first column to the left, the others to the right."""
    width = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(
            cell.ljust(size) if column == 0 else cell.rjust(size)
            for column, (cell, size) in enumerate(zip(row, width, strict=True))
        ).rstrip()
        for row in rows
    ]


def even_decimals(numbers: Float64[np.ndarray, " row"], *, sign: str = "") -> list[str]:
    """Numbers with as many decimals each, so that the largest shows four digits; NaN as a dash.

    Args:
        numbers: of one column.
        sign: ``+`` to show it always.
    """
    largest = float(np.max(np.abs(numbers), initial=0.0, where=np.isfinite(numbers)))
    decimals = max(0, 3 - math.floor(math.log10(largest))) if largest > 0 else 0
    return ["-" if np.isnan(x) else f"{x:{sign},.{decimals}f}" for x in numbers]

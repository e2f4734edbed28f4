"""The panel to the right of a semivariogram: what the marks mean, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
from jaxtyping import Bool
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz.canvas import (
    FAINT_INK,
    FONT,
    INK,
    drawable,
    put_text,
    shorten,
)
from geoloc.viz.variogram_words import (
    fit_name,
    flat_level,
    interval,
    number,
    parameter_words,
    range_words,
    short_flags,
    variogram_lines,
)

LEFT = 0.775
_TOP, _BOTTOM, _LINE = 0.905, 0.02, 0.0285
_WIDTH = 42
"""Characters that the panel has room for."""
_SHOWN = ("nugget", "sill", "effective range", "  without nugget")
_WORDS = ("at its bound", "fixed", "unbounded")

Marks: TypeAlias = list[tuple[Artist, str]]
"""What was drawn, with its meaning."""


def draw_key(figure: Figure, variogram: Variogram, fit: VariogramFit | None, marks: Marks) -> None:
    """What the marks mean, and beneath them what was measured and fitted.

    Args:
        figure: with room to the right of its axes.
        variogram: that was drawn.
        fit: likewise.
        marks: that were drawn, with their meaning.
    """
    _marks(figure, marks)
    y = _TOP - _LINE * (len(marks) + 1.6)
    blocks = [] if fit is None else [("Fit", _fit_lines(fit))]
    blocks.append(("Measured", variogram_lines(variogram)))
    rows = sum(len(lines) + 1.7 for _, lines in blocks)
    step = min(_LINE, (y - _BOTTOM) / rows)
    for heading, lines in blocks:
        y = _write(figure, y, heading, lines, step=step)


def is_fitted(variogram: Variogram, fit: VariogramFit | None) -> Bool[np.ndarray, " class"]:
    """Which classes of lag the model was fitted to; all where there is none, or it was given."""
    if fit is None or not len(fit.lag):
        return np.ones(len(variogram), dtype=np.bool_)
    return np.isin(variogram.lag, fit.lag)


def draw_comparison_key(
    figure: Figure,
    named: Mapping[str, tuple[Variogram, VariogramFit | None]],
    styles: Sequence[tuple[str, str]],
) -> None:
    """Names of the curves with their marks, and beneath each what its fit says."""
    y = _TOP
    for (name, (variogram, fit)), (colour, mark) in zip(named.items(), styles, strict=False):
        drawn = Line2D([LEFT + 0.008], [y + 0.006], color=colour, marker=mark, markersize=8)
        figure.add_artist(drawn)
        heading = shorten(name, _WIDTH - 6)
        put_text(figure, LEFT + 0.022, y, heading, fontsize=11, fontweight="bold", color=colour)
        lines = variogram_lines(variogram)[:1] if fit is None else _short_fit_lines(fit)
        for number_, line in enumerate(lines, 1):
            put_text(figure, LEFT + 0.022, y - number_ * _LINE, line, fontsize=10.5)
        y -= _LINE * (len(lines) + 1.7)


def _marks(figure: Figure, marks: Sequence[tuple[Artist, str]]) -> None:
    legend = figure.legend(
        [mark for mark, _ in marks],
        [drawable(text) for _, text in marks],
        loc="upper left",
        bbox_to_anchor=(LEFT - 0.008, _TOP + 0.028),
        frameon=False,
        prop={"family": FONT, "size": 11},
        labelcolor=INK,
        handlelength=2.2,
        borderpad=0.2,
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _write(figure: Figure, y: float, heading: str, lines: Sequence[str], *, step: float) -> float:
    """A heading and lines from `y` downwards; where the next block may begin."""
    put_text(figure, LEFT, y, heading, fontsize=11, fontweight="bold")
    for row, line in enumerate(lines, 1):
        faint = line.startswith(" ")
        put_text(
            figure,
            LEFT,
            y - row * step,
            line,
            fontsize=10.5 if faint else 11,
            color=FAINT_INK if faint else INK,
        )
    return y - step * (len(lines) + 1.7)


def _fit_lines(fit: VariogramFit) -> list[str]:
    lines = short_flags(fit)
    for title, value, about in parameter_words(fit):
        if title not in _SHOWN:
            continue
        line = f"{title} {value}" + (f" ({about})" if about in _WORDS else "")
        # a range beyond the antipode says by itself that it has no bound
        lines.append(line if len(line) <= _WIDTH else f"{title} {value}")
        if about and about not in _WORDS:
            lines.append(f"    95 %: {about}")
    if not len(fit.lag):
        return [*lines, "given, not fitted"]
    last = f"{number(float(fit.lag.max()))} {fit.unit}"
    return [
        *lines,
        f"R\N{SUPERSCRIPT TWO} {fit.r2:.4f}",
        f"    {len(fit.lag)} classes fitted, up to {last}",
    ]


def _short_fit_lines(fit: VariogramFit) -> list[str]:
    if not fit.has_structure:
        return [fit_name(fit), f"no structure: flat at {number(flat_level(fit))}"]
    about = interval(fit, "effective_range")
    return [
        fit_name(fit),
        f"nugget {number(fit.nugget)}, sill {number(fit.sill)}",
        f"effective range {range_words(fit)}",
        *([f"    95 %: {about}"] if about else []),
    ]

"""The panel to the right of a semivariogram: what the marks mean, and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz.canvas import (
    ANSWER,
    FAINT_INK,
    FONT,
    INK,
    PAPER,
    TRUTH,
    drawable,
    put_text,
    shorten,
)
from geoloc.viz.variogram_words import (
    fit_name,
    interval,
    number,
    parameter_words,
    range_words,
    variogram_lines,
)

LEFT = 0.775
_TOP, _LINE = 0.905, 0.0285
_WIDTH = 42
"""Characters that the panel has room for."""


def draw_key(figure: Figure, variogram: Variogram, fit: VariogramFit | None) -> None:
    """The marks of `draw_variogram`, and beneath them what was measured and fitted."""
    marks: list[tuple[Artist, str]] = [
        (Line2D([], [], color=ANSWER, marker="o", linestyle=""), "semivariance (size: pairs)"),
        (
            Line2D([], [], color=ANSWER, marker="|", markersize=11, linestyle=""),
            "its 95 % interval",
        ),
    ]
    if variogram.quantile is not None:
        marks += [
            (Patch(color=ANSWER, alpha=0.30, linewidth=0), "half of the pairs"),
            (Patch(color=ANSWER, alpha=0.13, linewidth=0), "90 % of the pairs"),
        ]
    if fit is not None:
        if not is_fitted(variogram, fit).all():
            hollow = Line2D([], [], color=ANSWER, marker="o", linestyle="", mfc=PAPER)
            marks.insert(1, (hollow, "not fitted"))
        marks.append((Line2D([], [], color=TRUTH, linewidth=2.2), fit_name(fit)))
        marks.append(
            (Line2D([], [], color=TRUTH, marker="D", linestyle="", markersize=7), "nugget")
        )
    if fit is not None and fit.has_structure:
        marks.append((Line2D([], [], color=TRUTH, linewidth=1.2, linestyle=(0, (6, 3))), "sill"))
        if np.isfinite(fit.effective_range):
            line = Line2D([], [], color=TRUTH, linewidth=1.4, linestyle=":")
            marks.append((line, "effective range"))
    _marks(figure, marks)
    y = _TOP - _LINE * (len(marks) + 1.6)
    if fit is not None:
        y = _write(figure, y, "Fit", _fit_lines(fit))
    _write(figure, y, "Measured", variogram_lines(variogram))


def is_fitted(variogram: Variogram, fit: VariogramFit | None) -> Bool[np.ndarray, " class"]:
    """Which classes of lag the model was fitted to; all where there is none."""
    if fit is None:
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


def _write(figure: Figure, y: float, heading: str, lines: Sequence[str]) -> float:
    """A heading and lines from `y` downwards; where the next block may begin."""
    put_text(figure, LEFT, y, heading, fontsize=11, fontweight="bold")
    for row, line in enumerate(lines, 1):
        faint = line.startswith(" ")
        put_text(
            figure,
            LEFT,
            y - row * _LINE,
            line,
            fontsize=10.5 if faint else 11,
            color=FAINT_INK if faint else INK,
        )
    return y - _LINE * (len(lines) + 1.7)


def _fit_lines(fit: VariogramFit) -> list[str]:
    lines: list[str] = []
    for title, value, about in parameter_words(fit):
        lines.append(f"{title} {value}")
        if about:
            lines.append(f"    95 %: {about}")
    last = f"{number(float(fit.lag.max()))} {fit.unit}"
    return [
        *lines,
        f"R\N{SUPERSCRIPT TWO} {fit.r2:.4f}",
        f"    {len(fit.lag)} classes fitted, up to {last}",
    ]


def _short_fit_lines(fit: VariogramFit) -> list[str]:
    sill = f", sill {number(fit.sill)}" if fit.has_structure else ""
    lines = [fit_name(fit), f"nugget {number(fit.nugget)}{sill}"]
    if not fit.has_structure:
        return [*lines, "no structure"]
    about = interval(fit, "effective_range")
    reach = f"effective range {range_words(fit)}"
    return [*lines, reach, *([f"    95 %: {about}"] if about else [])]

"""Axes of a semivariogram: lag to the right, semivariance above, pairs of each class below."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from geoloc.geostatistics.lags import LagBins
from geoloc.geostatistics.variogram import Variogram
from geoloc.viz.canvas import FAINT_INK, FONT, GRATICULE, INK
from geoloc.viz.variogram_words import number

_EVEN_UP_TO = 8.0
"""Classes whose widths differ by no more than this stand on a linear axis."""
_STEPS = (1, 2, 2.5, 5, 10)
METRIC = {"great_circle": "great-circle lag", "euclidean": "lag"}


def is_logarithmic(bins: LagBins) -> bool:
    """Whether classes differ so much in width that only a logarithmic axis shows them all.

    The first class is left out of the comparison: it often reaches down to 0.
    """
    width = (bins.upper - bins.lower)[1:]
    return len(width) > 0 and float(width.max() / width.min()) > _EVEN_UP_TO


def lag_axes(
    figure: Figure, variograms: Sequence[Variogram], *, logarithmic: bool, right: float
) -> tuple[Axes, Axes]:
    """The main axes and the strip of pair counts below, with one lag axis for both.

    Args:
        figure: where to put them.
        variograms: what they shall have room for; of one unit and metric.
        logarithmic: whether the lag axis is.
        right: where they end, as a share of the figure.
    """
    left, bottom = 0.07, 0.095
    main = figure.add_axes((left, 0.285, right - left, 0.63))
    strip = figure.add_axes((left, bottom, right - left, 0.15))
    for axes in (main, strip):
        _dress(axes)
        _set_lags(axes, variograms, logarithmic=logarithmic)
    main.tick_params(labelbottom=False)
    main.yaxis.set_major_formatter(FuncFormatter(_short_value))
    main.yaxis.set_major_locator(MaxNLocator(7, steps=_STEPS))
    first = variograms[0]
    strip.set_xlabel(f"{METRIC[first.metric]}, {first.unit}", fontfamily=FONT, color=INK)
    strip.set_yscale("log")
    most = max(int(variogram.pair_count.max()) for variogram in variograms)
    strip.set_ylim(0.7, most * 3.0)
    strip.yaxis.set_major_locator(LogLocator(numticks=4))
    strip.yaxis.set_major_formatter(FuncFormatter(_short_count))
    strip.yaxis.set_minor_locator(NullLocator())
    strip.set_ylabel("pairs", fontfamily=FONT, color=INK)
    return main, strip


def draw_pair_counts(strip: Axes, variogram: Variogram, *, colour: str, dashes: int = 0) -> None:
    """The pairs of each class: bars, or an outline where several variograms share the strip.

    Args:
        strip: of `lag_axes`.
        variogram: whose.
        colour: of the bars or the outline.
        dashes: 0 for bars; else an outline of the first, second ... kind of line, so that equal
            counts do not hide one another.
    """
    count = np.zeros(len(variogram.bins))
    count[variogram.bin] = variogram.pair_count
    edges = np.array(variogram.bins.edges)
    if strip.get_xscale() == "log":
        edges[0] = max(edges[0], strip.get_xlim()[0])
    if not dashes:
        strip.stairs(count, edges, fill=True, color=colour, alpha=0.35, linewidth=0)
    style = "-" if dashes <= 1 else (2.0 * dashes, (4.0, 4.0))
    width = 1.0 if dashes else 1.5
    strip.stairs(count, edges, color=colour, linewidth=width, linestyle=style, baseline=None)


def _dress(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    axes.grid(color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelfontfamily=FONT, labelcolor=INK, color=FAINT_INK)


def _set_lags(axes: Axes, variograms: Sequence[Variogram], *, logarithmic: bool) -> None:
    """Limits and ticks of the lag axis: the occupied classes, and a little air."""
    last = max(float(v.bins.upper[v.bin[-1]]) for v in variograms)
    if not logarithmic:
        axes.set_xlim(-0.015 * last, 1.01 * last)
        axes.xaxis.set_major_locator(MaxNLocator(10, steps=_STEPS))
    else:
        first = min(_first_lag(v) for v in variograms)
        axes.set_xscale("log")
        axes.set_xlim(first, last * 1.05)
        axes.xaxis.set_major_locator(LogLocator())
        axes.xaxis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))))
        axes.tick_params(which="minor", length=2.5, color=FAINT_INK, labelbottom=False)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda lag, _: f"{lag:,.10g}"))


def _first_lag(variogram: Variogram) -> float:
    """Where a logarithmic axis begins: so far below the first mean lag that its mark is whole."""
    edge = float(variogram.bins.lower[variogram.bin[0]])
    before = 0.7 * float(variogram.lag[0])
    return min(edge, before) if edge > 0 else before


def _short_value(value: float, place: object) -> str:
    """A tick of semivariance, short enough for the margin; rounding leaves no -1e-17 for 0."""
    return _short_count(value, place) if abs(value) >= 1e6 else number(round(value, 12))


def _short_count(count: float, _: object) -> str:
    for unit, name in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if count >= unit:
            return f"{count / unit:g}{name}"
    return f"{count:g}"

"""Structure in time as a picture: correlograms, and how values move apart from step to step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from geoloc.geostatistics.temporal_structure import TemporalStructure
from geoloc.viz.canvas import (
    ANSWER,
    FAINT_INK,
    FONT,
    GRATICULE,
    INK,
    TRUTH,
    new_figure,
    put_text,
    save_png,
    shorten,
)

_LEFTS, _BOTTOMS = (0.065, 0.565), (0.51, 0.08)
_WIDTH, _HEIGHT = 0.415, 0.335


def draw_temporal(
    found: TemporalStructure, path: Path | str, *, title: str, step: str, unit: str = ""
) -> Path:
    """Write ACF, PACF, lag-RMSE and lag-R2 as one PNG of four panels.

    Stems of the correlograms are the median series, the band behind them holds 90 % of the series;
    the shaded strip about 0 is the bound that 95 % of the correlations of white noise stay within.

    Args:
        found: what to draw.
        path: PNG to write; folders are made as needed.
        title: heading.
        step: the length of a step of time in words.
        unit: of the values.
    """
    figure = new_figure(1400, 860)
    put_text(figure, 0.065, 0.95, shorten(title, 90), fontsize=16, fontweight="bold")
    many = found.series > 1
    about = f"median and 90 % of {found.series:,} series" if many else "one series"
    about += f"; shaded: what white noise of {found.steps:,} steps stays within"
    put_text(figure, 0.065, 0.918, about, fontsize=11, color=FAINT_INK)
    for column, (name, curve) in enumerate(
        (("autocorrelation (ACF)", found.acf), ("partial autocorrelation (PACF)", found.pacf))
    ):
        axes = _panel(figure, _LEFTS[column], _BOTTOMS[0], name)
        _draw_correlogram(axes, curve, bound=found.bound, banded=many)
    words = f"lag, steps of {step}"
    root = "lag-RMSE" + (f", {unit}" if unit not in ("", "1") else "")
    for column, (name, values) in enumerate(
        ((root, found.lag_rmse), ("lag-R\N{SUPERSCRIPT TWO}", found.lag_r2))
    ):
        axes = _panel(figure, _LEFTS[column], _BOTTOMS[1], name)
        _draw_curve(axes, values)
        axes.set_xlabel(words, fontfamily=FONT, color=INK)
        axes.set_xlim(0.3, found.lags + 0.7)
        if column:
            axes.set_ylim(-0.03, 1.03)
        else:
            axes.set_ylim(bottom=0.0)
    return save_png(figure, path)


def _panel(figure: Figure, left: float, bottom: float, name: str) -> Axes:
    axes = figure.add_axes((left, bottom, _WIDTH, _HEIGHT))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    axes.grid(color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelfontfamily=FONT, labelcolor=INK, color=FAINT_INK)
    axes.xaxis.set_major_locator(MaxNLocator(10, integer=True))
    axes.set_title(name, loc="left", fontfamily=FONT, color=INK, fontsize=12)
    return axes


def _draw_correlogram(
    axes: Axes, curve: Float64[np.ndarray, "3 lag"], *, bound: float, banded: bool
) -> None:
    lag = np.arange(1, curve.shape[1] + 1)
    low, middle, high = curve
    axes.axhspan(-bound, bound, color=TRUTH, alpha=0.10, linewidth=0, zorder=0.5)
    axes.axhline(0.0, color=FAINT_INK, linewidth=0.9, zorder=1)
    if banded:
        axes.vlines(lag, low, high, color=ANSWER, alpha=0.22, linewidth=7.0, zorder=2)
    axes.vlines(lag, 0.0, middle, color=ANSWER, linewidth=1.6, zorder=3)
    outside = np.abs(middle) > bound
    axes.scatter(lag[outside], middle[outside], s=34, color=ANSWER, zorder=4)
    axes.scatter(lag[~outside], middle[~outside], s=34, color="white", edgecolors=ANSWER, zorder=4)
    axes.set_xlim(0.3, len(lag) + 0.7)
    least = min(float(low.min()), -bound, -0.1)
    axes.set_ylim(max(1.12 * least, -1.05), 1.05)


def _draw_curve(axes: Axes, values: Float64[np.ndarray, " lag"]) -> None:
    lag = np.arange(1, len(values) + 1)
    axes.plot(lag, values, color=ANSWER, linewidth=1.8, marker="o", markersize=5)

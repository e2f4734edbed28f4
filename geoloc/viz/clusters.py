"""Clusters where they lie, beside the semivariogram that constrains them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from geoloc.geodesy import equal_earth
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz.canvas import (
    ANSWER,
    CREDIT,
    CREDIT_CLOSEUP,
    FAINT_INK,
    FONT,
    GRATICULE,
    INK,
    TRUTH,
    new_figure,
    put_text,
    save_png,
    shorten,
    world_axes,
)
from geoloc.viz.closeup import closeup_axes, to_local, view_of_all
from geoloc.viz.lag_axes import METRIC

# Okabe and Ito (2008), in an order that sets neighbours apart.
_TONES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#000000", "#b5a800")
_NOISE = "#c4c9ce"
_LEFT = (0.055, 0.1, 0.53, 0.76)
_RIGHT = (0.66, 0.1, 0.325, 0.76)
_MOST_TICKS = 12
_POINTS = 400


def draw_clusters(
    path: Path | str,
    places: Float64[np.ndarray, "n coordinate"],
    label: Int64[np.ndarray, " n"],
    *,
    variogram: Variogram,
    fit: VariogramFit,
    reach: float,
    title: str,
) -> Path:
    """Write clusters as a map, a plane or a line of time, and their semivariogram, as a PNG.

    On the Earth the map is of the part that holds all places, where that is within some 2,500 km.
    Clusters have tones, which return after eight; noise is grey. In the semivariogram stand the
    squared distances of Gaussians (twice the semivariance), the model, and the range.

    Args:
        path: PNG to write; folders are made as needed.
        places: as they were clustered by; of three coordinates the first two are drawn.
        label: of each, -1 for noise.
        variogram: of the Gaussians.
        fit: to it.
        reach: the range; infinite where there is none.
        title: heading.
    """
    figure = new_figure(1400, 720)
    if variogram.metric == "great_circle":
        _draw_earth(figure, places, label)
    elif places.shape[1] == 1:
        _draw_line(_dressed(figure, _LEFT), places[:, 0], label, variogram.unit)
    else:
        axes = _dressed(figure, _LEFT)
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xlabel(f"first coordinate, {variogram.unit}", fontfamily=FONT, color=INK)
        axes.set_ylabel(f"second coordinate, {variogram.unit}", fontfamily=FONT, color=INK)
        _scatter(axes, places[:, :2], label)
    _draw_semivariogram(_dressed(figure, _RIGHT), variogram, fit, reach)
    put_text(figure, 0.02, 0.935, shorten(title, 80), fontsize=16, fontweight="bold")
    noise = 100 * float((label < 0).mean())
    told = (
        f"{int(label.max(initial=-1)) + 1} clusters of {len(label):,}; noise {noise:.1f} % (grey)"
    )
    put_text(figure, 0.02, 0.893, told, fontsize=12, color=FAINT_INK)
    return save_png(figure, path)


def _draw_earth(figure: Figure, places: np.ndarray, label: np.ndarray) -> None:
    """The world, or the part of it that holds all places."""
    view = view_of_all(places)
    if view is None:
        _scatter(world_axes(figure, (0.01, 0.08, 0.6, 0.8)), equal_earth(places), label)
        credit = CREDIT
    else:
        axes = closeup_axes(figure, (0.02, 0.07, 0.58, 0.79), *view)
        _scatter(axes, to_local(view[0], places), label)
        credit = CREDIT_CLOSEUP
    put_text(figure, 0.02, 0.02, credit, fontsize=8, color=FAINT_INK)


def _dressed(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    axes = figure.add_axes(box)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    axes.grid(color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelfontfamily=FONT, labelcolor=INK, color=FAINT_INK)
    return axes


def _colours(label: Int64[np.ndarray, " n"]) -> list[str]:
    return [_TONES[each % len(_TONES)] if each >= 0 else _NOISE for each in label.tolist()]


def _scatter(axes: Axes, xy: np.ndarray, label: np.ndarray) -> None:
    size = 2.0 if len(xy) > 20_000 else 5.0 if len(xy) > 4_000 else 14.0
    # noise below, so that it hides no cluster
    order = np.argsort(label >= 0, kind="stable")
    colours = np.array(_colours(label))[order].tolist()
    axes.scatter(*xy[order].T, s=size, c=colours, linewidths=0, zorder=3)


def _draw_line(axes: Axes, at: np.ndarray, label: np.ndarray, unit: str) -> None:
    axes.scatter(at, label, s=60, marker="|", c=_colours(label), linewidths=1.2, zorder=3)
    top = int(label.max(initial=-1))
    axes.set_ylim(-1.6, top + 0.6)
    every = max(1, -(-(top + 2) // _MOST_TICKS))
    axes.yaxis.set_major_locator(FixedLocator([-1, *range(0, top + 1, every)]))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "noise" if value < 0 else f"{value:g}")
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(unit, fontfamily=FONT, color=INK)
    axes.set_ylabel("cluster", fontfamily=FONT, color=INK)


def _draw_semivariogram(axes: Axes, variogram: Variogram, fit: VariogramFit, reach: float) -> None:
    last = float(variogram.lag[-1]) * 1.03
    lag = np.linspace(last / _POINTS, last, _POINTS)
    axes.scatter(
        variogram.lag, 2 * variogram.semivariance, s=22, c=ANSWER, zorder=4, label="measured"
    )
    axes.plot(lag, 2 * fit(lag), color=TRUTH, linewidth=2.0, zorder=3, label=f"{fit.model} model")
    if 0 < reach <= last:
        words = f"range {reach:,.4g} {fit.unit}"
        axes.axvline(reach, color=INK, linewidth=1.2, linestyle=":", label=words)
    else:
        axes.plot([], [], " ", label="no range within these lags")
    top = 2 * float(variogram.semivariance.max())
    axes.set_xlim(0, last)
    axes.set_ylim(0, 1.12 * top)
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set_xlabel(f"{METRIC[variogram.metric]}, {variogram.unit}", fontfamily=FONT, color=INK)
    axes.set_ylabel("squared distance of Gaussians", fontfamily=FONT, color=INK)
    axes.legend(frameon=False, loc="lower right", prop={"family": FONT, "size": 10})

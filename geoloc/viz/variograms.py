"""Semivariograms as pictures: points by pair count, errors, spread, the fitted model, its range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Bool
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from geoloc.errors import DataError
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz.canvas import (
    ANSWER,
    FONT,
    PAPER,
    PIXELS_PER_INCH,
    TRUTH,
    new_figure,
    put_text,
    save_png,
    shorten,
)
from geoloc.viz.lag_axes import draw_pair_counts, is_logarithmic, lag_axes
from geoloc.viz.variogram_key import draw_comparison_key, draw_key, is_fitted
from geoloc.viz.variogram_words import DISSIMILARITY, bounds, number, range_words

# Okabe and Ito (2008); told apart by the marks too.
_STYLES = (
    ("#0072b2", "o"),
    ("#d55e00", "s"),
    ("#009e73", "^"),
    ("#cc79a7", "D"),
    ("#e69f00", "v"),
    ("#000000", "P"),
)
_TO_95 = 1.96
_POINTS_PER_INCH = 72.0
_FEWEST_IN_BAND = 20
"""Pairs below which a class says little about how dissimilarities spread."""
_HALO = [withStroke(linewidth=3.0, foreground=PAPER)]
_RIGHT = 0.755
_MODEL_POINTS = 600


def draw_variogram(
    variogram: Variogram,
    path: Path | str,
    *,
    fit: VariogramFit | None = None,
    title: str = "Semivariogram",
) -> Path:
    """Write a semivariogram as a PNG: what was measured, how surely, and the model through it.

    Points are the classes of lag, the larger the more pairs they hold, hollow where the model was
    not fitted to them; bars are 95 % intervals
    (1.96 jackknife errors); bands hold 50 and 90 % of the pairs' dissimilarities, in classes of at
    least 20 pairs. A dashed line
    marks the sill, a dotted one the effective range with its interval, a diamond the nugget. Below
    stand the pairs of each class on a logarithmic scale. The lag axis is logarithmic where the
    classes are.

    Args:
        variogram: to draw.
        path: PNG to write; folders are made as needed.
        fit: a model of it, if there is one.
        title: heading.

    Raises:
        DataError: the fit's lags are in another unit.
    """
    if fit is not None and fit.unit != variogram.unit:
        raise DataError(f"a fit in {fit.unit} does not belong to lags in {variogram.unit}")
    figure = new_figure(1400, 800)
    logarithmic = is_logarithmic(variogram.bins)
    main, strip = lag_axes(figure, [variogram], logarithmic=logarithmic, right=_RIGHT)
    _draw_bands(main, variogram)
    draw_pair_counts(strip, variogram, colour=ANSWER)
    _draw_points(main, variogram, ANSWER, "o", filled=is_fitted(variogram, fit))
    main.set_ylim(*_vertical_limits([variogram], [fit], bands=True))
    main.set_ylabel(DISSIMILARITY.get(variogram.dissimilarity, "semivariance"), fontfamily=FONT)
    if fit is not None:
        _draw_model(main, fit, TRUTH)
        _mark_parameters(main, fit, logarithmic=logarithmic)
    put_text(figure, 0.07, 0.945, shorten(title, 90), fontsize=16, fontweight="bold")
    draw_key(figure, variogram, fit)
    return save_png(figure, path)


def draw_variogram_comparison(
    named: Mapping[str, tuple[Variogram, VariogramFit | None]],
    path: Path | str,
    *,
    title: str = "Semivariograms compared",
) -> Path:
    """Write two to six semivariograms, laid over one another, as a PNG.

    Args:
        named: variograms with their fits (or None) by name, in the order of the legend.
        path: PNG to write; folders are made as needed.
        title: heading.

    Raises:
        DataError: there are fewer than two or more than six, or they differ in the unit of their
            lags, in metric or in dissimilarity, so that one axis cannot hold them.
    """
    if not 2 <= len(named) <= len(_STYLES):
        raise DataError(f"compare two to {len(_STYLES)} variograms, not {len(named)}")
    variograms = [variogram for variogram, _ in named.values()]
    fits = [fit for _, fit in named.values()]
    for name in ("unit", "metric", "dissimilarity"):
        if len(found := {str(getattr(variogram, name)) for variogram in variograms}) > 1:
            raise DataError(f"the variograms differ in {name}: {' and '.join(sorted(found))}")
    figure = new_figure(1400, 800)
    logarithmic = any(is_logarithmic(variogram.bins) for variogram in variograms)
    main, strip = lag_axes(figure, variograms, logarithmic=logarithmic, right=_RIGHT)
    pairs = zip(named.values(), _STYLES, strict=False)
    for place, ((variogram, fit), (colour, mark)) in enumerate(pairs, 1):
        draw_pair_counts(strip, variogram, colour=colour, dashes=place)
        _draw_points(main, variogram, colour, mark, filled=is_fitted(variogram, fit))
        if fit is not None:
            _draw_model(main, fit, colour)
            if fit.has_structure:
                main.axvline(fit.effective_range, color=colour, linewidth=1.1, linestyle=":")
    main.set_ylim(*_vertical_limits(variograms, fits, bands=False))
    main.set_ylabel(DISSIMILARITY.get(variograms[0].dissimilarity, "semivariance"), fontfamily=FONT)
    put_text(figure, 0.07, 0.945, shorten(title, 90), fontsize=16, fontweight="bold")
    draw_comparison_key(figure, named, _STYLES)
    return save_png(figure, path)


def _draw_bands(axes: Axes, variogram: Variogram) -> None:
    if variogram.quantile is None:
        return
    levels = variogram.quantile_level
    telling = variogram.pair_count >= _FEWEST_IN_BAND
    for low, high, alpha in ((0.05, 0.95, 0.13), (0.25, 0.75, 0.17)):
        if low in levels and high in levels:
            axes.fill_between(
                variogram.lag,
                variogram.quantile[:, levels.index(low)],
                variogram.quantile[:, levels.index(high)],
                where=telling,
                color=ANSWER,
                alpha=alpha,
                linewidth=0,
                zorder=1,
            )


def _draw_points(
    axes: Axes,
    variogram: Variogram,
    colour: str,
    mark: str,
    *,
    filled: Bool[np.ndarray, " class"],
) -> None:
    error = _TO_95 * variogram.standard_error
    # deleting groups moves a class of one pair by nothing, which is no sign of precision
    known = np.isfinite(error) & (error > 0)
    axes.errorbar(
        variogram.lag[known],
        variogram.semivariance[known],
        yerr=error[known],
        fmt="none",
        ecolor=colour,
        elinewidth=1.2,
        capsize=2.5,
        zorder=4,
    )
    axes.scatter(
        variogram.lag,
        variogram.semivariance,
        s=point_sizes(variogram.pair_count),
        marker=mark,
        c=np.where(filled, colour, PAPER).tolist(),
        edgecolors=np.where(filled, PAPER, colour).tolist(),
        linewidths=0.9,
        zorder=5,
    )


def point_sizes(pair_count: np.ndarray) -> np.ndarray:
    """Areas in square points: growing with the logarithm of the pairs, 14 for one pair at most."""
    decades = np.log10(np.maximum(pair_count, 1))
    return 14.0 + 66.0 * decades / max(float(decades.max()), 1.0)


def _vertical_limits(
    variograms: list[Variogram], fits: list[VariogramFit | None], *, bands: bool
) -> tuple[float, float]:
    """From 0 (or the least value) to a little above what matters.

    That is points, errors and sill; the 90 % band may be cut off where it would flatten them.
    """
    tops, bottoms, outer = [0.0], [0.0], [0.0]
    for variogram in variograms:
        error = np.nan_to_num(_TO_95 * variogram.standard_error)
        typical = variogram.pair_count >= np.median(variogram.pair_count)
        tops.append(float(variogram.semivariance.max()))
        tops.append(float((variogram.semivariance + error)[typical].max()))
        bottoms.append(float(variogram.semivariance.min()))
        telling = variogram.pair_count >= _FEWEST_IN_BAND
        if bands and variogram.quantile is not None and telling.any():
            outer.append(float(variogram.quantile[telling].max()))
    sills = [fit.sill for fit in fits if fit is not None and fit.has_structure]
    # a sill far beyond the last lag is an extrapolation, and would flatten what was measured
    tops += [sill for sill in sills if sill < 1.5 * max(tops)]
    top, bottom = max(tops), min(bottoms)
    top = max(top, min(max(outer), 1.6 * top))
    return bottom - 0.06 * (top - bottom), top + 0.06 * ((top - bottom) or 1.0)


def _draw_model(axes: Axes, fit: VariogramFit, colour: str) -> None:
    low, high = axes.get_xlim()
    logarithmic = axes.get_xscale() == "log"
    lag = (np.geomspace if logarithmic else np.linspace)(
        low if logarithmic else max(low, 0.0) + 1e-6 * high, high, _MODEL_POINTS
    )
    axes.plot(lag, fit(lag), color=colour, linewidth=2.2, zorder=4.5)


def _mark_parameters(axes: Axes, fit: VariogramFit, *, logarithmic: bool) -> None:
    """The nugget at the left edge, the sill across, the effective range with its interval."""
    low, high = (float(end) for end in axes.get_xlim())
    nugget = (low if logarithmic else 0.0, fit.nugget)
    axes.plot(*nugget, marker="D", markersize=9, color=TRUTH, mec=PAPER, zorder=6, clip_on=False)
    words = f"nugget {number(fit.nugget)}"
    _label(axes, words, nugget, shift=(9.0, _free_shift(axes, words, nugget)), va="top")
    if not fit.has_structure:
        return
    if fit.sill < axes.get_ylim()[1]:
        axes.axhline(fit.sill, color=TRUTH, linewidth=1.2, linestyle=(0, (6, 3)), zorder=3)
        _label(axes, f"sill {number(fit.sill)}", (low, fit.sill), shift=(9.0, 3.0))
    if not low < fit.effective_range < high:
        return
    if (reach := bounds(fit, "effective_range")) is not None:
        axes.axvspan(max(reach[0], low), min(reach[1], high), color=TRUTH, alpha=0.10, zorder=0.8)
    axes.axvline(fit.effective_range, color=TRUTH, linewidth=1.4, linestyle=":", zorder=3)
    bottom, top = (float(end) for end in axes.get_ylim())
    at = (fit.effective_range, bottom + 0.09 * (top - bottom))
    left, right = axes.transData.transform([(low, bottom), (high, bottom)])[:, 0]
    to_the_left = axes.transData.transform(at)[0] > (left + right) / 2
    _label(
        axes,
        f"effective range {range_words(fit)}",
        at,
        shift=(-7.0 if to_the_left else 7.0, 0.0),
        ha="right" if to_the_left else "left",
    )


def _free_shift(axes: Axes, text: str, at: tuple[float, float]) -> float:
    """How many points above `at` a label's top may stand without covering a mark."""
    marks = np.concatenate([np.array(each.get_offsets()) for each in axes.collections])
    across, up = (axes.transData.transform(marks) - axes.transData.transform(at)).T
    near = up[(across > 0) & (across < 14.0 + 8.0 * len(text))]
    pixels = PIXELS_PER_INCH / _POINTS_PER_INCH
    for shift in (-3.0, -14.0, 30.0, -28.0, 44.0):
        top = shift * pixels
        if not ((near > top - 22.0) & (near < top + 6.0)).any():
            return shift
    return -3.0


def _label(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    *,
    shift: tuple[float, float],
    ha: Literal["left", "right"] = "left",
    va: Literal["top", "baseline"] = "baseline",
) -> None:
    """Words so many points beside a place in the data."""
    axes.annotate(
        text,
        at,
        xytext=shift,
        textcoords="offset points",
        ha=ha,
        va=va,
        fontfamily=FONT,
        fontsize=11,
        color=TRUTH,
        path_effects=_HALO,
        zorder=7,
        annotation_clip=False,
    )

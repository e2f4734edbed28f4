"""Semivariograms as pictures: points by pair count, errors, spread, the fitted model, its range."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from geoloc.errors import DataError
from geoloc.geostatistics.variogram import Variogram
from geoloc.geostatistics.variogram_fit import VariogramFit
from geoloc.viz.canvas import ANSWER, FONT, PAPER, TRUTH, new_figure, put_text, save_png, shorten
from geoloc.viz.lag_axes import draw_pair_counts, is_logarithmic, lag_axes
from geoloc.viz.variogram_key import Marks, draw_comparison_key, draw_key, is_fitted
from geoloc.viz.variogram_labels import free_label, nugget_places, range_places, sill_places
from geoloc.viz.variogram_words import (
    bounds,
    fit_name,
    flat_level,
    has_interval,
    measure,
    number,
    range_words,
    value_label,
)

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
_FEWEST_IN_BAND = 20
"""Pairs below which a class says little about how dissimilarities spread."""
_BANDS = ((0.05, 0.95, 0.13, "90 % of the pairs"), (0.25, 0.75, 0.17, "half of the pairs"))
_BEYOND: Any = (0, (3.0, 2.0))
_SILL: Any = (0, (8.0, 3.0, 1.5, 3.0))
_FAINT = 0.055
_HEADING = {"cross": "Cross-variogram", "absolute": "Madogram"}
_RIGHT = 0.755
_MODEL_POINTS = 600


def draw_variogram(
    variogram: Variogram,
    path: Path | str,
    *,
    fit: VariogramFit | None = None,
    title: str | None = None,
) -> Path:
    """Write a semivariogram as a PNG: what was measured, how surely, and the model through it.

    Points are the classes of lag, the larger the more pairs they hold, hollow where the model was
    not fitted to them; bars are 95 % intervals (1.96 jackknife errors); bands hold 50 and 90 % of
    the pairs' dissimilarities, in classes of at least 20 pairs. The model is dashed where it goes
    beyond the fitted lags. A dash-dotted line marks the sill, a dotted one the effective range with
    its interval, a diamond the nugget. Below stand the pairs of each class on a logarithmic scale.
    The lag axis is logarithmic where the classes are.

    Args:
        variogram: to draw.
        path: PNG to write; folders are made as needed.
        fit: a model of it, if there is one.
        title: heading; by default says whether this is a semivariogram or a cross-variogram.

    Raises:
        DataError: the fit's lags are in another unit.
    """
    if fit is not None and fit.unit != variogram.unit:
        raise DataError(f"a fit in {fit.unit} does not belong to lags in {variogram.unit}")
    figure = new_figure(1400, 800)
    logarithmic = is_logarithmic(variogram.bins)
    main, strip = lag_axes(figure, [variogram], logarithmic=logarithmic, right=_RIGHT)
    main.set_ylim(*_vertical_limits([variogram], [fit], bands=True))
    main.set_ylabel(value_label(variogram), fontfamily=FONT)
    draw_pair_counts(strip, variogram, colour=ANSWER)
    bands = _draw_bands(main, variogram)
    marks = [*_draw_points(main, variogram, (ANSWER, "o"), fit=fit), *bands]
    if fit is not None:
        marks += _draw_model(main, fit, TRUTH)
        marks += _mark_parameters(main, fit, logarithmic=logarithmic)
    heading = title or _HEADING.get(variogram.dissimilarity, "Semivariogram")
    put_text(figure, 0.07, 0.945, shorten(heading, 90), fontsize=16, fontweight="bold")
    draw_key(figure, variogram, fit, marks)
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
            lags, in metric, in dissimilarity or in estimator, so that one axis cannot hold them.
    """
    if not 2 <= len(named) <= len(_STYLES):
        raise DataError(f"compare two to {len(_STYLES)} variograms, not {len(named)}")
    variograms = [variogram for variogram, _ in named.values()]
    fits = [fit for _, fit in named.values()]
    for name in ("unit", "metric", "dissimilarity", "estimator"):
        if len(found := {str(getattr(variogram, name)) for variogram in variograms}) > 1:
            raise DataError(f"the variograms differ in {name}: {' and '.join(sorted(found))}")
    figure = new_figure(1400, 800)
    logarithmic = any(is_logarithmic(variogram.bins) for variogram in variograms)
    main, strip = lag_axes(figure, variograms, logarithmic=logarithmic, right=_RIGHT)
    main.set_ylim(*_vertical_limits(variograms, fits, bands=False))
    main.set_ylabel(value_label(variograms[0]), fontfamily=FONT)
    pairs = zip(named.values(), _STYLES, strict=False)
    for place, ((variogram, fit), style) in enumerate(pairs, 1):
        draw_pair_counts(strip, variogram, colour=style[0], dashes=place)
        _draw_points(main, variogram, style, fit=fit)
        if fit is not None and fit.has_structure:
            _draw_model(main, fit, style[0])
            main.axvline(fit.effective_range, color=style[0], linewidth=1.1, linestyle=":")
        elif fit is not None:
            main.axhline(flat_level(fit), color=style[0], linewidth=1.6)
    put_text(figure, 0.07, 0.945, shorten(title, 90), fontsize=16, fontweight="bold")
    draw_comparison_key(figure, named, _STYLES)
    return save_png(figure, path)


def _draw_bands(axes: Axes, variogram: Variogram) -> Marks:
    telling = variogram.pair_count >= _FEWEST_IN_BAND
    marks: Marks = []
    if variogram.quantile is None or telling.sum() < 2:
        return marks
    levels = variogram.quantile_level
    top = float(axes.get_ylim()[1])
    for low, high, alpha, words in _BANDS:
        if low in levels and high in levels:
            upper = variogram.quantile[:, levels.index(high)]
            axes.fill_between(
                variogram.lag,
                variogram.quantile[:, levels.index(low)],
                upper,
                where=telling,
                color=ANSWER,
                alpha=alpha,
                linewidth=0,
                zorder=1,
            )
            cut = " (cut off)" if float(upper[telling].max()) > top else ""
            # the inner band lies on the outer one
            shade = alpha if low < 0.25 else 0.30
            marks.insert(0, (Patch(color=ANSWER, alpha=shade, linewidth=0), words + cut))
    return marks


def _draw_points(
    axes: Axes, variogram: Variogram, style: tuple[str, str], *, fit: VariogramFit | None
) -> Marks:
    colour, mark = style
    filled = is_fitted(variogram, fit)
    value, error = variogram.semivariance, _TO_95 * variogram.standard_error
    # deleting groups moves a class of one pair by nothing, which is no sign of precision
    known = np.isfinite(error) & (error > 0)
    below = error if variogram.dissimilarity == "cross" else np.minimum(error, value)
    axes.errorbar(
        variogram.lag[known],
        value[known],
        yerr=np.stack([below[known], error[known]]),
        fmt="none",
        ecolor=colour,
        elinewidth=1.2,
        capsize=2.5,
        zorder=4,
    )
    axes.scatter(
        variogram.lag,
        value,
        s=point_sizes(variogram.pair_count),
        marker=mark,
        c=np.where(filled, colour, PAPER).tolist(),
        edgecolors=np.where(filled, PAPER, colour).tolist(),
        linewidths=0.9,
        zorder=5,
    )
    point: dict[str, Any] = {"color": colour, "marker": mark, "linestyle": ""}
    marks: Marks = [(Line2D([], [], **point), f"{measure(variogram)} (size: pairs)")]
    if known.any():
        bar = Line2D([], [], color=colour, marker="|", markersize=11, linestyle="")
        marks.append((bar, "its 95 % interval"))
    if not filled.all():
        marks.append((Line2D([], [], **point, mfc=PAPER), "not fitted"))
    return marks


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
        if variogram.dissimilarity == "cross":
            bottoms.append(float((variogram.semivariance - error)[typical].min()))
        telling = variogram.pair_count >= _FEWEST_IN_BAND
        if bands and variogram.quantile is not None and telling.any():
            outer.append(float(variogram.quantile[telling].max()))
    sills = [fit.sill for fit in fits if fit is not None and fit.has_structure]
    # a sill far beyond the last lag is an extrapolation, and would flatten what was measured
    tops += [sill for sill in sills if sill < 1.5 * max(tops)]
    top, bottom = max(tops), min(bottoms)
    top = max(top, min(max(outer), 1.6 * top))
    return bottom - 0.06 * (top - bottom), top + 0.06 * ((top - bottom) or 1.0)


def _draw_model(axes: Axes, fit: VariogramFit, colour: str) -> Marks:
    """The curve, solid over the fitted lags (of a given model all) and dashed beyond."""
    low, high = axes.get_xlim()
    logarithmic = axes.get_xscale() == "log"
    lag = (np.geomspace if logarithmic else np.linspace)(
        low if logarithmic else max(low, 0.0) + 1e-6 * high, high, _MODEL_POINTS
    )
    fitted = fit.lag if len(fit.lag) else lag
    first, last = (float(end) for end in (fitted.min(), fitted.max()))
    lag = np.unique(np.concatenate([lag, [first, last]]))
    marks: Marks = []
    for part, style in (
        ((lag >= first) & (lag <= last), "-"),
        (lag <= first, _BEYOND),
        (lag >= last, _BEYOND),
    ):
        axes.plot(lag[part], fit(lag[part]), color=colour, lw=2.0, ls=style, zorder=4.5)
    marks.append((Line2D([], [], color=colour, linewidth=2.0), fit_name(fit)))
    if not len(fit.lag):
        return marks
    marks.append(
        (Line2D([], [], color=colour, linewidth=2.0, linestyle=_BEYOND), "beyond the fitted lags")
    )
    return marks


def _mark_parameters(axes: Axes, fit: VariogramFit, *, logarithmic: bool) -> Marks:
    """The nugget at the left edge, the sill across, the effective range with its interval."""
    low, high = (float(end) for end in axes.get_xlim())
    nugget = (low if logarithmic else 0.0, fit.nugget)
    axes.plot(*nugget, marker="D", markersize=9, color=TRUTH, mec=PAPER, zorder=6, clip_on=False)
    diamond = Line2D([], [], color=TRUTH, marker="D", linestyle="", markersize=7)
    at_zero = ", at lag 0" if logarithmic else ""
    marks: Marks = [(diamond, f"nugget{at_zero}")]
    labels = [(f"nugget {number(fit.nugget)}", nugget_places(nugget))]
    bottom, top = (float(end) for end in axes.get_ylim())
    if fit.has_structure and fit.sill < top:
        axes.axhline(fit.sill, color=TRUTH, linewidth=1.2, linestyle=_SILL, zorder=3)
        marks.append((Line2D([], [], color=TRUTH, linewidth=1.2, linestyle=_SILL), "sill"))
        labels.append((f"sill {number(fit.sill)}", sill_places((low, high), fit.sill)))
    if fit.has_structure and low < fit.effective_range < high:
        axes.axvline(fit.effective_range, color=TRUTH, linewidth=1.4, linestyle=":", zorder=3)
        line = Line2D([], [], color=TRUTH, linewidth=1.4, linestyle=":")
        marks.append((line, "effective range"))
        if has_interval(fit, "effective_range") and (reach := bounds(fit, "effective_range")):
            ends = max(reach[0], low), min(reach[1], high)
            axes.axvspan(*ends, color=TRUTH, alpha=_FAINT, linewidth=0, zorder=0.4)
            marks.append((Patch(color=TRUTH, alpha=2 * _FAINT, linewidth=0), "its 95 % interval"))
        words = f"effective range {range_words(fit)}"
        labels.append((words, range_places(fit.effective_range, (bottom, top))))
    for words, places in labels:
        free_label(axes, words, places)
    return marks

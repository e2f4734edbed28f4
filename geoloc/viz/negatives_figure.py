"""One picture of what a semivariogram makes of negatives, epoch after epoch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from geoloc.errors import DataError
from geoloc.geostatistics.variogram import Variogram
from geoloc.negatives.diagnosis import FlagDiagnosis
from geoloc.negatives.flag_zone import KINDS, FlagKind, FlagZone
from geoloc.viz.canvas import (
    ANSWER,
    FAINT_INK,
    FONT,
    INK,
    PAPER,
    new_figure,
    png_bytes,
    put_text,
    shorten,
)
from geoloc.viz.lag_axes import draw_pair_counts, is_logarithmic, lag_axes
from geoloc.viz.negatives_epochs import COLOURS, NegativesEpoch, draw_epochs, dress, small_legend
from geoloc.viz.variogram_labels import free_label, range_places
from geoloc.viz.variogram_words import range_words, value_label
from geoloc.viz.variograms import point_sizes

_BANDS = ("#9ecae1", "#56b4e9", "#0072b2", "#08519c", "#041f4a", "#000000", "#66727d")
_LEAST_SHARE = 5e-6
_FEWEST_PAIRS = 100
"""Pairs below which the shares of a band say little."""
_MOST_PREVIOUS = 12
_RIGHT = 0.5
_DASHED: Any = (0, (4.0, 2.5))


def negatives_figure_png(
    history: Sequence[NegativesEpoch],
    variogram: Variogram,
    zones: Mapping[FlagKind, FlagZone],
    *,
    rule: str,
) -> bytes:
    """A PNG with the epoch's semivariogram, flags and scores by distance, and all epochs so far.

    To the left the semivariogram of the last epoch with its fit, the fits of up to twelve earlier
    epochs behind it (the older, the lighter), and where the rule flags. To the right the shares
    flagged by distance band, with what is nominal; the share of pairs with a score below some
    level against that level; and over the epochs the effective range, the churn of the flags, the
    mean weight of negatives and the cost.

    Args:
        history: epochs, oldest first; at least one.
        variogram: that the last one's fit was fitted to.
        zones: where the rule flags at the last epoch's fit.
        rule: its name.

    Raises:
        DataError: there is no epoch.
    """
    if not history:
        raise DataError("there is no epoch to show")
    now = history[-1]
    figure = new_figure(1800, 1000)
    _variogram_panel(figure, history, variogram, zones)
    _shares_panel(figure.add_axes((0.56, 0.60, 0.19, 0.315)), now.diagnosis)
    _calibration_panel(figure.add_axes((0.80, 0.60, 0.19, 0.315)), now.diagnosis)
    draw_epochs(figure, history)
    heading = f"Negatives by rule {rule}: epoch {now.epoch}"
    put_text(figure, 0.07, 0.95, shorten(heading, 90), fontsize=16, fontweight="bold")
    return png_bytes(figure)


def percent_of(share: float) -> str:
    """A share in percent with two digits at least, for it may be small; a dash for NaN."""
    if math.isnan(share):
        return "-"
    if share == 0 or share >= 0.0995:
        return f"{100 * share:.0f} %"
    digits = 1 - math.floor(math.log10(100 * share))
    return f"{round(100 * share, digits):.10f}".rstrip("0").rstrip(".") + " %"


def band_names(edges_km: Sequence[float]) -> list[str]:
    """The bands between edges in words: ``0-50``, ..., ``> 3,000``; without the unit."""
    names: list[str] = []
    for low, high in pairwise(edges_km):
        closed = f"{low:,.0f}\N{EN DASH}{high:,.0f}"
        names.append(closed if math.isfinite(high) else f"> {low:,.0f}")
    return names


def _variogram_panel(
    figure: Figure,
    history: Sequence[NegativesEpoch],
    variogram: Variogram,
    zones: Mapping[FlagKind, FlagZone],
) -> None:
    now, before = history[-1], history[:-1][-_MOST_PREVIOUS:]
    logarithmic = is_logarithmic(variogram.bins)
    main, strip = lag_axes(figure, [variogram], logarithmic=logarithmic, right=_RIGHT)
    draw_pair_counts(strip, variogram, colour=ANSWER)
    main.set_ylabel(value_label(variogram), fontfamily=FONT, color=INK)
    low, high = main.get_xlim()
    lag = np.geomspace(max(low, 1e-3), high, 400)
    tops = [float(variogram.semivariance.max()), *(float(each.fit(lag).max()) for each in history)]
    main.set_ylim(0.0, 1.08 * max(tops))
    for kind, zone in zones.items():
        if np.isfinite(zone.upper).any():
            colour, words = COLOURS[kind], f"flagged {kind}"
            main.fill_between(
                zone.lag_km, zone.lower, zone.upper, color=colour, alpha=0.16, lw=0, label=words
            )
            main.plot(zone.lag_km, zone.upper, color=colour, lw=1.0, zorder=1.5)
    for place, each in enumerate(before, 1):
        words = f"fits of {len(before)} epochs before" if place == len(before) else None
        alpha = 0.15 + 0.5 * place / len(before)
        main.plot(lag, each.fit(lag), color=FAINT_INK, alpha=alpha, lw=1.4, label=words, zorder=2)
    main.plot(lag, now.fit(lag), color=INK, lw=2.2, label="fit of this epoch", zorder=4)
    main.scatter(
        variogram.lag,
        variogram.semivariance,
        s=point_sizes(variogram.pair_count),
        color=ANSWER,
        edgecolors=PAPER,
        linewidths=0.9,
        label="measured (size: pairs)",
        zorder=5,
    )
    reach = now.fit.effective_range
    if now.fit.has_structure and low < reach < high:
        main.axvline(reach, color=INK, linewidth=1.2, linestyle=":", zorder=3)
        limits = main.get_ylim()
        words = f"effective range {range_words(now.fit)}"
        free_label(main, words, range_places(reach, (limits[0], limits[1])))
    if not now.fit.has_structure:
        note = "no structure: nothing is expected, nothing is flagged"
        put_text(main, 0.02, 0.95, note, transform=main.transAxes, fontsize=11)
    small_legend(main, "upper left")


def _shares_panel(axes: Axes, diagnosis: FlagDiagnosis) -> None:
    dress(axes, "Share of pairs flagged, by lag in km")
    # false and hard negatives differ by orders of magnitude in how common they are
    axes.set_yscale("log")
    axes.set_ylim(_LEAST_SHARE, 8.0)
    names = band_names(diagnosis.edges_km)
    at = np.arange(len(names))
    columns: dict[FlagKind, tuple[np.ndarray, np.ndarray]] = {
        "false": (diagnosis.share_false, diagnosis.nominal_false),
        "hard": (diagnosis.share_hard, diagnosis.nominal_hard),
    }
    for shift, kind in zip((-0.2, 0.2), KINDS, strict=True):
        share, nominal = (np.nan_to_num(column[:-1]) for column in columns[kind])
        axes.bar(at + shift, share, width=0.38, color=COLOURS[kind], label=kind)
        due = nominal > 0
        ends = (at + shift)[due] - 0.19, (at + shift)[due] + 0.19
        axes.hlines(nominal[due], *ends, color=INK, lw=2.0)
        for x, value, beside in zip(at + shift, share, nominal, strict=True):
            if (height := max(value, beside)) > _LEAST_SHARE:
                words = percent_of(value)
                put_text(axes, x, 1.12 * height, words, ha="center", va="bottom", fontsize=8.5)
    axes.plot([], [], color=INK, lw=2.0, label="nominal")
    ticks = [10.0**power for power in range(-5, 1)]
    axes.set_yticks(ticks, labels=[percent_of(tick) for tick in ticks])
    axes.set_yticks([], minor=True)
    axes.set_xticks(at, labels=[name.replace("\N{EN DASH}", "\N{EN DASH}\n") for name in names])
    axes.grid(axis="x", visible=False)
    small_legend(axes, "upper right", columns=3)


def _calibration_panel(axes: Axes, diagnosis: FlagDiagnosis) -> None:
    dress(axes, "Pairs with u below a level, by lag")
    axes.set_xscale("log")
    axes.set_yscale("log")
    ends = (0.7 * min(diagnosis.level), min(1.0, 1.5 * max(diagnosis.level)))
    axes.plot(ends, ends, color=FAINT_INK, lw=1.2, ls=_DASHED, label="as it should be")
    level = np.array(diagnosis.level)
    names = band_names(diagnosis.edges_km)
    known = False
    for place, name in enumerate(names):
        share = diagnosis.realised[place]
        telling = int(diagnosis.pair_count[place]) >= _FEWEST_PAIRS
        if not telling or not np.isfinite(share).any():
            continue
        known = True
        colour = _BANDS[place % len(_BANDS)]
        shown = share > 0
        axes.plot(
            level[shown], share[shown], color=colour, marker="o", ms=4, lw=1.5, label=f"{name} km"
        )
    axes.set_xlim(*ends)
    axes.set_ylim(0.25 * min(diagnosis.level), 1.0)
    percent = FuncFormatter(lambda share, _: f"{100 * share:g} %")
    axes.set_xticks(level, labels=[f"{100 * each:g} %" for each in level])
    axes.set_yticks(level, labels=[f"{100 * each:g} %" for each in level])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(percent)
        axis.set_minor_formatter(FuncFormatter(lambda *_: ""))
        axis.set_tick_params(which="minor", length=0)
    axes.set_xlabel("level of u", fontfamily=FONT, color=INK)
    if not known:
        put_text(axes, 0.5, 0.5, "no scores", transform=axes.transAxes, ha="center")
    small_legend(axes, "upper left")

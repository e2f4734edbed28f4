"""A study as one picture: each arm's values by seed, and its difference to each baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoloc.errors import DataError
from geoloc.evaluation import Comparison
from geoloc.viz.canvas import ANSWER, FAINT_INK, FONT, INK, TRUTH, new_figure, put_text, save_png

Metrics = Mapping[str, Mapping[str, Sequence[float]]]

# Column headings: the metric, its unit, and the unit of a difference that is better.
_SHOWN = {
    "accuracy@200km": ("accuracy@200km", "%", "points"),
    "accuracy@750km": ("accuracy@750km", "%", "points"),
    "accuracy@2500km": ("accuracy@2500km", "%", "points"),
    "median_km": ("median", "km", "km nearer"),
    "geoscore": ("GeoScore", "of 5000", "points"),
    "recall@10": ("recall@10", "%", "points"),
}
_BASELINE_COLOURS = (ANSWER, TRUTH)
_ROW_PX, _TOP_PX, _PANEL_PX, _LEFT_PX, _GAP_PX = 24, 104, 216, 136, 30
_HEAD_PX, _FOOT_PX, _SPLIT_PX = 28, 34, 26
_GRID, _AXIS = "#e3e7ea", "#c9d0d5"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """The figure and what all its panels share; pixels count from the upper left."""

    figure: Figure
    arms: Sequence[str]
    width: int
    height: int

    def panel(self, column: int, top: int) -> Axes:
        """Axes with one row an arm; only the first column names them."""
        tall = _ROW_PX * len(self.arms)
        left = (_LEFT_PX + _PANEL_PX * column) / self.width
        bottom = 1.0 - (top + tall) / self.height
        size = ((_PANEL_PX - _GAP_PX) / self.width, tall / self.height)
        axes = self.figure.add_axes((left, bottom, *size))
        axes.set_ylim(len(self.arms) - 0.5, -0.5)
        named = self.arms if column == 0 else [""] * len(self.arms)
        axes.set_yticks(range(len(self.arms)), named)
        axes.tick_params(labelsize=8.5, colors=FAINT_INK, length=0, labelfontfamily=FONT)
        axes.locator_params(axis="x", nbins=4)
        axes.grid(axis="x", color=_GRID, linewidth=0.7)
        axes.set_axisbelow(True)
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        axes.spines["bottom"].set_color(_AXIS)
        return axes

    def say(self, x: int, y: int, text: str, **style: object) -> None:
        """Text with its baseline at a pixel."""
        put_text(self.figure, x / self.width, 1.0 - y / self.height, text, **style)


def draw_ablation(
    metrics: Metrics,
    comparisons: Sequence[Comparison],
    path: Path | str,
    *,
    title: str,
    first_split: str = "first test split",
) -> Path:
    """Rows of arms, columns of metrics; for each split the values and the differences.

    Args:
        metrics: by arm and metric one value a seed; names of later splits are ``SPLIT/METRIC``.
        comparisons: of arms with at most two baselines.
        path: of the PNG.
        title: of the picture.
        first_split: what the split without a name before its metrics is called.

    Returns:
        The path.

    Raises:
        DataError: there is nothing to compare, or there are more than two baselines.
    """
    compared = {each.baseline for each in comparisons}
    baselines = [arm for arm in metrics if arm in compared]
    if not 1 <= len(baselines) <= len(_BASELINE_COLOURS):
        raise DataError("a picture of a study has one baseline or two, and something to compare")
    prefixes = list(dict.fromkeys(each.metric.rpartition("/")[0] for each in comparisons))
    rows = _ROW_PX * len(metrics)
    split_px = _SPLIT_PX + 2 * (_HEAD_PX + rows + _FOOT_PX)
    width = _LEFT_PX + _PANEL_PX * len(_SHOWN)
    height = _TOP_PX + split_px * len(prefixes)
    sheet = _Sheet(figure=new_figure(width, height), arms=list(metrics), width=width, height=height)
    _head(sheet, title, baselines)
    for number, prefix in enumerate(prefixes):
        top = _TOP_PX + split_px * number
        sheet.say(18, top + 8, prefix or first_split, fontsize=11.5, fontweight="bold")
        for column, (metric, (name, unit, better)) in enumerate(_SHOWN.items()):
            full = f"{prefix}/{metric}" if prefix else metric
            scale = 100.0 if "@" in metric else 1.0
            first = top + _SPLIT_PX + _HEAD_PX
            axes = sheet.panel(column, first)
            _title(axes, f"{name}, {unit}")
            _values(axes, [np.multiply(metrics[arm][full], scale) for arm in sheet.arms])
            axes = sheet.panel(column, first + rows + _FOOT_PX + _HEAD_PX)
            _title(axes, f"difference, {better}")
            part = [each for each in comparisons if each.metric == full]
            _differences(axes, sheet.arms, part, baselines, scale=scale)
    return save_png(sheet.figure, path)


def _head(sheet: _Sheet, title: str, baselines: Sequence[str]) -> None:
    sheet.say(18, 30, title, fontsize=14, fontweight="bold")
    told = (
        "Values: a dot a seed, a bar their mean.  Differences: to the right is better; lines are "
        "95 % intervals, filled where they leave out 0."
    )
    sheet.say(18, 52, told, fontsize=9, color=FAINT_INK)
    x = 18
    for baseline, colour in zip(baselines, _BASELINE_COLOURS, strict=False):
        words = f"\N{BLACK CIRCLE} minus {baseline}"
        sheet.say(x, 76, words, fontsize=9.5, color=colour)
        x += 30 + 8 * len(words)


def _title(axes: Axes, words: str) -> None:
    axes.set_title(words, fontsize=9, fontfamily=FONT, color=INK, loc="left")


def _values(axes: Axes, by_arm: Sequence[np.ndarray]) -> None:
    """Each arm's values by seed and their mean."""
    for y, values in enumerate(by_arm):
        axes.plot(values, np.full(len(values), y), "o", color=FAINT_INK, markersize=4, alpha=0.6)
        mean = float(np.mean(values))
        axes.plot([mean, mean], [y - 0.3, y + 0.3], color=INK, linewidth=1.8)
    _widen(axes, np.concatenate(by_arm))


def _differences(
    axes: Axes,
    arms: Sequence[str],
    comparisons: Sequence[Comparison],
    baselines: Sequence[str],
    *,
    scale: float,
) -> None:
    """Each arm's difference to each baseline with its interval."""
    axes.axvline(0.0, color=INK, linewidth=0.9)
    shift = (-0.17, 0.17) if len(baselines) > 1 else (0.0,)
    for each in comparisons:
        number = baselines.index(each.baseline)
        y = arms.index(each.arm) + shift[number]
        colour = _BASELINE_COLOURS[number]
        clear = each.low > 0 or each.high < 0
        ends = [each.low * scale, each.high * scale]
        axes.plot(ends, [y, y], color=colour, linewidth=1.6, alpha=1.0 if clear else 0.45)
        face = colour if clear else "white"
        axes.plot(
            [each.delta * scale], [y], "o", color=colour, markerfacecolor=face, markersize=4.5
        )
    ends = [end * scale for each in comparisons for end in (each.low, each.high)]
    _widen(axes, np.array([0.0, *ends]))


def _widen(axes: Axes, values: np.ndarray) -> None:
    """Limits around the values; where they are all but equal, wide enough to be read."""
    low, high = float(values.min()), float(values.max())
    least = max(0.05 * abs(high), 1.0)
    margin = max(0.06 * (high - low), (least - (high - low)) / 2.0)
    axes.set_xlim(low - margin, high + margin)

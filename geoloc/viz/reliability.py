"""Reliability diagrams: what probabilities say against what happens, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from matplotlib.axes import Axes

from geoloc.errors import DataError
from geoloc.evaluation.calibration import Reliability
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

BeforeAfter: TypeAlias = tuple[Sequence[Reliability], Sequence[Reliability]]

_PANEL, _GAP, _LEFT, _TOP, _BOTTOM = 300, 46, 120, 130, 62


def draw_reliability(
    splits: Mapping[str, BeforeAfter], path: Path | str, *, title: str = "Reliability"
) -> Path:
    """Write a panel for each split and radius: mean probability of a bin against what happened.

    On the diagonal probabilities mean what they say; below it the model is too sure. Bins hold
    equally many images.

    Args:
        splits: for each split its reliability before and after calibration, a radius each, the
            same radii everywhere.
        path: PNG to write; folders are made as needed.
        title: heading.

    Raises:
        DataError: there is nothing to draw, or the radii differ.
    """
    radii = {tuple(each.radius_km for each in side) for pair in splits.values() for side in pair}
    if len(radii) != 1 or not next(iter(radii)):
        raise DataError("a reliability diagram needs splits with the same radii, one or more")
    columns, rows = len(next(iter(radii))), len(splits)
    width = _LEFT + columns * (_PANEL + _GAP)
    height = _TOP + rows * (_PANEL + _GAP) + _BOTTOM
    figure = new_figure(width, height)
    for row, (split, (before, after)) in enumerate(splits.items()):
        bottom = height - _TOP - row * (_PANEL + _GAP) - _PANEL
        for column, (old, new) in enumerate(zip(before, after, strict=True)):
            left = _LEFT + column * (_PANEL + _GAP)
            axes = figure.add_axes((left / width, bottom / height, _PANEL / width, _PANEL / height))
            _panel(axes, old, new, named=row == 0, last=row == rows - 1, first=column == 0)
        middle = (bottom + _PANEL / 2) / height
        label = f"{shorten(split, 24)}, {after[0].count:,} images"
        put_text(
            figure, 22 / width, middle, label, rotation=90, va="center", ha="center", fontsize=12
        )
    put_text(figure, _LEFT / width, 1 - 38 / height, title, fontsize=16, fontweight="bold")
    note = "share whose true place lies within r of the answer, against the softmax mass there"
    put_text(figure, _LEFT / width, 1 - 64 / height, note, fontsize=11, color=FAINT_INK)
    return save_png(figure, path)


def _panel(
    axes: Axes, old: Reliability, new: Reliability, *, named: bool, last: bool, first: bool
) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.plot([0, 1], [0, 1], color=GRATICULE, linewidth=1.4, zorder=0)
    for told, colour, dashes, size, name in (
        (old, TRUTH, (0, (4, 2)), 16, "as trained"),
        (new, ANSWER, "-", 26, "calibrated"),
    ):
        said = [each.confidence for each in told.bins]
        seen = [each.outcome for each in told.bins]
        label = f"{name}: ECE {told.ece:.3f}"
        axes.plot(said, seen, color=colour, linestyle=dashes, linewidth=1.8, label=label)
        axes.scatter(said, seen, s=size, color=colour, clip_on=False, zorder=3)
    legend = axes.legend(loc="best", frameon=True, framealpha=0.9, prop={"family": FONT, "size": 9})
    legend.get_frame().set_edgecolor(GRATICULE)
    if named:
        put_text(axes, 0.5, 1.03, f"r = {new.radius_km:,.0f} km", ha="center", fontsize=12)
    ticks = np.linspace(0, 1, 6)
    words = [f"{tick:.0%}" for tick in ticks]
    axes.set_xticks(ticks, labels=words if last else [""] * 6, fontfamily=FONT, color=INK)
    axes.set_yticks(ticks, labels=words if first else [""] * 6, fontfamily=FONT, color=INK)
    axes.tick_params(labelsize=9, color=GRATICULE)
    if last:
        axes.set_xlabel("probability", fontfamily=FONT, color=INK, fontsize=10)
    if first:
        axes.set_ylabel("share that happened", fontfamily=FONT, color=INK, fontsize=10)
    for spine in axes.spines.values():
        spine.set_color(GRATICULE)

"""Estimates against measurements as a cloud of dots about the line where both are equal."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes

from geoloc.viz.canvas import ANSWER, FAINT_INK, FONT

_AXIS, _GRID = "#c9d0d5", "#e3e7ea"
_MOST_DOTS, _CROWD = 4000, 500


def draw_scatter(
    axes: Axes,
    truth: Float64[np.ndarray, ...],
    estimate: Float64[np.ndarray, ...],
    limits: tuple[float, float],
) -> None:
    """Draw the cloud; of more than 4,000 pairs some, by chance.

    Args:
        axes: where.
        truth: measured; nan is missing.
        estimate: of the same shape.
        limits: of both axes.
    """
    both = np.isfinite(truth) & np.isfinite(estimate)
    rows = np.random.default_rng(0).permutation(int(both.sum()))[:_MOST_DOTS]
    axes.plot(limits, limits, color=FAINT_INK, linewidth=1.0)
    axes.plot(
        truth[both][rows],
        estimate[both][rows],
        ".",
        color=ANSWER,
        markersize=float(np.clip(90.0 / max(len(rows), 1) ** 0.5, 4.0, 9.0)),
        alpha=0.4 if len(rows) > _CROWD else 0.7,
        markeredgewidth=0,
    )
    margin = 0.03 * (limits[1] - limits[0])
    axes.set_xlim(limits[0] - margin, limits[1] + margin)
    axes.set_ylim(limits[0] - margin, limits[1] + margin)
    axes.grid(color=_GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=FAINT_INK, labelfontfamily=FONT)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(_AXIS)

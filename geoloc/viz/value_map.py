"""Values at places as a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from geoloc.errors import DataError
from geoloc.viz.canvas import (
    FAINT_INK,
    FONT,
    INK,
    new_figure,
    put_text,
    save_png,
    shorten,
)
from geoloc.viz.place_axes import View, draw_outlines, place_axes

_COLOURS = "viridis"
_CUT = (0.01, 0.99)
_HEIGHT, _MAP_HEIGHT, _MOST_WIDE = 780, 632, 1176
_LEFT, _RIGHT, _LEAST_WIDE = 63, 240, 420


def draw_value_map(
    latlon_deg: Float64[np.ndarray, "place 2"],
    value: Float64[np.ndarray, " place"],
    path: Path | str,
    *,
    title: str,
    label: str,
) -> Path:
    """Write a map of values at places, of the world or of the part they lie in.

    Colours go from the value that one place in a hundred is below to the one that one is above.

    Args:
        latlon_deg: of the places.
        value: of each; nan is left out.
        path: PNG to write; folders are made as needed.
        title: heading.
        label: what the colours mean.

    Raises:
        DataError: there is no value.
    """
    known = np.isfinite(value)
    if not bool(known.any()):
        raise DataError("a map needs a value to show")
    view, shown = View.of_places(latlon_deg[known], sphere=True), value[known]
    place = view.to_axes(latlon_deg[known])
    wide = float(np.clip(_MAP_HEIGHT / view.shape, _LEAST_WIDE, _MOST_WIDE))
    width = round(_LEFT + wide + _RIGHT)
    figure = new_figure(width, _HEIGHT)
    axes = place_axes(figure, (_LEFT / width, 0.09, wide / width, _MAP_HEIGHT / _HEIGHT), view)
    axes.set_anchor("W")
    draw_outlines(axes, view)
    low, high = np.quantile(shown, _CUT)
    scale = Normalize(float(low), float(high) if high > low else float(low) + 1.0)
    order = np.argsort(np.abs(shown - np.median(shown)), kind="stable")
    size = float(np.clip(60_000.0 / len(shown), 8.0, 80.0))
    axes.scatter(
        *place[order].T,
        c=shown[order],
        cmap=_COLOURS,
        norm=scale,
        s=size,
        linewidths=0,
        zorder=2.4,  # below the outlines
    )
    right = (_LEFT + min(wide, _MAP_HEIGHT / view.shape) + 28) / width
    bar = figure.colorbar(
        ScalarMappable(norm=scale, cmap=_COLOURS),
        cax=figure.add_axes((right, 0.16, 25 / width, 0.64)),
        extend="both",
    )
    bar.ax.tick_params(labelfontfamily=FONT, labelcolor=INK, color=FAINT_INK)
    bar.outline.set_visible(False)  # pyright: ignore
    put_text(figure, right, 0.835, shorten(label, 24), fontsize=11)
    put_text(figure, 42 / width, 0.945, shorten(title, width // 15), fontsize=16, fontweight="bold")
    put_text(figure, 42 / width, 0.025, view.credit, fontsize=9, color=FAINT_INK)
    return save_png(figure, path)

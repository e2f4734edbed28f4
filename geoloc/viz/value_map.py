"""Values at places as a map."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize

from geoloc.errors import DataError
from geoloc.geodesy import equal_earth
from geoloc.viz.canvas import (
    CREDIT,
    FAINT_INK,
    FONT,
    INK,
    new_figure,
    put_text,
    save_png,
    shorten,
    world_axes,
)

_COLOURS = "viridis"
_AIR = 0.08
_WHOLE = 0.6
_SHAPE = 2.05
_CUT = (0.01, 0.99)


def draw_value_map(
    latlon_deg: Float64[np.ndarray, "place 2"],
    value: Float64[np.ndarray, " place"],
    path: Path | str,
    *,
    title: str,
    label: str,
) -> Path:
    """Write a map of values at places in Equal Earth, of the world or the part they lie in.

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
    place, shown = equal_earth(latlon_deg[known]), value[known]
    figure = new_figure(1400, 780)
    axes = world_axes(figure, (0.02, 0.06, 0.86, 0.84))
    _zoom(axes, place)
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
        zorder=3,
    )
    bar = figure.colorbar(
        ScalarMappable(norm=scale, cmap=_COLOURS),
        cax=figure.add_axes((0.90, 0.16, 0.018, 0.64)),
        extend="both",
    )
    bar.ax.tick_params(labelfontfamily=FONT, labelcolor=INK, color=FAINT_INK)
    bar.outline.set_visible(False)  # pyright: ignore
    put_text(figure, 0.909, 0.835, shorten(label, 24), ha="center", fontsize=11)
    put_text(figure, 0.03, 0.945, shorten(title, 90), fontsize=16, fontweight="bold")
    put_text(figure, 0.03, 0.025, CREDIT, fontsize=9, color=FAINT_INK)
    return save_png(figure, path)


def _zoom(axes: Axes, place: np.ndarray) -> None:
    """The part of the map that the places lie in, unless that is most of it."""
    whole = np.array([axes.get_xlim(), axes.get_ylim()])
    least, most = place.min(axis=0), place.max(axis=0)
    extent = most - least
    if bool((extent > _WHOLE * np.diff(whole)[:, 0]).any()):
        return
    height = max(float(extent[1]), float(extent[0]) / _SHAPE, 0.02) * (1.0 + 2.0 * _AIR)
    half = np.array([_SHAPE * height, height]) / 2.0
    middle = (least + most) / 2.0
    axes.set_xlim(middle[0] - half[0], middle[0] + half[0])
    axes.set_ylim(middle[1] - half[1], middle[1] + half[1])

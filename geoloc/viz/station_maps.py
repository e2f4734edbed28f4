"""Stations and their estimates: a map of what is known, and scatters of what was held out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from geoloc.errors import DataError
from geoloc.viz.canvas import (
    FAINT_INK,
    FONT,
    INK,
    new_figure,
    put_text,
    save_png,
)
from geoloc.viz.place_axes import View, draw_outlines, place_axes
from geoloc.viz.scatter import draw_scatter

PlacedValues = tuple[Float64[np.ndarray, "_ 2"], Float64[np.ndarray, " _"]]
_WIDTH, _HEIGHT = 1600, 1180
_COLOURS = "viridis"


def draw_station_maps(
    path: Path | str,
    *,
    title: str,
    measured: str,
    stations: PlacedValues,
    unlabelled: PlacedValues,
    truth: Float64[np.ndarray, "station time"],
    estimates: Mapping[str, Float64[np.ndarray, "station time"]],
) -> Path:
    """Write a picture: a map of stations and pseudo-labels, below it a scatter for each method.

    Args:
        path: of the PNG.
        title: of the picture.
        measured: what the values are, with their unit.
        stations: places in degrees and their means over time; large dots with a rim.
        unlabelled: likewise, of the images without a station; small dots.
        truth: measured at held-out stations; nan is missing.
        estimates: by method, of the same shape.

    Returns:
        The path.

    Raises:
        DataError: there is no station, or no estimate to compare.
    """
    if not len(stations[0]) or not estimates:
        raise DataError("a picture of stations needs stations and estimates")
    figure = new_figure(_WIDTH, _HEIGHT)
    put_text(figure, 0.015, 0.967, title, fontsize=15, fontweight="bold")
    told = "means over time; large dots with a rim: stations, small dots: pseudo-labels by kriging"
    put_text(figure, 0.015, 0.944, told, fontsize=10, color=FAINT_INK)
    view = View.of_places(np.concatenate([stations[0], unlabelled[0]]), sphere=True)
    _map(figure, view, (stations, unlabelled), measured)
    known = [each[np.isfinite(each)] for each in (truth, *estimates.values())]
    low = min(float(each.min()) for each in known)
    high = max(float(each.max()) for each in known)
    for number, (name, estimate) in enumerate(estimates.items()):
        left = 0.06 + number * 0.94 / len(estimates)
        axes = figure.add_axes((left, 0.065, 0.27 * min(1.0, 3.0 / len(estimates)), 0.29))
        draw_scatter(axes, truth, estimate, (low, high))
        axes.set_title(name, fontsize=11, fontfamily=FONT, color=INK, loc="left")
        axes.set_xlabel(f"measured {measured}", fontsize=9, fontfamily=FONT, color=FAINT_INK)
        if number == 0:
            axes.set_ylabel(f"estimated {measured}", fontsize=9, fontfamily=FONT, color=FAINT_INK)
    put_text(figure, 0.985, 0.01, view.credit, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)


def _map(
    figure: Figure,
    view: View,
    placed: tuple[PlacedValues, PlacedValues],
    measured: str,
) -> None:
    stations, unlabelled = placed
    axes = place_axes(figure, (0.04, 0.425, 0.86, 0.5), view)
    draw_outlines(axes, view)
    values = np.concatenate([stations[1], unlabelled[1]])
    low, high = (float(each) for each in np.nanquantile(values, [0.02, 0.98]))
    marks = ((unlabelled, 16.0, 0.0), (stations, 62.0, 1.1))
    for order, ((places, value), area, rim) in enumerate(marks):
        xy = view.to_axes(places)
        axes.scatter(
            xy[:, 0],
            xy[:, 1],
            s=area,
            c=value,
            cmap=_COLOURS,
            vmin=low,
            vmax=high,
            linewidths=rim,
            edgecolors=INK,
            zorder=3 + order,
        )
    scale = ScalarMappable(Normalize(low, high), cmap=_COLOURS)
    bar = figure.colorbar(scale, cax=figure.add_axes((0.925, 0.47, 0.012, 0.41)))
    bar.set_label(measured, fontsize=9, fontfamily=FONT, color=FAINT_INK)
    bar.ax.tick_params(labelsize=8.5, colors=FAINT_INK, labelfontfamily=FONT)

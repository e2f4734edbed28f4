"""A kriging as a picture: the estimate and its standard error as maps, and how well it checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from geoloc.errors import DataError
from geoloc.viz.canvas import (
    FAINT_INK,
    FONT,
    INK,
    PAPER,
    PIXELS_PER_INCH,
    new_figure,
    put_text,
    save_png,
    shorten,
)
from geoloc.viz.place_axes import Box, View, draw_cells, draw_outlines, place_axes
from geoloc.viz.scatter import draw_scatter

_WIDTH = 1600
_MAP_WIDTH, _LOW_MAP, _HIGH_MAP = 710, 260, 640
_CHECK = 300
_VALUES, _ERRORS = "viridis", "magma_r"
_CUT = (0.01, 0.99)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class KrigedPicture:
    """What is drawn.

    Attributes:
        title: heading.
        subtitle: below it, such as the model.
        measured: what the values are, with their unit.
        sphere: whether places are latitude and longitude; else x and y.
        stations: places that measured.
        measurement: of each.
        targets: places of the estimates, row by row where they are a grid.
        estimate: at the targets.
        standard_error: of the estimates.
        axes: middles of the rows and columns of a grid; None of single places.
        checks: measured and estimated values by the name of the check.
    """

    title: str
    subtitle: str
    measured: str
    sphere: bool
    stations: Float64[np.ndarray, "station 2"]
    measurement: Float64[np.ndarray, " station"]
    targets: Float64[np.ndarray, "target 2"]
    estimate: Float64[np.ndarray, " target"]
    standard_error: Float64[np.ndarray, " target"]
    axes: tuple[Float64[np.ndarray, " row"], Float64[np.ndarray, " column"]] | None
    checks: Mapping[str, tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]]


def draw_kriged(picture: KrigedPicture, path: Path | str) -> Path:
    """Write two maps, and a scatter for each check.

    Colours go from the value that one in a hundred is below to the one that one is above.

    Args:
        picture: what is drawn.
        path: PNG to write; folders are made as needed.

    Raises:
        DataError: there is no estimate.
    """
    if not bool(np.isfinite(picture.estimate).any()):
        raise DataError("a picture of kriging needs an estimate")
    view = _view(picture)
    tall = int(np.clip(_MAP_WIDTH * view.shape, _LOW_MAP, _HIGH_MAP))
    height = tall + 230 + (_CHECK + 90 if picture.checks else 0)
    figure = new_figure(_WIDTH, height)
    title, told = shorten(picture.title, 100), shorten(picture.subtitle, 170)
    put_text(figure, 0.02, 1 - 42 / height, title, fontsize=16, fontweight="bold")
    put_text(figure, 0.02, 1 - 72 / height, told, fontsize=10.5, color=FAINT_INK)
    for left, errors in ((0.035, False), (0.53, True)):
        box = (left, 1 - (125 + tall) / height, _MAP_WIDTH / _WIDTH, tall / height)
        _map(figure, box, picture, view, errors=errors)
    known = [each[np.isfinite(each)] for pair in picture.checks.values() for each in pair]
    whole = np.concatenate(known) if known else np.zeros(0)
    for number, (name, (truth, estimate)) in enumerate(picture.checks.items()):
        axes = figure.add_axes((0.06 + 0.325 * number, 75 / height, 0.25, _CHECK / height))
        draw_scatter(axes, truth, estimate, (float(whole.min()), float(whole.max())))
        axes.set_title(name, fontsize=11, fontfamily=FONT, color=INK, loc="left")
        axes.set_xlabel(f"measured {picture.measured}", **_LABEL)
        if number == 0:
            axes.set_ylabel(f"estimated {picture.measured}", **_LABEL)
    put_text(figure, 0.985, 12 / height, view.credit, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)


_LABEL: dict[str, Any] = {"fontsize": 9, "fontfamily": FONT, "color": FAINT_INK}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Look:
    """How a value becomes a colour."""

    scale: Normalize
    colours: str


def _map(figure: Figure, box: Box, picture: KrigedPicture, view: View, *, errors: bool) -> None:
    shown = picture.standard_error if errors else picture.estimate
    colours = _ERRORS if errors else _VALUES
    cuts = [np.nanquantile(shown, _CUT)]
    if not errors:
        cuts.append(np.nanquantile(picture.measurement, _CUT))
    low, high = float(np.min(cuts)), float(np.max(cuts))
    scale = Normalize(*_apart(low, high))
    look = _Look(scale=scale, colours=colours)
    axes = place_axes(figure, box, view)
    if picture.axes is not None:
        edges = (_edges(picture.axes[0]), _edges(picture.axes[1]))
        cells = shown.reshape(len(picture.axes[0]), len(picture.axes[1]))
        draw_cells(axes, view, edges, cells, scale=scale, colours=colours)
    else:
        _dots(axes, view.to_axes(picture.targets), shown, look=look, rim=0.0)
    draw_outlines(axes, view)
    at = view.to_axes(picture.stations)
    if errors:
        axes.plot(*at.T, ".", color=INK, markersize=3.5, markeredgewidth=0, zorder=4)
    else:
        _dots(axes, at, picture.measurement, look=look, rim=0.8)
    name = "standard error" if errors else "estimate; rimmed dots: stations"
    height = float(figure.get_size_inches()[1]) * PIXELS_PER_INCH
    put_text(figure, box[0], box[1] + box[3] + 9 / height, name, fontsize=11)
    bar = figure.colorbar(
        ScalarMappable(norm=scale, cmap=colours),
        cax=figure.add_axes((box[0] + 0.07, box[1] - 48 / height, 0.30, 14 / height)),
        orientation="horizontal",
    )
    bar.set_label(picture.measured, **_LABEL)
    bar.ax.tick_params(labelsize=8.5, colors=FAINT_INK, labelfontfamily=FONT)
    bar.ax.ticklabel_format(axis="x", style="plain", useOffset=False)
    bar.outline.set_visible(False)  # pyright: ignore


def _view(picture: KrigedPicture) -> View:
    """What a grid covers, or all places with some air; the world where a grid goes around it."""
    if picture.axes is None:
        everything = np.concatenate([picture.stations, picture.targets])
        return View.of_places(everything, sphere=picture.sphere)
    rows, columns = (_edges(each) for each in picture.axes)
    return View.of_box(rows[0], rows[-1], columns[0], columns[-1], sphere=picture.sphere)


def _dots(axes: Axes, at: np.ndarray, value: np.ndarray, *, look: _Look, rim: float) -> None:
    known = np.isfinite(value)
    size = float(np.clip(16_000.0 / max(int(known.sum()), 1), 10.0, 60.0))
    axes.scatter(
        *at[known].T,
        s=size,
        c=value[known],
        cmap=look.colours,
        norm=look.scale,
        linewidths=rim,
        edgecolors=INK if rim else PAPER,
        zorder=4,
    )


def _apart(low: float, high: float) -> tuple[float, float]:
    """Ends of a scale that differ visibly, though values may be all alike."""
    least = 1e-3 * max(abs(low), abs(high)) or 1.0
    if high - low >= least:
        return low, high
    middle = (low + high) / 2.0
    return middle - least, middle + least


def _edges(middles: np.ndarray) -> Float64[np.ndarray, " edge"]:
    """Edges of cells from their middles."""
    half = (middles[1] - middles[0]) / 2.0 if len(middles) > 1 else 0.5
    return np.concatenate([middles - half, middles[-1:] + half])

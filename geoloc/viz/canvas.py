"""The paper under every picture: figures without global state, tones, and the world's outlines."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font

from geoloc.geodesy import equal_earth
from geoloc.viz.world import COARSE_DEG, border_lines_deg, coarse_land_deg

FONT = "DejaVu Sans"
PAPER, INK, FAINT_INK = "#ffffff", "#22282e", "#66727d"
OCEAN, LAND, BORDER, GRATICULE = "#dfe9f0", "#f4f0e7", "#b5ad9d", "#c3d2dd"
REGION_BORDER = "#ded7c8"
# Okabe and Ito (2008), told apart under every common form of colour blindness.
ANSWER, TRUTH = "#0072b2", "#d55e00"
CREDIT = "Outlines: Natural Earth. Projection: Equal Earth."
CREDIT_CLOSEUP = "Outlines: Natural Earth. Projection: azimuthal equidistant."
PIXELS_PER_INCH = 100


def new_figure(width_px: int, height_px: int) -> Figure:
    """An empty white figure of that size with an Agg canvas of its own."""
    size = (width_px / PIXELS_PER_INCH, height_px / PIXELS_PER_INCH)
    figure = Figure(figsize=size, dpi=PIXELS_PER_INCH, facecolor=PAPER)
    FigureCanvasAgg(figure)
    return figure


def png_bytes(figure: Figure) -> bytes:
    """The figure as a PNG, equal figures giving equal bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def save_png(figure: Figure, path: Path | str) -> Path:
    """Write the figure to `path` as a PNG, making folders as needed; returns the path."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(png_bytes(figure))
    return file


def put_text(axes: Axes | Figure, x: float, y: float, text: str, **style: Any) -> None:
    """Text in the house font, taken literally: no mathematics behind dollar signs.

    Characters that the font lacks become question marks.
    """
    settings: dict[str, Any] = {"fontfamily": FONT, "color": INK, **style}
    words = axes.text(x, y, drawable(text), None, **settings)
    words.set_parse_math(False)


def drawable(text: str) -> str:
    """The text with a question mark for what the font lacks or a line cannot hold."""
    return "".join(char if char.isprintable() and _in_font(char) else "?" for char in text)


def shorten(text: str, length: int) -> str:
    """The text, its middle replaced by an ellipsis where it is longer than `length`."""
    if len(text) <= length:
        return text
    tail = (length - 1) // 2
    return text[: length - 1 - tail] + "\N{HORIZONTAL ELLIPSIS}" + text[len(text) - tail :]


def world_axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes with the whole world in Equal Earth: ocean, land, borders, graticule.

    Args:
        figure: where to put them.
        box: left, bottom, width and height as shares of the figure; the map keeps its shape and
            is centred in the box.
    """
    axes = bare_axes(figure, box)
    rim = equal_earth(_rim_deg())
    axes.add_collection(PolyCollection([rim], facecolors=OCEAN, edgecolors="none", zorder=0))
    axes.add_collection(LineCollection(_graticule(), colors=GRATICULE, linewidths=0.5, zorder=0.5))
    # The edges in the land's own tone close the hairlines between neighbouring areas.
    axes.add_collection(
        PolyCollection(_world_land(), facecolors=LAND, edgecolors=LAND, linewidths=0.6, zorder=1)
    )
    axes.add_collection(LineCollection(_world_borders(), colors=BORDER, linewidths=0.5, zorder=1.2))
    axes.add_collection(
        PolyCollection([rim], facecolors="none", edgecolors=GRATICULE, linewidths=1.0, zorder=1.5)
    )
    axes.set_xlim(-2.73, 2.73)
    axes.set_ylim(-1.335, 1.335)
    return axes


def bare_axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes of equal scale in both directions without ticks or frame."""
    axes = figure.add_axes(box)
    axes.set_aspect("equal")
    axes.set_axis_off()
    return axes


@cache
def _world_land() -> list[Float[np.ndarray, "_ 2"]]:
    return [equal_earth(ring) for ring in coarse_land_deg()]


@cache
def _world_borders() -> list[Float[np.ndarray, "_ 2"]]:
    return [equal_earth(line) for line in border_lines_deg(COARSE_DEG)]


def _rim_deg() -> Float[np.ndarray, "point 2"]:
    up = np.linspace(-90.0, 90.0, 181)
    east = np.stack([up, np.full_like(up, 180.0)], axis=1)
    west = np.stack([up[::-1], np.full_like(up, -180.0)], axis=1)
    return np.concatenate([east, west])


def _graticule() -> list[Float[np.ndarray, "_ 2"]]:
    lat, lon = np.linspace(-90.0, 90.0, 181), np.linspace(-180.0, 180.0, 361)
    meridians = [np.stack([lat, np.full_like(lat, at)], axis=1) for at in range(-150, 180, 30)]
    parallels = [np.stack([np.full_like(lon, at), lon], axis=1) for at in range(-60, 90, 30)]
    return [equal_earth(line) for line in [*meridians, *parallels]]


@cache
def _in_font(char: str) -> bool:
    return get_font(findfont(FONT)).get_char_index(ord(char)) != 0

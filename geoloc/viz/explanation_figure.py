"""Pictures of an occlusion map: the image under its heat, and the places on the world."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from PIL import Image, ImageOps

from geoloc.geodesy import equal_earth
from geoloc.viz.canvas import (
    ANSWER,
    FAINT_INK,
    FONT,
    INK,
    PAPER,
    TRUTH,
    bare_axes,
    new_figure,
    png_bytes,
    put_text,
    world_axes,
)
from geoloc.viz.marks import draw_places
from geoloc.viz.tracks import cut_at_antimeridian, great_circle_track

SUPPORTS, AGAINST = TRUTH, ANSWER
_SIDE, _LEGEND = 560, 64
_DARKEST = 0.75


def heat_png(
    image: Image.Image,
    *,
    seen: tuple[float, float, float, float],
    effect: Float64[np.ndarray, "row column"],
    noise: float,
    strongest: tuple[int, int] | None,
) -> bytes:
    """The image in grey with the effects of its cells over it, and a legend, as PNG.

    Colour deepens with the effect; cells below the noise floor stay bare. What the model does not
    see of the image is paler, and the cell of the largest effect is framed.

    Args:
        image: upright.
        seen: left, top, right, bottom of what the model sees, as shares of width and height.
        effect: of each cell, in nats.
        noise: floor below which an effect says nothing.
        strongest: the cell to frame; None frames none.
    """
    scale = _SIDE / max(image.size)
    width, height = (max(1, round(length * scale)) for length in image.size)
    figure = new_figure(max(width, _SIDE), height + _LEGEND)
    across, up = max(width, _SIDE), height + _LEGEND
    axes = bare_axes(figure, (0.0, _LEGEND / up, width / across, height / up))
    grey = np.asarray(ImageOps.grayscale(image.resize((width, height))))
    axes.imshow(grey, cmap="gray", vmin=-40, vmax=295, interpolation="none")
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    left, top, right, bottom = np.array(seen) * (width, height, width, height)
    _fade_outside(axes, (left, top, right, bottom), (width, height))
    most = max(float(np.abs(effect).max()), 1e-9)
    axes.imshow(
        _colours(effect, noise=noise, most=most),
        extent=(left, right, bottom, top),
        interpolation="none",
        zorder=3,
    )
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    if strongest is not None:
        rows, columns = effect.shape
        step_x, step_y = (right - left) / columns, (bottom - top) / rows
        corner = (left + strongest[1] * step_x, top + strongest[0] * step_y)
        axes.add_patch(
            Rectangle(corner, step_x, step_y, fill=False, edgecolor=INK, linewidth=2.2, zorder=4)
        )
    _legend(figure, most=most, noise=noise, height=_LEGEND / up)
    return png_bytes(figure)


def explained_places_png(
    answer_deg: tuple[float, float],
    without_deg: tuple[float, float],
    training_deg: Sequence[tuple[float, float]],
) -> bytes:
    """The world with the answer (1), the answer without the strongest patch (2), training images.

    A PNG of 860 x 460 pixels. Two answers at one place are one mark.
    """
    figure = new_figure(860, 460)
    axes = world_axes(figure, (0.005, 0.07, 0.99, 0.92))
    axes.apply_aspect()
    if training_deg:
        dots = equal_earth(np.array(training_deg, dtype=np.float64))
        axes.scatter(
            dots[:, 0],
            dots[:, 1],
            s=22,
            marker="D",
            c="#009e73",
            edgecolors=PAPER,
            linewidths=0.7,
            zorder=7,
        )
    both = np.array(
        [answer_deg] if answer_deg == without_deg else [answer_deg, without_deg], dtype=np.float64
    )
    if len(both) > 1:
        pieces = cut_at_antimeridian(great_circle_track(both[0], both[1]))
        lines = [equal_earth(piece) for piece in pieces]
        axes.add_collection(
            LineCollection(lines, colors=INK, linewidths=1.2, linestyles=(0, (4, 3)), zorder=4)
        )
    draw_places(axes, equal_earth(both), np.ones(len(both)))
    told = "1 the answer     2 the answer without the strongest patch"
    told = told if len(both) > 1 else "1 the answer, with the strongest patch and without"
    if training_deg:
        told += "     green diamonds: training images most alike"
    put_text(figure, 0.01, 0.03, told, fontsize=9)
    return png_bytes(figure)


def _colours(effect: np.ndarray, *, noise: float, most: float) -> np.ndarray:
    colours = np.zeros((*effect.shape, 4))
    colours[..., :3] = np.where((effect > 0)[..., None], to_rgb(SUPPORTS), to_rgb(AGAINST))
    size = np.abs(effect)
    colours[..., 3] = np.where(size > noise, _DARKEST * size / most, 0.0)
    return colours


def _fade_outside(
    axes: object, box: tuple[float, float, float, float], size: tuple[int, int]
) -> None:
    left, top, right, bottom = box
    width, height = size
    for x, y, wide, tall in (
        (0.0, 0.0, left, height),
        (right, 0.0, width - right, height),
        (left, 0.0, right - left, top),
        (left, bottom, right - left, height - bottom),
    ):
        axes.add_patch(  # pyright: ignore[reportAttributeAccessIssue]
            Rectangle((x, y), wide, tall, facecolor=PAPER, alpha=0.7, linewidth=0, zorder=2)
        )


def _legend(figure: Figure, *, most: float, noise: float, height: float) -> None:
    entries = [
        (SUPPORTS, f"supports the answer, up to {most:.2f} nats"),
        (AGAINST, "speaks against it"),
    ]
    handles = [
        Line2D([], [], marker="s", linestyle="", color=colour, alpha=_DARKEST, markersize=10)
        for colour, _ in entries
    ]
    legend = figure.legend(
        handles,
        [words for _, words in entries],
        loc="lower left",
        bbox_to_anchor=(0.0, 0.42 * height),
        ncols=2,
        frameon=False,
        prop={"family": FONT, "size": 10},
        handletextpad=0.2,
        columnspacing=1.2,
    )
    for text in legend.get_texts():
        text.set_color(INK)
    words = f"Bare: below the noise floor of {noise:.2f} nats. Pale: outside what the model sees."
    put_text(figure, 0.02, 0.14 * height, words, fontsize=9, color=FAINT_INK)

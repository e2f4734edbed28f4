"""A gallery on the map: where its places lie, and where they leave gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from geoloc.geodesy import equal_earth
from geoloc.viz.canvas import (
    ANSWER,
    CREDIT,
    FAINT_INK,
    FONT,
    TRUTH,
    new_figure,
    put_text,
    save_png,
    shorten,
    world_axes,
)
from geoloc.viz.error_map import CLASS_COLOURS, class_names, error_class

_WIDTH, _HEIGHT = 1400, 1580


def draw_gallery_map(
    path: Path | str,
    *,
    gallery_deg: Float64[np.ndarray, "place 2"],
    far_at_sea: Bool[np.ndarray, " place"],
    against_deg: Float64[np.ndarray, "row 2"],
    gap_km: Float64[np.ndarray, " row"],
    title: str,
    against: str,
    max_points: int = 20_000,
) -> Path:
    """Write two world maps: the gallery's places, and other places coloured by their gap to it.

    All gallery places are drawn, those far at sea larger and in another colour. Of many other
    places some are drawn, drawn at random; the legend's shares are those of all.

    Args:
        path: PNG to write; folders are made as needed.
        gallery_deg: places of the gallery.
        far_at_sea: which of them lie far at sea.
        against_deg: the other places.
        gap_km: distance from each to the nearest of the gallery.
        title: what the gallery is called.
        against: what the other places are called.
        max_points: how many other places are drawn.
    """
    figure = new_figure(_WIDTH, _HEIGHT)
    axes = world_axes(figure, (0.01, 0.528, 0.98, 0.42))
    _draw_gallery(figure, axes, gallery_deg, far_at_sea)
    _heading(figure, 0.975, f"Gallery {title}", f"{len(gallery_deg):,} distinct places")
    axes = world_axes(figure, (0.01, 0.035, 0.98, 0.42))
    drawn = np.random.default_rng(0).permutation(len(against_deg))[:max_points]
    # the smallest gaps first, so that the large ones lie on top
    drawn = drawn[np.argsort(gap_km[drawn], kind="stable")]
    points = equal_earth(against_deg[drawn])
    colours = np.array(CLASS_COLOURS)[error_class(gap_km[drawn])]
    axes.scatter(points[:, 0], points[:, 1], s=5, c=colours, linewidths=0, zorder=3)
    told = f"{len(against_deg):,} places, median gap {_km(float(np.median(gap_km)))} km"
    if len(drawn) < len(against_deg):
        told += f" ({len(drawn):,} drawn, at random)"
    _heading(figure, 0.482, f"Gaps of {against} to the gallery", told)
    _legend(figure, gap_km)
    put_text(figure, 0.985, 0.008, CREDIT, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)


def _draw_gallery(
    figure: Figure, axes: Axes, places_deg: np.ndarray, far_at_sea: np.ndarray
) -> None:
    land, sea = equal_earth(places_deg[~far_at_sea]), equal_earth(places_deg[far_at_sea])
    size = 0.6 if len(places_deg) > 20_000 else 2.0 if len(places_deg) > 2_000 else 8.0
    axes.scatter(land[:, 0], land[:, 1], s=size, c=ANSWER, linewidths=0, zorder=3)
    axes.scatter(sea[:, 0], sea[:, 1], s=7, c=TRUTH, linewidths=0, zorder=4)
    _put_legend(
        figure,
        0.519,
        [ANSWER, TRUTH],
        [
            f"on land or within 25 km of a coast: {len(land):,}",
            f"farther at sea: {len(sea):,}",
        ],
    )


def _heading(figure: Figure, y: float, title: str, note: str) -> None:
    put_text(figure, 0.02, y, shorten(title, 70), fontsize=17, fontweight="bold")
    put_text(figure, 0.02, y - 0.018, note, fontsize=12, color=FAINT_INK)


def _legend(figure: Figure, gap_km: np.ndarray) -> None:
    counts = np.bincount(error_class(gap_km), minlength=len(CLASS_COLOURS))
    labels = [
        f"{name}: {100 * count / len(gap_km):.1f} %"
        for name, count in zip(class_names(), counts.tolist(), strict=True)
    ]
    _put_legend(figure, 0.026, list(CLASS_COLOURS), labels)


def _put_legend(figure: Figure, y: float, colours: list[str], labels: list[str]) -> None:
    handles = [
        Line2D([], [], marker="o", linestyle="", color=colour, markersize=7) for colour in colours
    ]
    legend = figure.legend(
        handles,
        labels,
        loc="lower left",
        bbox_to_anchor=(0.015, y - 0.012),
        ncols=len(handles),
        frameon=False,
        prop={"family": FONT, "size": 11},
        columnspacing=1.6,
        handletextpad=0.3,
    )
    for text in legend.get_texts():
        text.set_color(FAINT_INK)


def _km(distance_km: float) -> str:
    return f"{distance_km:,.0f}" if distance_km >= 10 else f"{distance_km:.1f}"

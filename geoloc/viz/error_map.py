"""Where a test set was located, and how far off: true places, predicted places, lines between."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int64
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from geoloc.errors import DataError
from geoloc.geodesy import equal_earth, great_circle_km, validate_latlon
from geoloc.viz.canvas import (
    CREDIT,
    FAINT_INK,
    FONT,
    PAPER,
    new_figure,
    put_text,
    save_png,
    shorten,
    world_axes,
)
from geoloc.viz.tracks import cut_at_antimeridian, great_circle_track

THRESHOLDS_KM = (25.0, 200.0, 750.0, 2500.0)
# Plasma (Smith and van der Walt 2015) without its palest end: lightness rises with the error.
CLASS_COLOURS = ("#0d0887", "#7201a8", "#bd3786", "#e8704f", "#f5ab35")
_COLUMNS = ("true_lat_deg", "true_lon_deg", "pred_lat_deg", "pred_lon_deg")


def draw_prediction_map(
    predictions: pd.DataFrame,
    path: Path | str,
    *,
    title: str = "Predictions",
    max_lines: int = 300,
    max_points: int = 5000,
    seed: int = 0,
) -> Path:
    """Write a world map of true and predicted places, coloured by the distance between them.

    Every place counts in the legend's shares and the median; large sets are sampled for drawing,
    and the picture says so.

    Args:
        predictions: columns true_lat_deg, true_lon_deg, pred_lat_deg, pred_lon_deg.
        path: PNG to write; folders are made as needed.
        title: heading of the map.
        max_lines: how many errors are drawn as lines from the true to the predicted place.
        max_points: how many true places are drawn.
        seed: of the sample.

    Raises:
        DataError: a column is missing or there is no row.
        CoordinateError: a place is not finite or out of range.
    """
    true_deg, pred_deg = _places(predictions)
    distance_km = great_circle_km(true_deg, pred_deg)
    order = np.random.default_rng(seed).permutation(len(true_deg))
    points, lines = order[:max_points], order[:max_lines]
    # The farthest first, so that the near ones lie on top.
    points, lines = (
        part[np.argsort(-distance_km[part], kind="stable")] for part in (points, lines)
    )

    figure = new_figure(1600, 900)
    axes = world_axes(figure, (0.01, 0.075, 0.98, 0.83))
    colours = np.array(CLASS_COLOURS)[error_class(distance_km)]
    for row in lines:
        track = great_circle_track(true_deg[row], pred_deg[row])
        pieces = [equal_earth(piece) for piece in cut_at_antimeridian(track)]
        axes.add_collection(
            LineCollection(pieces, colors=colours[row], linewidths=0.9, alpha=0.45, zorder=3),
            autolim=False,
        )
    ends = equal_earth(pred_deg[lines])
    axes.scatter(
        ends[:, 0], ends[:, 1], s=16, facecolors=PAPER, edgecolors=colours[lines].tolist(), zorder=4
    )
    dots = equal_earth(true_deg[points])
    size = 22.0 if len(points) <= 1000 else 10.0
    axes.scatter(dots[:, 0], dots[:, 1], s=size, c=colours[points], linewidths=0, zorder=5)
    put_text(figure, 0.02, 0.955, shorten(title, 80), fontsize=17, fontweight="bold")
    drawn = _sampling_note(len(points), len(lines), len(order))
    note = f"{len(true_deg):,} images, median error {np.median(distance_km):,.0f} km{drawn}"
    put_text(figure, 0.02, 0.922, note, fontsize=12, color=FAINT_INK)
    _legend(figure, distance_km)
    put_text(figure, 0.985, 0.018, CREDIT, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)


def error_class(
    distance_km: Float[np.ndarray, " image"],
) -> Int64[np.ndarray, " image"]:
    """Class 0 to 4 of each error: strictly below 25, 200, 750, 2500 km, and the rest."""
    return np.searchsorted(THRESHOLDS_KM, distance_km, side="right").astype(np.int64)


def class_names() -> list[str]:
    """What the classes are called, in order."""
    bounds = [f"{threshold:,.0f}" for threshold in THRESHOLDS_KM]
    between = [f"{low}\N{EN DASH}{high} km" for low, high in pairwise(bounds)]
    return [f"< {bounds[0]} km", *between, f"\N{GREATER-THAN OR EQUAL TO} {bounds[-1]} km"]


def _places(
    predictions: pd.DataFrame,
) -> tuple[Float[np.ndarray, "image 2"], Float[np.ndarray, "image 2"]]:
    missing = [column for column in _COLUMNS if column not in predictions.columns]
    if missing:
        raise DataError(f"the predictions lack the columns {', '.join(missing)}")
    if not len(predictions):
        raise DataError("the predictions are empty: there is nothing to draw")
    values = predictions[list(_COLUMNS)].to_numpy(dtype=np.float64)
    true_deg, pred_deg = values[:, :2], values[:, 2:]
    validate_latlon(true_deg, what="true place")
    validate_latlon(pred_deg, what="predicted place")
    return true_deg, pred_deg


def _sampling_note(points: int, lines: int, total: int) -> str:
    parts: Sequence[str] = [
        f"{count:,} {what}"
        for count, what in ((points, "places"), (lines, "lines"))
        if count < total
    ]
    return f" ({' and '.join(parts)} drawn, sampled evenly)" if parts else ""


def _legend(figure: Figure, distance_km: Float[np.ndarray, " image"]) -> None:
    counts = np.bincount(error_class(distance_km), minlength=len(CLASS_COLOURS))
    handles = [
        Line2D([], [], marker="o", linestyle="-", color=colour, markersize=7)
        for colour in CLASS_COLOURS
    ]
    labels = [
        f"{name}: {count / counts.sum():.1%}".replace("%", " %")
        for name, count in zip(class_names(), counts.tolist(), strict=True)
    ]
    ring = Line2D(
        [], [], marker="o", linestyle="", markerfacecolor=PAPER, markeredgecolor=FAINT_INK
    )
    dot = Line2D([], [], marker="o", linestyle="", color=FAINT_INK)
    legend = figure.legend(
        [*handles, dot, ring],
        [*labels, "true place", "predicted"],
        loc="lower left",
        bbox_to_anchor=(0.015, 0.03),
        ncols=len(handles) + 2,
        frameon=False,
        prop={"family": FONT, "size": 11},
        columnspacing=1.6,
        handletextpad=0.5,
    )
    for text in legend.get_texts():
        text.set_color(FAINT_INK)

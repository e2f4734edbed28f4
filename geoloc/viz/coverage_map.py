"""Training places on the world: a small map for a model card."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from geoloc.geodesy import equal_earth
from geoloc.viz.canvas import ANSWER, CREDIT, FAINT_INK, new_figure, put_text, save_png, world_axes

MAX_POINTS = 50_000


def draw_coverage_map(path: Path, places_deg: Float64[np.ndarray, "place 2"]) -> Path:
    """Write a world map of places as a PNG of 1000 x 520 pixels.

    Args:
        path: PNG to write; folders are made as needed.
        places_deg: the places; of more than 50,000 so many are drawn, at random, and the map
            says so.
    """
    figure = new_figure(1000, 520)
    axes = world_axes(figure, (0.005, 0.05, 0.99, 0.94))
    drawn = places_deg
    if len(places_deg) > MAX_POINTS:
        rows = np.random.default_rng(0).choice(len(places_deg), size=MAX_POINTS, replace=False)
        drawn = places_deg[rows]
    points = equal_earth(drawn)
    size = 1.0 if len(drawn) > 20_000 else 3.0 if len(drawn) > 2_000 else 9.0
    axes.scatter(points[:, 0], points[:, 1], s=size, c=ANSWER, alpha=0.6, linewidths=0, zorder=3)
    told = f"{len(places_deg):,} training places"
    if len(drawn) < len(places_deg):
        told += f" ({len(drawn):,} drawn, at random)"
    put_text(figure, 0.01, 0.02, told, fontsize=10)
    put_text(figure, 0.99, 0.02, CREDIT, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)

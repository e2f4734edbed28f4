"""A neighbourhood seen from straight above, with a scale bar."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from geoloc.geodesy import (
    great_circle_km,
    latlon_from_unit_vectors,
    latlon_to_local_km,
    unit_vectors,
)
from geoloc.viz.canvas import BORDER, INK, LAND, OCEAN, REGION_BORDER, put_text
from geoloc.viz.world import FINE_DEG, border_lines_deg, fine_land_deg, polygon_holding

SMALLEST_RADIUS_KM, LARGEST_RADIUS_KM = 300.0, 2500.0
_REACH = 3.0
_MARGIN = 0.93
_LEAST_KM = 2.0


def closeup_view(
    best_deg: Float[np.ndarray, " 2"],
    others_deg: Float[np.ndarray, "place 2"],
    *,
    reach_km: float = 1.6 * LARGEST_RADIUS_KM,
) -> tuple[Float[np.ndarray, " 2"], float]:
    """Centre and radius (km) of a view that holds the best place and the others within reach."""
    near = great_circle_km(others_deg, best_deg[None]) <= reach_km
    kept = np.concatenate([best_deg[None], others_deg[near]])
    mean = unit_vectors(kept).mean(axis=0, keepdims=True)
    center = latlon_from_unit_vectors(mean / np.linalg.norm(mean))
    farthest = float(great_circle_km(kept, center).max())
    return center[0], float(np.clip(1.35 * farthest, SMALLEST_RADIUS_KM, LARGEST_RADIUS_KM))


def view_of_all(
    latlon_deg: Float[np.ndarray, "place 2"],
) -> tuple[Float[np.ndarray, " 2"], float] | None:
    """Centre and radius (km) of a view that holds all places; None where a world map is better."""
    mean = unit_vectors(latlon_deg).mean(axis=0, keepdims=True)
    length = float(np.linalg.norm(mean))
    if length == 0.0:
        return None
    center = latlon_from_unit_vectors(mean / length)
    radius_km = 1.1 * float(great_circle_km(latlon_deg, center).max())
    return None if radius_km > LARGEST_RADIUS_KM else (center[0], max(radius_km, _LEAST_KM))


def in_view(local_km: Float[np.ndarray, "place 2"], radius_km: float) -> Bool[np.ndarray, " place"]:
    """Which places lie inside the frame, with room for a mark around them."""
    return np.abs(local_km).max(axis=1) < _MARGIN * radius_km


def closeup_axes(
    figure: Figure,
    box: tuple[float, float, float, float],
    center_deg: Float[np.ndarray, " 2"],
    radius_km: float,
) -> Axes:
    """Axes in km east and north of the centre: land, regions, borders, a scale bar, a frame.

    Azimuthal equidistant: distances from the centre are true.
    """
    axes = figure.add_axes(box, facecolor=OCEAN)
    axes.set_aspect("equal")
    axes.set_xlim(-radius_km, radius_km)
    axes.set_ylim(-radius_km, radius_km)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color(BORDER)
    rings = fine_land_deg()
    around = polygon_holding((float(center_deg[0]), float(center_deg[1])))
    land = _near(rings, center_deg, radius_km, always=around)
    axes.add_collection(
        PolyCollection(land, facecolors=LAND, edgecolors=REGION_BORDER, linewidths=0.7, zorder=1),
        autolim=False,
    )
    borders = _near(border_lines_deg(FINE_DEG), center_deg, radius_km)
    axes.add_collection(
        LineCollection(borders, colors=BORDER, linewidths=0.9, zorder=1.2), autolim=False
    )
    _scale_bar(axes, radius_km)
    return axes


def to_local(
    center_deg: Float[np.ndarray, " 2"], latlon_deg: Float[np.ndarray, "place 2"]
) -> Float[np.ndarray, "place 2"]:
    """Km east and north of the centre, on the last axis."""
    return np.stack(latlon_to_local_km(center_deg, latlon_deg), axis=-1)


def _near(
    lines: list[np.ndarray],
    center_deg: np.ndarray,
    radius_km: float,
    *,
    always: frozenset[int] = frozenset(),
) -> list[np.ndarray]:
    """Projected lines that come near the view, and those asked for in any case."""
    local = to_local(center_deg, np.concatenate(lines))
    close = np.linalg.norm(local, axis=1) <= _REACH * radius_km
    starts = np.cumsum([0, *(len(line) for line in lines[:-1])])
    reached = np.logical_or.reduceat(close, starts)
    pieces = np.split(local, starts[1:])
    return [piece for row, piece in enumerate(pieces) if bool(reached[row]) or row in always]


def _scale_bar(axes: Axes, radius_km: float) -> None:
    length = max(size for size in _round_lengths() if size <= 0.7 * radius_km)
    left, bottom = -0.92 * radius_km, -0.9 * radius_km
    axes.plot([left, left + length], [bottom, bottom], color=INK, linewidth=2.2, zorder=8)
    put_text(
        axes,
        left,
        bottom + 0.03 * radius_km,
        f"{length:,.0f} km",
        fontsize=9,
        va="bottom",
        zorder=8,
    )


def _round_lengths() -> list[float]:
    return [figure * 10.0**power for power in range(5) for figure in (1, 2, 5)]

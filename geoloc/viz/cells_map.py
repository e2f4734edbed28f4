"""Geocells on the map: each in a tone that none of its neighbours has."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import shapely
from jaxtyping import Float64, Int64
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.figure import Figure

from geoloc.geodesy import EARTH_RADIUS_KM, equal_earth
from geoloc.regions.cell_polygons import cell_polygons
from geoloc.viz.canvas import (
    CREDIT,
    CREDIT_CLOSEUP,
    FAINT_INK,
    INK,
    new_figure,
    put_text,
    save_png,
    shorten,
    world_axes,
)
from geoloc.viz.closeup import closeup_axes, to_local, view_of_all
from geoloc.viz.world import COARSE_DEG, FINE_DEG, border_lines_deg

_WIDTH, _HEIGHT = 1400, 790
_TONES = ("#7fb3d5", "#f0b27a", "#82c9a0", "#d7a9d1", "#f3dc8a", "#9aa7b5", "#c9d58a", "#e59a93")
_STEP_DEG = 1.0
_EDGE_DEG = 85.0


def draw_cells(
    path: Path | str,
    place_deg: Float64[np.ndarray, "place 2"],
    cell: Int64[np.ndarray, " place"],
    *,
    title: str,
) -> Path:
    """Write a map of the cells, their borders over land and coasts: the world in Equal Earth.

    Where all places lie within some 2,500 km the map is of that region alone, with the places.

    Args:
        path: PNG to write; folders are made as needed.
        place_deg: labelled places, no two the same.
        cell: of each, from 0, without gaps.
        title: of the picture.

    Raises:
        DataError: the places bound no regions.
    """
    polygons = cell_polygons(place_deg, cell)
    figure = new_figure(_WIDTH, _HEIGHT)
    ground = _Ground.under(figure, place_deg)
    axes, project = ground.axes, ground.project
    shown = polygons if ground.box is None else shapely.clip_by_rect(polygons, *ground.box)
    if ground.box is not None:
        axes.scatter(*project(place_deg).T, s=3.0, color=INK, linewidths=0, zorder=1.5)
    parts, owner = shapely.get_parts(shown, return_index=True)
    rings = [
        project(np.ascontiguousarray(shapely.get_coordinates(line)[:, ::-1]))
        for line in shapely.segmentize(shapely.get_exterior_ring(parts), _STEP_DEG)
    ]
    colours = np.array(_TONES)[_tones(polygons)[owner]]
    # the largest first: a hole in a ring is another cell's face, drawn over it
    order = np.argsort(-shapely.area(parts), kind="stable")
    axes.add_collection(
        PolyCollection(
            [rings[each] for each in order],
            facecolors=colours[order],
            edgecolors="#ffffff",
            linewidths=0.5,
            alpha=0.85,
            zorder=1.3,
        ),
        autolim=False,
    )
    lines = [project(line) for line in ground.outlines]
    axes.add_collection(LineCollection(lines, colors=INK, linewidths=0.35, zorder=1.6))
    size = np.bincount(cell)
    put_text(figure, 0.02, 0.945, shorten(title, 70), fontsize=17, fontweight="bold")
    told = (
        f"{len(size):,} cells of {len(cell):,} places, {size.min():,} to {size.max():,} a cell; a "
        "place belongs to the cell of the nearest labelled one"
    )
    put_text(figure, 0.02, 0.915, told, fontsize=12, color=FAINT_INK)
    put_text(figure, 0.985, 0.012, ground.credit, fontsize=8, color=FAINT_INK, ha="right")
    return save_png(figure, path)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ground:
    """What cells are drawn over: the world, or a part of it with its bounds in degrees."""

    axes: Axes
    project: Callable[[np.ndarray], np.ndarray]
    outlines: list[np.ndarray]
    credit: str
    box: tuple[float, float, float, float] | None = None

    @classmethod
    def under(cls, figure: Figure, place_deg: np.ndarray) -> _Ground:
        view = view_of_all(place_deg)
        box = None if view is None else _box_around(*view)
        if view is None or box is None:
            return cls(
                axes=world_axes(figure, (0.01, 0.03, 0.98, 0.87)),
                project=equal_earth,
                outlines=border_lines_deg(COARSE_DEG),
                credit=CREDIT,
            )
        return cls(
            axes=closeup_axes(figure, (0.02, 0.03, 0.96, 0.86), *view),
            project=partial(to_local, view[0]),
            outlines=[line for line in border_lines_deg(FINE_DEG) if _meets(line, box)],
            credit=CREDIT_CLOSEUP,
            box=box,
        )


def _box_around(
    center_deg: Float64[np.ndarray, " 2"], radius_km: float
) -> tuple[float, float, float, float] | None:
    """West, south, east and north of a square view; None where it meets the map's edges."""
    lat, lon = center_deg.tolist()
    reach = 1.5 * np.degrees(radius_km / EARTH_RADIUS_KM)
    if abs(lat) + reach > _EDGE_DEG:
        return None
    wide = reach / np.cos(np.radians(abs(lat) + reach))
    return None if abs(lon) + wide > 180.0 else (lon - wide, lat - reach, lon + wide, lat + reach)


def _meets(line: Float64[np.ndarray, "point 2"], box: tuple[float, float, float, float]) -> bool:
    west, south, east, north = box
    lat, lon = line.T
    return bool(((lat > south) & (lat < north) & (lon > west) & (lon < east)).any())


def _tones(polygons: np.ndarray) -> Int64[np.ndarray, " cell"]:
    """A tone for each cell, the first that no neighbour has yet; most neighbours come first."""
    one, other = shapely.STRtree(polygons).query(polygons, predicate="intersects")
    neighbours: list[list[int]] = [[] for _ in polygons]
    for a, b in zip(one.tolist(), other.tolist(), strict=True):
        if a != b:
            neighbours[a].append(b)
    tone = np.full(len(polygons), -1, dtype=np.int64)
    for each in sorted(range(len(polygons)), key=lambda cell: -len(neighbours[cell])):
        taken = {int(tone[near]) for near in neighbours[each]}
        free = [number for number in range(len(_TONES)) if number not in taken]
        tone[each] = free[0] if free else each % len(_TONES)
    return tone

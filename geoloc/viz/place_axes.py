"""Axes for values at places: the world, a part of it, or a plane; and grids of cells on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from geoloc.geodesy import equal_earth, longitude_span_deg
from geoloc.viz.canvas import BORDER, CREDIT, FAINT_INK, FONT, INK, LAND, OCEAN, world_axes
from geoloc.viz.world import COARSE_DEG, FINE_DEG, border_lines_deg, coarse_land_deg, fine_land_deg

Real: TypeAlias = "float | np.floating[Any]"
Box: TypeAlias = tuple[float, float, float, float]
_WORLD_DEG = (120.0, 100.0)
_FINE_BELOW_DEG = 25.0
_WORLD_SHAPE = 0.49
_AIR = 0.04
_SMALLEST_DEG = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """The part of the Earth, or of a plane, that a map shows.

    Attributes:
        south: the lower edge, in degrees or the unit of the plane.
        north: the upper edge.
        west: the left edge.
        east: the right edge, above `west`; on the Earth it may exceed 180.
        kind: ``world``, ``region`` or ``plane``.
    """

    south: float
    north: float
    west: float
    east: float
    kind: str

    @classmethod
    def of_places(cls, places: Float64[np.ndarray, "place 2"], *, sphere: bool) -> View:
        """What holds all places, with some air: latitude and longitude, or x and y.

        On the Earth the narrowest part, over the antimeridian or not; the world where that is wide.
        """
        if not sphere:
            (west, south), (east, north) = places.min(axis=0), places.max(axis=0)
            least = max(1e-9 * float(np.abs(places).max()), 1e-12)
        else:
            west, east = longitude_span_deg(places[:, 1])
            south, north = places[:, 0].min(), places[:, 0].max()
            least = _SMALLEST_DEG
        air = max(_AIR * max(north - south, east - west), least)
        south, north = south - air, north + air
        if sphere:
            south, north = max(south, -90.0), min(north, 90.0)
        return cls.of_box(south, north, west - air, east + air, sphere=sphere)

    @classmethod
    def of_box(cls, south: Real, north: Real, west: Real, east: Real, *, sphere: bool) -> View:
        """A box; on the Earth the world where it is wide."""
        if sphere and (east - west > _WORLD_DEG[0] or north - south > _WORLD_DEG[1]):
            return cls(south=-90.0, north=90.0, west=-180.0, east=180.0, kind="world")
        return cls(
            south=float(south),
            north=float(north),
            west=float(west),
            east=float(east),
            kind="region" if sphere else "plane",
        )

    @property
    def shape(self) -> float:
        """Height of the map as a share of its width."""
        if self.kind == "world":
            return _WORLD_SHAPE
        wide = (self.east - self.west) * (self.stretch if self.kind == "region" else 1.0)
        return (self.north - self.south) / wide

    @property
    def stretch(self) -> float:
        """How long a degree of longitude is beside one of latitude, in the middle of a region."""
        return max(math.cos(math.radians((self.south + self.north) / 2.0)), 0.05)

    @property
    def credit(self) -> str:
        """Where outlines come from; empty in a plane."""
        return {"world": CREDIT, "region": CREDIT.partition(" Projection")[0]}.get(self.kind, "")

    def to_axes(self, places: Float64[np.ndarray, "place 2"]) -> Float64[np.ndarray, "place 2"]:
        """Places as x and y of the axes."""
        if self.kind == "plane":
            return places
        if self.kind == "world":
            return np.asarray(equal_earth(places), dtype=np.float64)
        turned = (places[:, 1] - self.west) % 360.0 + self.west
        return np.stack([turned, places[:, 0]], axis=1)


def place_axes(figure: Figure, box: Box, view: View) -> Axes:
    """Axes with land and outlines below, or ticks of the plane.

    Args:
        figure: where to put them.
        box: left, bottom, width and height as shares of the figure; the map keeps its shape.
        view: what they show.
    """
    if view.kind == "world":
        return world_axes(figure, box)
    axes = figure.add_axes(box)
    axes.set_xlim(view.west, view.east)
    axes.set_ylim(view.south, view.north)
    axes.tick_params(labelsize=8.5, colors=FAINT_INK, labelfontfamily=FONT)
    for spine in axes.spines.values():
        spine.set_color(BORDER)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 2.5, 5, 10]))
    if view.kind == "plane":
        axes.set_aspect("equal")
        return axes
    axes.set_aspect(1.0 / view.stretch)
    axes.set_facecolor(OCEAN)
    axes.xaxis.set_major_formatter(FuncFormatter(_degrees("E", "W", round_world=True)))
    axes.yaxis.set_major_formatter(FuncFormatter(_degrees("N", "S", round_world=False)))
    fine = view.east - view.west < _FINE_BELOW_DEG
    land = fine_land_deg() if fine else coarse_land_deg()
    axes.add_collection(
        PolyCollection(_seen(land, view), facecolors=LAND, edgecolors=LAND, linewidths=0.6),
        autolim=False,
    )
    return axes


def draw_outlines(axes: Axes, view: View) -> None:
    """Coasts and borders above what has been drawn; nothing in a plane."""
    if view.kind == "plane":
        return
    if view.kind == "world":
        lines = [equal_earth(line) for line in border_lines_deg(COARSE_DEG)]
    else:
        fine = view.east - view.west < _FINE_BELOW_DEG
        lines = _seen(border_lines_deg(FINE_DEG if fine else COARSE_DEG), view)
    axes.add_collection(
        LineCollection(lines, colors=INK, linewidths=0.5, alpha=0.55, zorder=2.5), autolim=False
    )


def draw_cells(
    axes: Axes,
    view: View,
    edges: tuple[Float64[np.ndarray, " _row"], Float64[np.ndarray, " _column"]],
    value: Float64[np.ndarray, "row column"],
    *,
    scale: Normalize,
    colours: str,
) -> None:
    """Colour the cells of a grid.

    Args:
        axes: of `place_axes`.
        view: theirs.
        edges: of the rows (latitude or y) and of the columns (longitude or x); one more than cells.
        value: of each cell; nan is left open.
        scale: of the colours.
        colours: name of a colour map.
    """
    rows, columns = edges
    parts = [slice(None)]
    if view.kind == "world":
        # cells on either side of the antimeridian lie at the two ends of the map
        turned = (columns[:-1] + columns[1:]) / 2.0 >= 180.0
        cut = int(np.argmax(turned)) if bool(turned.any()) else len(turned)
        parts = [slice(0, cut), slice(cut, len(turned))]
    for part in parts:
        first, last, _ = part.indices(value.shape[1])
        if first >= last:
            continue
        along = columns[first : last + 1]
        if view.kind == "world":
            along = along - 360.0 * (first > 0 or bool(along[0] >= 180.0))
            along = along.clip(-180.0, 180.0)
        y, x = np.meshgrid(rows, along, indexing="ij")
        if view.kind == "world":
            flat = equal_earth(np.stack([y.ravel().clip(-90.0, 90.0), x.ravel()], axis=1))
            x, y = (flat[:, axis].reshape(x.shape) for axis in (0, 1))
        elif view.kind == "region":
            x = x + 360.0 * round((view.west - float(columns[0])) / 360.0)
        axes.pcolormesh(
            x, y, value[:, first:last], norm=scale, cmap=colours, zorder=2, rasterized=True
        )


def _seen(lines: list[np.ndarray], view: View) -> list[np.ndarray]:
    """Lines of latitude and longitude that come into view, as x and y."""
    found: list[np.ndarray] = []
    for line in lines:
        low, high = line.min(axis=0), line.max(axis=0)
        if low[0] > view.north or high[0] < view.south:
            continue
        for turn in (-360.0, 0.0, 360.0):
            if low[1] + turn <= view.east and high[1] + turn >= view.west:
                found.append(line[:, ::-1] + np.array([turn, 0.0]))
    return found


def _degrees(above: str, below: str, *, round_world: bool) -> Callable[[float, int], str]:
    def told(value: float, _: int) -> str:
        shown = (value + 180.0) % 360.0 - 180.0 if round_world else value
        side = above if shown > 0 else below if shown < 0 else ""
        side = "" if abs(shown) == 180.0 else side
        return f"{abs(shown):.6g}\N{DEGREE SIGN}{side}"

    return told

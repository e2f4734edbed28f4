"""Words inside the axes of a semivariogram, where they cover as little of the data as can be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.patheffects import withStroke

from geoloc.viz.canvas import FONT, PAPER, TRUTH

_HALO = [withStroke(linewidth=3.0, foreground=PAPER)]
_STEP_PX = 3.0
_AIR_PX = 4.0
_MARK_PX = 5.0
_GOOD = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelPlace:
    """Where a label might stand.

    Attributes:
        at: a place in the data.
        shift: so many points beside it.
        ha: which end of the words stands there, as in matplotlib.
        va: and which edge.
    """

    at: tuple[float, float]
    shift: tuple[float, float]
    ha: str = "left"
    va: str = "baseline"


def free_label(axes: Axes, text: str, places: Sequence[LabelPlace]) -> None:
    """Write words at the first of some places where they cover nothing that is drawn.

    Where they cover something everywhere, they stand where that is least, the sooner the better.

    Args:
        axes: with their limits set and all marks drawn.
        text: the words.
        places: best first.
    """
    canvas: Any = axes.figure.canvas
    renderer = canvas.get_renderer()
    drawn = np.concatenate(list(_drawn(axes)))
    others = [label.get_window_extent(renderer) for label in axes.texts]
    inside: Any = axes.get_window_extent(renderer)
    best: tuple[float, Any] | None = None
    for rank, place in enumerate(places):
        label = _write(axes, text, place)
        box: Any = label.get_window_extent(renderer)
        low, high = np.array(box.min) - _AIR_PX, np.array(box.max) + _AIR_PX
        covered = float(((drawn > low) & (drawn < high)).all(axis=1).sum())
        # far from what it names a label helps little: a bar touched is better than that
        cost = covered + rank if covered else 0.5 * rank
        cost += 1e4 * sum(box.overlaps(other) for other in others)
        cost += 1e6 * (box.x0 < inside.x0 or box.x1 > inside.x1)
        cost += 1e6 * (box.y0 < inside.y0 or box.y1 > inside.y1)
        if best is not None and best[0] <= cost:
            label.remove()
            continue
        if best is not None:
            best[1].remove()
        best = (cost, label)
        if not covered and cost < _GOOD:
            return


def nugget_places(at: tuple[float, float]) -> list[LabelPlace]:
    """To the right of the diamond, a little lower or higher."""
    shifts = (-3.0, 18.0, -16.0, 32.0, -30.0, 46.0, -44.0, 60.0, 80.0, 100.0)
    return [LabelPlace(at=at, shift=(9.0, shift), va="top") for shift in shifts]


def sill_places(lag: tuple[float, float], sill: float) -> list[LabelPlace]:
    """Above or below the line of the sill, at either end; on the left first."""
    return [
        LabelPlace(at=(end, sill), shift=(9.0 if ha == "left" else -6.0, up), ha=ha, va=va)
        for end, ha in ((lag[0], "left"), (lag[1], "right"))
        for up, va in ((4.0, "baseline"), (-4.0, "top"))
    ]


def range_places(lag: float, value: tuple[float, float]) -> list[LabelPlace]:
    """Beside the line of the range, low first."""
    bottom, top = value
    return [
        LabelPlace(at=(lag, bottom + share * (top - bottom)), shift=(shift, 0.0), ha=ha)
        for share in (0.09, 0.03, 0.16, 0.25, 0.35, 0.94, 0.85, 0.5, 0.65)
        for shift, ha in ((7.0, "left"), (-7.0, "right"))
    ]


def _write(axes: Axes, text: str, place: LabelPlace) -> Any:
    alignment: dict[str, Any] = {"ha": place.ha, "va": place.va}
    return axes.annotate(
        text,
        place.at,
        xytext=place.shift,
        textcoords="offset points",
        fontfamily=FONT,
        fontsize=11,
        color=TRUTH,
        path_effects=_HALO,
        zorder=7,
        annotation_clip=False,
        **alignment,
    )


def _drawn(axes: Axes) -> Iterator[Float64[np.ndarray, "point 2"]]:
    """Pixels on every mark, bar and line; areas do not count."""
    yield np.empty((0, 2))
    for line in axes.lines:
        points = np.array(line.get_xydata(), dtype=np.float64)
        pixels = line.get_transform().transform(points)
        # the caps of bars are a line without a line: marks only
        yield pixels if str(line.get_linestyle()) == "None" else _along(pixels)
    for each in axes.collections:
        if isinstance(each, LineCollection):
            for segment in each.get_segments():
                yield _along(axes.transData.transform(np.array(segment, dtype=np.float64)))
        elif isinstance(each, PathCollection):
            centre = axes.transData.transform(np.array(each.get_offsets(), dtype=np.float64))
            for side in ((0, 0), (_MARK_PX, 0), (-_MARK_PX, 0), (0, _MARK_PX), (0, -_MARK_PX)):
                yield centre + side


def _along(points: Float64[np.ndarray, "point 2"]) -> Float64[np.ndarray, "dense 2"]:
    """A polygon of pixels with points every few pixels."""
    length = np.concatenate([[0.0], np.hypot(*np.diff(points, axis=0).T).cumsum()])
    if not np.isfinite(length).all():
        return points
    at = np.linspace(0.0, length[-1], 2 + min(int(length[-1] / _STEP_PX), 5000))
    return np.stack([np.interp(at, length, points[:, axis]) for axis in (0, 1)], axis=1)

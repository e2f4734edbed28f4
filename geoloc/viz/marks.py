"""Answered places on a map: circles sized by probability, numbered by rank, labels kept apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, Int64
from matplotlib.axes import Axes

from geoloc.viz.canvas import ANSWER, FONT, INK, PAPER, TRUTH

SMALLEST_PX, LARGEST_PX = 9.0, 14.0
_DIRECTIONS = ((1, 1), (1, -1), (-1, 1), (-1, -1), (1, 0), (-1, 0), (0, 1), (0, -1))


def radius_px(probability: Float[np.ndarray, " place"]) -> Float[np.ndarray, " place"]:
    """Radius of each circle: its area grows with the probability relative to the largest one."""
    share = probability / max(float(probability.max()), 1e-300)
    return SMALLEST_PX + (LARGEST_PX - SMALLEST_PX) * np.sqrt(share)


def merge_near(xy_px: Float[np.ndarray, "point 2"], reach_px: float) -> Int64[np.ndarray, " point"]:
    """Group numbers of points: points within `reach_px` share one, and so on along chains."""
    group = np.arange(len(xy_px))
    gap = np.linalg.norm(xy_px[:, None] - xy_px[None], axis=-1)
    for first, second in np.argwhere(np.triu(gap <= reach_px, k=1)):
        group[group == group[second]] = group[first]
    return group


def ranks_text(ranks: Sequence[int]) -> str:
    """Rising ranks in short, such as ``1-3, 5``."""
    runs: list[list[int]] = []
    for rank in ranks:
        if runs and rank == runs[-1][-1] + 1:
            runs[-1].append(rank)
        else:
            runs.append([rank])
    return ", ".join(
        f"{run[0]}\N{EN DASH}{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in runs
    )


def draw_places(
    axes: Axes,
    xy: Float[np.ndarray, "place 2"],
    probability: Float[np.ndarray, " place"],
    *,
    shown: Bool[np.ndarray, " place"] | None = None,
    truth: Float[np.ndarray, " 2"] | None = None,
) -> None:
    """Draw places (best first, so that a row's number is its rank) in data coordinates.

    Only places where `shown` is True are drawn, by default all. Labels keep clear of `truth`.

    A place by itself is a circle with its rank inside. Places whose circles would overlap are
    small dots with one label for the ranks of all.
    """
    rank = np.arange(1, len(xy) + 1)
    if shown is not None:
        xy, probability, rank = xy[shown], probability[shown], rank[shown]
    if not len(xy):
        return
    radius = radius_px(probability)
    xy_px = axes.transData.transform(xy)
    group = merge_near(xy_px, 2.0 * LARGEST_PX)
    taken: list[tuple[float, float, float, float]] = [
        (x - LARGEST_PX, y - LARGEST_PX, x + LARGEST_PX, y + LARGEST_PX)
        for x, y in [
            *xy_px,
            *axes.transData.transform(np.empty((0, 2)) if truth is None else [truth]),
        ]
    ]
    for number in dict.fromkeys(group.tolist()):
        members = np.flatnonzero(group == number)
        if len(members) == 1:
            _numbered_circle(axes, xy[members[0]], float(radius[members[0]]), int(rank[members[0]]))
            continue
        draw_dots(axes, xy[members])
        text = ranks_text([int(rank[member]) for member in members])
        _label(axes, xy_px[members], text, taken)


def draw_dots(axes: Axes, xy: Float[np.ndarray, "place 2"], *, area: float = 42.0) -> None:
    """Draw places as plain dots, in data coordinates.

    Args:
        axes: to draw in.
        xy: the places.
        area: of each dot, in square points.
    """
    axes.scatter(
        xy[:, 0],
        xy[:, 1],
        s=area,
        c=ANSWER,
        edgecolors=PAPER,
        linewidths=0.9,
        alpha=0.95,
        zorder=6,
        clip_on=False,
    )


def draw_truth(axes: Axes, xy: Float[np.ndarray, " 2"]) -> None:
    """A star where the image was really taken; its tips show behind any answer on top of it."""
    axes.scatter(
        xy[0],
        xy[1],
        s=760,
        marker="*",
        c=TRUTH,
        edgecolors=PAPER,
        linewidths=1.2,
        zorder=5.5,
        clip_on=False,
    )


def _numbered_circle(axes: Axes, xy: np.ndarray, radius: float, rank: int) -> None:
    # scatter's size is the square of the diameter in points, at 100 pixels an inch.
    size = (2 * radius * 0.72) ** 2
    axes.scatter(
        xy[0],
        xy[1],
        s=size,
        c=ANSWER,
        edgecolors=PAPER,
        linewidths=1.3,
        alpha=0.95,
        zorder=6,
        clip_on=False,
    )
    axes.text(
        xy[0],
        xy[1],
        str(rank),
        ha="center",
        va="center_baseline",
        color=PAPER,
        fontsize=9,
        fontweight="bold",
        fontfamily=FONT,
        zorder=6.5,
    )


def _label(
    axes: Axes,
    members_px: Float[np.ndarray, "place 2"],
    text: str,
    taken: list[tuple[float, float, float, float]],
) -> None:
    width, height = 9.0 + 7.6 * len(text), 20.0
    centre = members_px.mean(axis=0)
    box = free_box(centre, (width, height), taken, np.array(axes.bbox.extents))
    taken.append(box)
    middle_px = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    to_data = axes.transData.inverted()
    axes.annotate(
        text,
        xy=tuple(to_data.transform(centre)),
        xytext=tuple(to_data.transform(middle_px)),
        ha="center",
        va="center",
        fontsize=9,
        fontweight="bold",
        fontfamily=FONT,
        color=PAPER,
        bbox={"boxstyle": "round,pad=0.3", "facecolor": ANSWER, "edgecolor": PAPER},
        arrowprops={"arrowstyle": "-", "color": INK, "linewidth": 0.8},
        zorder=6.5,
    )


def free_box(
    centre_px: Float[np.ndarray, " 2"],
    size_px: tuple[float, float],
    taken: Sequence[tuple[float, float, float, float]],
    bounds_px: Float[np.ndarray, " 4"],
) -> tuple[float, float, float, float]:
    """A box (left, bottom, right, top) near a point that overlaps nothing taken, if there is one.

    Eight directions at growing distances are tried; the box stays inside the bounds. Where all
    are taken the first is given.
    """
    width, height = size_px
    candidates: list[tuple[float, float, float, float]] = []
    for distance in (26.0, 40.0, 60.0, 90.0):
        for right, up in _DIRECTIONS:
            x = centre_px[0] + right * (distance + width / 2)
            y = centre_px[1] + up * (distance + height / 2 if not right else distance)
            x = float(np.clip(x, bounds_px[0] + width / 2, bounds_px[2] - width / 2))
            y = float(np.clip(y, bounds_px[1] + height / 2, bounds_px[3] - height / 2))
            candidates.append((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    free = (box for box in candidates if not any(_overlap(box, other) for other in taken))
    return next(free, candidates[0])


def _overlap(
    box: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    apart = box[2] <= other[0] or other[2] <= box[0] or box[3] <= other[1] or other[3] <= box[1]
    return not apart

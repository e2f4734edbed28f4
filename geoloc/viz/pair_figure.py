"""Two fields value by value as a picture, and how the values of each are spread."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from geoloc.errors import DataError
from geoloc.viz.canvas import (
    ANSWER,
    FAINT_INK,
    FONT,
    GRATICULE,
    INK,
    TRUTH,
    new_figure,
    put_text,
    save_png,
    shorten,
)

_MOST_CLASSES = 60
_CUT = (0.0005, 0.9995)


def draw_pair(
    values: tuple[Float64[np.ndarray, " _one"], Float64[np.ndarray, " _other"]],
    names: tuple[str, str],
    path: Path | str,
    *,
    same_unit: bool,
    told: str,
    unit: str = "",
) -> Path:
    """Write the values of a field against those of another, beside both distributions, as a PNG.

    Args:
        values: of the first and of the other, pair by pair, all known.
        names: of the first and of the other.
        path: PNG to write; folders are made as needed.
        same_unit: whether both have one unit; if not, each distribution has an axis of its own.
        told: what is compared, below the heading.
        unit: of both.

    Raises:
        DataError: there are no values, or not as many of each.
    """
    one, other = values
    if len(one) != len(other) or not len(one):
        raise DataError(f"{len(one)} values against {len(other)}: as many are needed, and some")
    figure = new_figure(1400, 700)
    heading = f"{shorten(names[1], 42)} against {shorten(names[0], 42)}"
    put_text(figure, 0.075, 0.935, heading, fontsize=16, fontweight="bold")
    put_text(figure, 0.075, 0.893, shorten(told, 150), fontsize=11, color=FAINT_INK)
    left = _dressed(figure.add_axes((0.075, 0.11, 0.40, 0.72)))
    _draw_values(left, one, other, names, same_unit=same_unit)
    if same_unit:
        axes = _dressed(figure.add_axes((0.56, 0.11, 0.40, 0.72)))
        _draw_spread(axes, {names[0]: one, names[1]: other})
        axes.set_xlabel(_value(unit), fontfamily=FONT, color=INK)
        return save_png(figure, path)
    for place, (name, each) in enumerate(zip(names, values, strict=True)):
        axes = _dressed(figure.add_axes((0.56, 0.53 - 0.42 * place, 0.40, 0.30)))
        _draw_spread(axes, {name: each}, first=place)
    return save_png(figure, path)


def draw_spreads(
    one: Float64[np.ndarray, " value"],
    other: Float64[np.ndarray, " some"],
    names: tuple[str, str],
    path: Path | str,
    *,
    unit: str = "",
) -> Path:
    """Write the distributions of two fields that share no place, as a PNG.

    Args:
        one: known values of the first.
        other: of the other.
        names: of the first and of the other.
        path: PNG to write; folders are made as needed.
        unit: of both.
    """
    figure: Figure = new_figure(1400, 600)
    heading = f"{shorten(names[1], 42)} and {shorten(names[0], 42)}: how values are spread"
    put_text(figure, 0.075, 0.92, heading, fontsize=16, fontweight="bold")
    axes = _dressed(figure.add_axes((0.075, 0.13, 0.89, 0.70)))
    _draw_spread(axes, {names[0]: one, names[1]: other})
    axes.set_xlabel(_value(unit), fontfamily=FONT, color=INK)
    return save_png(figure, path)


def _value(unit: str) -> str:
    return "value" if unit in ("", "1") else f"value, {unit}"


def _draw_values(
    axes: Axes, one: np.ndarray, other: np.ndarray, names: tuple[str, str], *, same_unit: bool
) -> None:
    size = float(np.clip(20_000.0 / len(one), 1.5, 30.0))
    faint = float(np.clip(3000.0 / len(one), 0.05, 0.8))
    axes.scatter(one, other, s=size, color=ANSWER, alpha=faint, linewidths=0, rasterized=True)
    if same_unit:
        ends = [min(one.min(), other.min()), max(one.max(), other.max())]
        axes.plot(ends, ends, color=FAINT_INK, linewidth=1.2, linestyle=(0, (4, 3)))
        put_text(axes, 0.03, 0.94, "dashed: equal", transform=axes.transAxes, color=FAINT_INK)
    axes.set_xlabel(shorten(names[0], 48), fontfamily=FONT, color=INK)
    axes.set_ylabel(shorten(names[1], 48), fontfamily=FONT, color=INK)


def _draw_spread(axes: Axes, named: dict[str, np.ndarray], *, first: int = 0) -> None:
    """Outlines of histograms of one class width; the outermost thousandth is not shown."""
    both = np.concatenate(list(named.values()))
    low, high = np.quantile(both, _CUT)
    high = high if high > low else low + 1.0
    classes = int(np.clip(np.sqrt(min(map(len, named.values()))), 8, _MOST_CLASSES))
    edges = np.linspace(low, high, classes + 1)
    for place, (name, values) in enumerate(named.items(), first):
        share = np.histogram(values, edges)[0] / len(values)
        colour, style = ((TRUTH, "-"), (ANSWER, (0, (5, 2))))[place]
        axes.stairs(share, edges, color=colour, linewidth=1.8, linestyle=style)
        axes.stairs(share, edges, color=colour, alpha=0.12, fill=True, label=shorten(name, 40))
    legend = axes.legend(loc="upper right", frameon=False, prop={"family": FONT, "size": 11})
    for handle in legend.get_patches():
        handle.set_alpha(0.7)
    axes.set_ylim(0.0, axes.get_ylim()[1] * 1.15)
    axes.set_ylabel("share of the values", fontfamily=FONT, color=INK)


def _dressed(axes: Axes) -> Axes:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    axes.grid(color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelfontfamily=FONT, labelcolor=INK, color=FAINT_INK)
    return axes

"""A downscaling as a picture: fields side by side, their semivariograms, and how they change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from geoloc.downscaling import Judgement, Structure
from geoloc.errors import DataError
from geoloc.viz.canvas import (
    FAINT_INK,
    FONT,
    GRATICULE,
    INK,
    bare_axes,
    new_figure,
    put_text,
    save_png,
)

# Okabe and Ito (2008); told apart by the dashes too.
_STYLES = (
    ("#0072b2", (0, (2, 1.5))),
    ("#009e73", (0, (6, 2, 1.5, 2))),
    ("#d55e00", "-"),
    ("#cc79a7", (0, (6, 2))),
    ("#e69f00", (0, (1, 1))),
)
_WIDTH_PX, _HEIGHT_PX = 1500, 720


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Panel:
    """What the picture shows.

    Attributes:
        title: heading.
        unit: of the values.
        fields: of one step, by name, from left to right.
        truth: structure of the true series.
        methods: what the judge found, by name.
    """

    title: str
    unit: str
    fields: Mapping[str, Float[np.ndarray, "row column"]]
    truth: Structure
    methods: Mapping[str, Judgement]


def draw_downscaling(panel: Panel, path: Path | str) -> Path:
    """Write the fields in one scale of tones, and below them four curves a method.

    The curves: semivariogram, lag-R2, RMSE by step, and spread by step as a part of the truth's.

    Args:
        panel: what to show; one to five methods.
        path: PNG to write; folders are made as needed.

    Raises:
        DataError: there is no field, or no method, or more than five.
    """
    if not panel.fields or not 1 <= len(panel.methods) <= len(_STYLES):
        raise DataError(f"draw one field at least, and one to {len(_STYLES)} methods")
    figure = new_figure(_WIDTH_PX, _HEIGHT_PX)
    put_text(figure, 0.02, 0.955, panel.title, fontsize=16, fontweight="bold")
    count = len(panel.fields)
    low, high = _tones(list(panel.fields.values())[-1])
    norm = Normalize(low, high)
    for at, (name, field) in enumerate(panel.fields.items()):
        box = (0.02 + 0.93 * at / count, 0.53, 0.93 / count - 0.012, 0.34)
        axes = bare_axes(figure, box)
        axes.imshow(field, norm=norm, cmap="viridis", interpolation="nearest")
        axes.set_anchor("N")
        put_text(axes, 0.0, 1.03, name, fontsize=11, transform=axes.transAxes)
    _bar(figure, ScalarMappable(norm, "viridis"), panel.unit)
    _curves(
        [figure.add_axes((0.05 + 0.243 * at, 0.145, 0.19, 0.31)) for at in range(4)],
        panel,
    )
    figure.legend(
        *_legend(panel),
        loc="lower center",
        ncols=len(panel.methods) + 1,
        frameon=False,
        prop={"family": FONT, "size": 11},
    )
    return save_png(figure, path)


def _bar(figure: Figure, tones: ScalarMappable, unit: str) -> None:
    bar = figure.colorbar(tones, cax=figure.add_axes((0.949, 0.56, 0.007, 0.28)), extend="both")
    bar.set_label("" if unit == "1" else unit, fontfamily=FONT, color=INK)
    bar.ax.tick_params(labelfontfamily=FONT, labelsize=8, labelcolor=INK, color=FAINT_INK)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]


def _curves(places: list[Axes], panel: Panel) -> None:
    variogram, lagged, error, spread = places
    unit = "" if panel.unit == "1" else panel.unit
    squared = f", {unit}\N{SUPERSCRIPT TWO}" if unit else ""
    true = panel.truth
    _prepare(variogram, f"semivariance{squared}", "lag, cells")
    _prepare(lagged, "lag-R\N{SUPERSCRIPT TWO}", "steps apart")
    _prepare(error, f"RMSE{', ' + unit if unit else ''}", "step")
    _prepare(spread, "spread, truth = 1", "step")
    for (_, judgement), (colour, dashes) in zip(panel.methods.items(), _STYLES, strict=False):
        style: dict[str, Any] = {"color": colour, "linestyle": dashes, "linewidth": 1.8}
        mine = judgement.structure
        variogram.plot(mine.variogram.lag, mine.variogram.semivariance, **style)
        lagged.plot(_from_one(mine.lag_r2), mine.lag_r2, **style)
        error.plot(_from_one(judgement.rmse_by_step), judgement.rmse_by_step, **style)
        spread.plot(_from_one(judgement.spread_by_step), judgement.spread_by_step, **style)
    variogram.plot(true.variogram.lag, true.variogram.semivariance, color=INK, linewidth=2.4)
    lagged.plot(_from_one(true.lag_r2), true.lag_r2, color=INK, linewidth=2.4)
    spread.axhline(1.0, color=INK, linewidth=2.4)
    variogram.set_ylim(bottom=0.0)
    error.set_ylim(bottom=0.0)


def _prepare(axes: Axes, vertical: str, horizontal: str) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT_INK)
    axes.grid(color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelfontfamily=FONT, colors=INK, labelsize=9)
    axes.set_xlabel(horizontal, fontfamily=FONT, color=INK, fontsize=10)
    axes.set_title(vertical, fontfamily=FONT, color=INK, fontsize=11, loc="left")


def _legend(panel: Panel) -> tuple[list[Any], list[str]]:
    from matplotlib.lines import Line2D

    styles: list[Any] = [style for _, style in zip(panel.methods, _STYLES, strict=False)]
    lines: list[Any] = [Line2D([], [], color=INK, linewidth=2.4)]
    for colour, dashes in styles:
        lines.append(Line2D([], [], color=colour, linestyle=dashes, linewidth=1.8))
    return lines, ["truth", *panel.methods]


def _tones(truth: np.ndarray) -> tuple[float, float]:
    """Least and greatest value told apart: all but the outermost hundredth of the truth."""
    low, high = np.nanquantile(truth, (0.005, 0.995))
    return float(low), float(high)


def _from_one(values: np.ndarray) -> np.ndarray:
    return np.arange(1, len(values) + 1)

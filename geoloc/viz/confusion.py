"""Confusion between countries as a picture: true countries down, answered ones across."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float64
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from geoloc.evaluation.confusion import AT_SEA, CountryConfusion
from geoloc.viz.canvas import (
    ANSWER,
    FAINT_INK,
    FONT,
    INK,
    PAPER,
    new_figure,
    put_text,
    save_png,
    shorten,
)

_SHADES = LinearSegmentedColormap.from_list("shares", [PAPER, "#cfe3ef", ANSWER, "#00344f"])
_CELL_PX, _LEFT_PX, _TOP_PX, _RIGHT_PX, _FOOT_PX = 46, 290, 140, 30, 30
_NAME_LENGTH = 26
_SHOWN_FROM = 0.005


def draw_confusion(
    confusion: CountryConfusion,
    path: Path | str,
    *,
    title: str = "Countries",
    most: int = 20,
) -> Path:
    """Write the matrix of the countries with most images; rows are shares of a country's images.

    Countries beyond `most` share one column, predictions in no country another, so that each row
    adds up to 100 %.

    Args:
        confusion: of `country_confusion`.
        path: PNG to write; folders are made as needed.
        title: heading.
        most: how many countries are shown.
    """
    rows, share = _shown(confusion, most)
    columns = [*(confusion.code[row] for row in rows), "other", "sea"]
    width = _LEFT_PX + _CELL_PX * len(columns) + _RIGHT_PX
    height = _TOP_PX + _CELL_PX * len(rows) + _FOOT_PX
    figure = new_figure(width, height)
    axes = figure.add_axes(
        (
            _LEFT_PX / width,
            _FOOT_PX / height,
            _CELL_PX * len(columns) / width,
            _CELL_PX * len(rows) / height,
        )
    )
    axes.imshow(share, cmap=_SHADES, vmin=0.0, vmax=1.0, aspect="auto")
    _label(axes, confusion, rows, columns)
    _write_shares(axes, share)
    totals = confusion.count.sum(axis=1)
    shown = int(totals[rows].sum())
    put_text(
        figure, 20 / width, 1 - 34 / height, shorten(title, 90), fontsize=16, fontweight="bold"
    )
    note = (
        f"Share of a country's images (%) answered in each country. {len(rows)} of "
        f"{int((totals > 0).sum())} countries, {shown:,} of {int(totals.sum()):,} images."
    )
    put_text(figure, 20 / width, 1 - 60 / height, note, fontsize=11, color=FAINT_INK)
    head = {"fontsize": 10, "color": FAINT_INK}
    put_text(figure, (_LEFT_PX - 6) / width, 1 - 108 / height, "images", ha="right", **head)
    return save_png(figure, path)


def _shown(
    confusion: CountryConfusion, most: int
) -> tuple[list[int], Float64[np.ndarray, "row column"]]:
    """The rows to show, and their shares with the columns of the others and of the sea behind."""
    sea = confusion.code.index(AT_SEA)
    totals = confusion.count.sum(axis=1)
    rows = [row for row in range(len(totals)) if totals[row] > 0][:most]
    share = confusion.shares()[rows]
    named = share[:, rows]
    other = share.sum(axis=1) - named.sum(axis=1) - share[:, sea]
    return rows, np.column_stack([named, np.maximum(other, 0.0), share[:, sea]])


def _label(axes: Axes, confusion: CountryConfusion, rows: list[int], columns: list[str]) -> None:
    totals = confusion.count.sum(axis=1)
    names = [
        f"{shorten(confusion.name[row], _NAME_LENGTH)} {confusion.code[row]}  {totals[row]:,}"
        for row in rows
    ]
    axes.set_yticks(range(len(rows)), names, fontfamily=FONT, fontsize=10, color=INK)
    axes.set_xticks(range(len(columns)), columns, fontfamily=FONT, fontsize=10, color=INK)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for side in axes.spines.values():
        side.set_visible(False)
    # Hairlines between the cells: the diagonal must be easy to follow.
    axes.set_xticks(np.arange(-0.5, len(columns)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(rows)), minor=True)
    axes.grid(which="minor", color="#e3e7ea", linewidth=0.8)
    axes.tick_params(which="minor", length=0)


def _write_shares(axes: Axes, share: Float64[np.ndarray, "row column"]) -> None:
    for row, column in zip(*np.nonzero(share >= _SHOWN_FROM), strict=True):
        value = float(share[row, column])
        put_text(
            axes,
            float(column),
            float(row),
            f"{100 * value:.0f}",
            ha="center",
            va="center",
            fontsize=9,
            color=PAPER if value > 0.45 else INK,
        )

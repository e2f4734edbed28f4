"""Scores by stratum as a picture: one panel a question, a dot and an interval a stratum."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

from geoloc.errors import DataError
from geoloc.evaluation import StrataTable, Stratum
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

_ROW_PX, _HEAD_PX, _GAP_PX, _TOP_PX, _FOOT_PX = 26, 30, 26, 84, 56
_WIDTH_PX, _LEFT_PX, _RIGHT_PX = 1000, 300, 40
_NAME_LENGTH = 28
_SMALL = "#a9b4bd"
_HIGHEST = 5000.0


def draw_strata(
    tables: Sequence[StrataTable],
    overall: Stratum,
    path: Path | str,
    *,
    title: str = "GeoScore by stratum",
    most: int = 12,
) -> Path:
    """Write the GeoScore of each stratum with its 95 % interval, questions below one another.

    Strata too small to be ranked by are pale; a line marks the score of all images.

    Args:
        tables: one a question.
        overall: what all images score.
        path: PNG to write; folders are made as needed.
        title: heading.
        most: rows a question shows, the largest strata; what is left out is said.

    Raises:
        DataError: there is no stratum.
    """
    shown = [(table, table.rows[:most]) for table in tables if table.rows]
    if not shown:
        raise DataError("there is no stratum to draw")
    height = _TOP_PX + _FOOT_PX
    height += sum(_HEAD_PX + _ROW_PX * len(rows) + _GAP_PX for _, rows in shown)
    figure = new_figure(_WIDTH_PX, height)
    place = (20 / _WIDTH_PX, 1 - 36 / height)
    put_text(figure, *place, shorten(title, 70), fontsize=16, fontweight="bold")
    note = (
        f"Dot: mean GeoScore of a stratum; bar: 95 % interval; pale: too few images or blocks to "
        f"rank by; line: all images ({overall.metrics['geoscore']:,.0f})."
    )
    put_text(figure, 20 / _WIDTH_PX, 1 - 60 / height, note, fontsize=10.5, color=FAINT_INK)
    top = _TOP_PX
    for table, rows in shown:
        head = table.by.replace("_", " ")
        if len(rows) < len(table):
            head += f" (the largest {len(rows)} of {len(table)})"
        place = (20 / _WIDTH_PX, 1 - (top + 18) / height)
        put_text(figure, *place, head, fontsize=11, fontweight="bold")
        top += _HEAD_PX + _ROW_PX * len(rows)
        axes = figure.add_axes(
            (
                _LEFT_PX / _WIDTH_PX,
                1 - top / height,
                (_WIDTH_PX - _LEFT_PX - _RIGHT_PX) / _WIDTH_PX,
                _ROW_PX * len(rows) / height,
            )
        )
        _panel(axes, rows, overall, last=table is shown[-1][0])
        top += _GAP_PX
    return save_png(figure, path)


def _panel(axes: Axes, rows: Sequence[Stratum], overall: Stratum, *, last: bool) -> None:
    axes.set_xlim(-40.0, _HIGHEST + 40.0)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.axvline(overall.metrics["geoscore"], color=TRUTH, linewidth=1.2, zorder=1)
    for at, row in enumerate(rows):
        colour = _SMALL if row.small else ANSWER
        score = row.metrics["geoscore"]
        if "geoscore" in row.intervals:
            low, high = row.intervals["geoscore"]
            axes.plot([low, high], [at, at], color=colour, linewidth=2.4, zorder=2)
        axes.scatter([score], [at], s=34, color=colour, zorder=3)
    names = [f"{shorten(row.name, _NAME_LENGTH)}  {row.count:,}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontfamily=FONT, fontsize=10, color=INK)
    axes.tick_params(length=0, labelbottom=last, labelfontfamily=FONT, colors=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda score, _: f"{score:,.0f}"))
    axes.grid(axis="x", color=GRATICULE, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in axes.spines.values():
        side.set_visible(False)
    if last:
        axes.set_xlabel("GeoScore (of 5000)", fontfamily=FONT, color=INK, fontsize=11)

"""The table of an evaluation as a terminal shows it: one metric a line, within 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from geoloc.evaluation.predictions import LEVELS
from geoloc.evaluation.protocols import protocol_named
from geoloc.evaluation.report import EvaluationReport, ReportRow

_CONSTANT = "constant guess (least median)"
_RANDOM = "random gallery place"
_SHORT = {_CONSTANT: "constant guess", _RANDOM: "random place"}


def terminal_table(report: EvaluationReport) -> str:
    """Galleries with their ceilings beside the best constant guess and a random gallery place.

    The column `best` behind a gallery is the most that any model can reach with its places.
    """
    columns: list[tuple[str, Mapping[str, float]]] = []
    for row in report.rows:
        if row.kind == "gallery":
            columns.append((row.name, _values(row)))
            columns.append(("best", row.scores.ceilings.get("gallery", {})))
        elif row.name in _SHORT:
            columns.append((_SHORT[row.name], _values(row)))
    lines = [("", *(name for name, _ in columns))]
    for key, title, is_share in _metrics():
        cells = [_cell(values.get(key), is_share=is_share) for _, values in columns]
        if any(cells):
            lines.append((title, *cells))
    lost = sum(report.lost.values())
    head = f"{report.split}: {report.count:,} images, protocol {report.protocol}"
    return "\n".join([head + (f", {lost:,} lost" if lost else ""), "", *_aligned(lines), ""])


def _metrics() -> list[tuple[str, str, bool]]:
    """(key, title, whether it is a share) of each line."""
    radii = protocol_named("osv5m-official").thresholds_km
    return [
        ("median_km", "median error, km", False),
        ("mean_km", "mean error, km", False),
        ("geoscore", "GeoScore (of 5000)", False),
        *((f"Accuracy_{r:g}_km_radius", f"within {r:g} km, %", True) for r in radii),
        *((f"Accuracy_{level}", f"right {level}, %", True) for level in reversed(LEVELS)),
    ]


def _values(row: ReportRow) -> dict[str, float]:
    return {**row.scores.summary, **row.scores.metrics}


def _cell(value: float | None, *, is_share: bool) -> str:
    if value is None:
        return ""
    if is_share:
        return f"{100 * value:.1f}"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    width = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return [
        "  ".join(
            cell.rjust(width[column]) if column else cell.ljust(width[0])
            for column, cell in enumerate(line)
        ).rstrip()
        for line in lines
    ]

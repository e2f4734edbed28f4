"""The table of an evaluation as a terminal shows it: one metric a line, within 100 columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from geoloc.evaluation.baselines import LEAST_MEAN, LEAST_MEDIAN, RANDOM_PLACE
from geoloc.evaluation.predictions import LEVELS
from geoloc.evaluation.protocols import protocol_named
from geoloc.evaluation.report import EvaluationReport, ReportRow

_LOWER_IS_BETTER = {"median_km", "mean_km"}


def terminal_table(report: EvaluationReport) -> str:
    """Galleries with their ceilings beside the best constant guess and a random gallery place.

    The column `ceiling` behind a gallery is the most that any model can reach with its places.
    `best constant` is, line by line, the better of the constant guesses of least median and of
    least mean distance. A gallery thinned at random is named below the table.
    """
    columns: list[tuple[str, Mapping[str, float]]] = []
    for row in report.rows:
        if row.kind == "gallery":
            columns.append((row.name, _values(row)))
            if "gallery" in row.scores.ceilings:
                columns.append(("ceiling", row.scores.ceilings["gallery"]))
    constant = [_values(row) for row in report.rows if row.name in {LEAST_MEDIAN, LEAST_MEAN}]
    if constant:
        columns.append(("best constant", _better(constant)))
    columns += [("random place", _values(r)) for r in report.rows if r.name == RANDOM_PLACE]
    lines = [("", *(name for name, _ in columns))]
    for key, title, is_share in _metrics():
        cells = [_cell(values.get(key), is_share=is_share) for _, values in columns]
        if any(cells):
            lines.append((title, *cells))
    lost = sum(report.lost.values())
    head = f"{report.split}: {report.count:,} images, protocol {report.protocol}"
    head += f", {lost:,} lost" if lost else ""
    head += "" if report.finished else ", of a run that has NOT FINISHED"
    thinned = [f"{row.name}: {row.told_places()}" for row in report.rows if row.drawn_from]
    return "\n".join([head, "", *_aligned(lines), *thinned, ""])


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


def _better(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The best of each metric among the rows."""
    return {
        key: (min if key in _LOWER_IS_BETTER else max)(row[key] for row in rows if key in row)
        for key, _, _ in _metrics()
        if any(key in row for row in rows)
    }


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

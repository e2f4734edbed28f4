"""An error analysis as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geoloc.evaluation.markdown_table import markdown_table, percent, plain_number

_MEASURES = {"log_km": "log10(1 + km)", "geoscore": "GeoScore"}
_FEW_RATIOS = 8


def analysis_markdown(told: Mapping[str, Any], *, most_rows: int) -> str:
    """The tables of an analysis.

    Args:
        told: as `ErrorAnalysis.to_json` gives it.
        most_rows: rows that a table of strata shows, the largest; what is left out is said.
    """
    parts = [
        f"# Errors of {told['count']:,} images, protocol {told['protocol']}",
        _facts(told),
        *(part for table in told["strata"] for part in _strata(table, told, most_rows)),
        "## Fairness",
        _fairness(told["fairness"]),
        *_ratios(told["fairness"]["ratios"], told["resampling"]["small_below_images"]),
    ]
    if told["error_fields"]:
        parts += ["## How far errors go together", *map(_field, told["error_fields"])]
    return "\n\n".join(parts) + "\n"


def _facts(told: Mapping[str, Any]) -> str:
    drawn, definition = told["resampling"], told["definition"]
    facts = [
        f"- distance: {definition['distance']}; accuracy counts {definition['comparison']}",
        f"- 95 % intervals: {drawn['method']}, {drawn['blocks']:,} blocks of about "
        f"{drawn['block_km']:g} km, {drawn['resamples']:,} draws",
        f"- `*`: a small stratum (below {drawn['small_below_images']} images or "
        f"{drawn['small_below_blocks']} blocks), not to be ranked by",
    ]
    if told["training"] is not None:
        kept, total = told["training"]["places"], told["training"]["drawn_from"]
        thinned = (
            f" drawn at random from {total:,}: distances to the nearest are too long"
            if total
            else ""
        )
        facts.append(f"- training places: {kept:,}{thinned}")
    return "\n".join(facts)


def _strata(table: Mapping[str, Any], told: Mapping[str, Any], most_rows: int) -> list[str]:
    rows = table["rows"]
    shown = rows if table["ordered"] else rows[:most_rows]
    radii = [key for key in told["overall"]["metrics"] if key.startswith("Accuracy_")]
    titles = [f"{key.split('_')[1]} km %" for key in radii]
    lines = [("", "images", "blocks", "median km", "GeoScore", "95 %", *titles)]
    for row in (*shown, told["overall"]):
        metrics, mark = row["metrics"], " *" if row["small"] else ""
        lines.append(
            (
                str(row["name"]).replace("|", "\\|") + mark,
                f"{row['count']:,}",
                f"{row['blocks']:,}",
                plain_number(metrics["median_km"]),
                plain_number(metrics["geoscore"]),
                _ends(row["intervals"].get("geoscore")),
                *(percent(metrics[key]) for key in radii),
            )
        )
    small = sum(row["small"] for row in rows)
    left = f"; the largest {len(shown)} shown" if len(shown) < len(rows) else ""
    return [
        f"## By {table['by']}",
        f"{table['source']}; {len(rows)} strata, {small} of them small{left}",
        markdown_table(lines),
    ]


def _fairness(told: Mapping[str, Any]) -> str:
    names = [f"{name} {plain_number(score)}" for name, score in told["worst_country_names"].items()]
    worst = ", ".join(names[:_FEW_RATIOS]) + (", …" if len(names) > _FEW_RATIOS else "")
    lines = [
        f"- Gini index of GeoScore over images {_figure(told['gini_images'], digits=3)}",
        f"- worst tenth of images: mean GeoScore {_figure(told['worst_images'])}, farther off than "
        f"{_figure(told['worst_images_km'])} km",
        f"- predictions 25 km off any coast or more: {percent(told['predicted_at_sea'])} %",
        f"- images whose predicted country would have to change for shares of countries to be "
        f"right: {_figure(told['misplaced'], scale=100.0)} %",
    ]
    who = f"{told['countries']} countries of {told['min_count']} images or more"
    if told["gini_countries"] is not None:
        lines.append(f"- Gini index over {who}: {_figure(told['gini_countries'], digits=3)}")
    if told["worst_countries"] is not None:
        lines.append(
            f"- worst tenth of {who}: mean GeoScore {_figure(told['worst_countries'])} ({worst})"
        )
    if told["continent_gap"] is not None:
        lines.append(
            f"- {told['best_continent']} is ahead of {told['worst_continent']} by "
            f"{_figure(told['continent_gap'])} GeoScore"
        )
    return "\n".join(lines)


def _ratios(ratios: Sequence[Mapping[str, Any]], least: int) -> list[str]:
    """Countries guessed most too often and too seldom, of those with images enough to tell."""
    known = [row for row in ratios if row["true_count"] >= least]
    order = sorted(known, key=lambda row: row["ratio"]["value"])
    ends = order if len(order) <= 2 * _FEW_RATIOS else order[:_FEW_RATIOS] + order[-_FEW_RATIOS:]
    if not ends:
        return []
    lines: list[tuple[str, ...]] = [("country", "true", "predicted", "predicted / true", "95 %")]
    for row in reversed(ends):
        ratio, counts = row["ratio"], (row["true_count"], row["predicted_count"])
        interval = _ends(ratio["interval"], digits=2)
        lines.append(
            (row["country"], *(f"{n:,}" for n in counts), f"{ratio['value']:.2f}", interval)
        )
    never = [row for row in ratios if not row["true_count"]]
    told = f"{len(never)} countries are predicted, {_sum(never):,} times, that are never true."
    title = "### Countries guessed too often and too seldom"
    return [title, markdown_table(lines), *([told] if never else [])]


def _sum(rows: Sequence[Mapping[str, Any]]) -> int:
    return sum(row["predicted_count"] for row in rows)


def _field(told: Mapping[str, Any]) -> str:
    moran, geary, clusters = told["moran"], told["geary"], told["clusters"]
    reach = told["effective_range_km"]
    if reach is not None:
        low, high = (plain_number(end) if end is not None else "∞" for end in told["interval_km"])
        far = f"{plain_number(reach)} km, 95 % interval {low} to {high} km"
    elif not told["structured"]:
        far = "none to be seen: near errors are no more alike than far ones"
    else:
        far = f"beyond {told['furthest_km']:,.0f} km: it does not level off"
    return "\n".join(
        [
            f"### {_MEASURES[told['measure']]}",
            "",
            f"- Moran's I {moran['value']:.3f} (by chance {moran['expectation']:.3f} ± "
            f"{moran['variance'] ** 0.5:.3f}), Geary's C {geary['value']:.3f}; "
            f"{told['neighbours']}",
            f"- clusters of {clusters['high-high']:,} images among high values and of "
            f"{clusters['low-low']:,} among low ones",
            f"- effective range of errors: {far} ({told['fit']['model']})",
            f"- {_judged(told)}",
        ]
    )


def _judged(told: Mapping[str, Any]) -> str:
    """Whether the blocks of the intervals are long beside the reach of errors."""
    length, block = told["correlation_length_km"], told["block_km"]
    if told["blocks_long_enough"]:
        return f"blocks of {block:g} km are long enough for the intervals above"
    return (
        f"likeness falls to 1/e over {plain_number(length)} km, more than a fifth of a block of "
        f"{block:g} km: the intervals above are too narrow; try a longer --block-km"
    )


def _figure(told: Mapping[str, Any], *, digits: int | None = None, scale: float = 1.0) -> str:
    ends = told["interval"]
    interval = "" if ends is None else f" [{_ends([scale * e for e in ends], digits=digits)}]"
    return _number(scale * told["value"], digits) + interval


def _ends(interval: Sequence[float] | None, *, digits: int | None = None) -> str:
    if not interval:
        return ""
    return " to ".join(_number(end, digits) for end in interval)


def _number(value: float, digits: int | None) -> str:
    return plain_number(value) if digits is None else f"{value:.{digits}f}"

"""The pictures and the page of `geoloc diagnose`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from geoloc.data.placed_series import PlacedSeries
from geoloc.experiment.diagnose_fields import FieldDiagnosis, PairDiagnosis
from geoloc.experiment.diagnose_text import extent_words, field_lines, pair_lines, step_words
from geoloc.viz.pair_figure import draw_pair, draw_spreads
from geoloc.viz.report_page import ReportFigure, ReportSection, write_report_page
from geoloc.viz.temporal_figure import draw_temporal
from geoloc.viz.value_map import draw_value_map
from geoloc.viz.variograms import draw_variogram, draw_variogram_comparison

PAGE = "report.html"
_MOST_CURVES = 6


def write_page(
    folder: Path, fields: Sequence[FieldDiagnosis], pairs: Sequence[PairDiagnosis]
) -> Path:
    """Write all pictures and report.html, which holds them.

    Args:
        folder: of the results; made when absent.
        fields: in the order of the page.
        pairs: those of the fields after the first, in their order.

    Returns:
        The page.
    """
    sections = [_field_section(folder, place, each) for place, each in enumerate(fields, 1)]
    sections += [
        _pair_section(folder, (fields[0], other), pair, place=place)
        for place, (other, pair) in enumerate(zip(fields[1:], pairs, strict=True), 2)
    ]
    curves = _curves(folder, fields, pairs)
    if curves is not None:
        sections.append(ReportSection(title="Semivariograms together", figures=[curves]))
    intro = "Structure in space and in time, in numbers and pictures. "
    intro += "; ".join(f"{each.name}: {extent_words(each.read.series)}" for each in fields) + "."
    title = " and ".join(each.name for each in fields)
    return write_report_page(folder / PAGE, title=title, intro=intro, sections=sections)


def file_stem(place: int, name: str) -> str:
    """What the pictures of a field are called: its place in the report and its name."""
    word = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].strip("-")
    return f"{place}-{word or 'field'}"


def _field_section(folder: Path, place: int, found: FieldDiagnosis) -> ReportSection:
    series, stem = found.read.series, file_stem(place, found.name)
    figures: list[ReportFigure] = []
    if series.latlon_deg is not None:
        figures.append(_map(folder / f"{stem}-map.png", series))
    if found.spatial is not None:
        file = draw_variogram(
            found.spatial.variogram,
            folder / f"{stem}-variogram.png",
            fit=found.spatial.fit,
            title=f"Semivariogram of {found.name}",
        )
        figures.append(_figure(f"{found.name}: semivariogram", file))
    if found.temporal is not None:
        file = draw_temporal(
            found.temporal,
            folder / f"{stem}-time.png",
            title=f"{found.name} in time",
            step=step_words(series),
            unit=series.unit,
        )
        figures.append(_figure(f"{found.name}: ACF, PACF, lag-RMSE and lag-R2", file))
    return ReportSection(
        title=found.name, markdown=_markdown(field_lines(found), found.notes), figures=figures
    )


def _map(path: Path, series: PlacedSeries) -> ReportFigure:
    steps = len(series.time)
    what = "value" if steps == 1 else "mean over time"
    values = series.values
    known = (~np.isnan(values)).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.where(known > 0, known, np.nan)
    unit = f", {series.unit}" if series.unit not in ("", "1") else ""
    places = series.latlon_deg
    if places is None:
        raise TypeError("a series of no place has no map")
    file = draw_value_map(places, mean, path, title=series.name, label=f"{what}{unit}")
    return _figure(f"{series.name}: {what} at the places looked at", file)


def _pair_section(
    folder: Path, both: tuple[FieldDiagnosis, FieldDiagnosis], pair: PairDiagnosis, *, place: int
) -> ReportSection:
    one, other = both
    stem = file_stem(place, other.name)
    path, names = folder / f"{stem}-against-first.png", (one.name, other.name)
    figures: list[ReportFigure] = []
    if pair.match is not None:
        known = ~(np.isnan(pair.match.one) | np.isnan(pair.match.other))
        values = pair.match.one[known], pair.match.other[known]
        told, unit = pair.match.told, one.read.series.unit
        draw_pair(values, names, path, same_unit=pair.same_unit, told=told, unit=unit)
        figures.append(_figure(f"{other.name} against {one.name}", path))
    elif pair.same_unit:
        mine, theirs = (each.read.series.values for each in (one, other))
        known = mine[~np.isnan(mine)], theirs[~np.isnan(theirs)]
        draw_spreads(*known, names, path, unit=one.read.series.unit)
        figures.append(_figure(f"{other.name} and {one.name}: distributions", path))
    lines = pair_lines(pair, one.read.series.unit)
    return ReportSection(
        title=f"{other.name} against {one.name}",
        markdown=_markdown(lines, pair.notes),
        figures=figures,
    )


def _curves(
    folder: Path, fields: Sequence[FieldDiagnosis], pairs: Sequence[PairDiagnosis]
) -> ReportFigure | None:
    """The semivariograms of all fields of the first's unit, where there are several."""
    chosen = [fields[0], *(f for f, pair in zip(fields[1:], pairs, strict=True) if pair.same_unit)]
    named = {
        each.name: (each.spatial.variogram, each.spatial.fit)
        for each in chosen
        if each.spatial is not None
    }
    if len(named) < 2:
        return None
    some = dict(list(named.items())[:_MOST_CURVES])
    file = draw_variogram_comparison(some, folder / "variograms.png")
    return _figure("Semivariograms of all fields", file)


def _figure(caption: str, file: Path) -> ReportFigure:
    return ReportFigure(caption=caption, file=file, wide=True)


def _markdown(lines: Sequence[tuple[str, str]], notes: Sequence[str]) -> str:
    told = [f"- **{subject}**: {words}" if subject else f"- {words}" for subject, words in lines]
    told += [f"- note: {note}" for note in notes]
    return "\n".join(told)

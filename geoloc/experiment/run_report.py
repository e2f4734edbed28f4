"""The page of a run: what its evaluations found, in tables, maps and curves, in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from geoloc.artifacts import write_text
from geoloc.evaluation import ErrorAnalysis, analyse_errors
from geoloc.evaluation.confusion import CountryConfusion, country_confusion
from geoloc.evaluation.strict_json import strict_json
from geoloc.experiment.build import Say
from geoloc.experiment.calibration_section import calibration_sections
from geoloc.experiment.evaluated_split import EvaluatedSplit, evaluated_splits, pages_by_protocol
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.training_places import training_places, training_places_drawn_from
from geoloc.places import Areas
from geoloc.viz import draw_variogram
from geoloc.viz.confusion import draw_confusion
from geoloc.viz.report_page import ReportFigure, ReportSection, write_report_page
from geoloc.viz.strata_figure import draw_strata

PAGE = "report.html"
_MISTAKES = 12
_TOO_MANY_STRATA = "region"


def write_run_report(run: RunDirectory, *, folder: Path | None = None, say: Say) -> Path:
    """Write report.html over all evaluations of a run; figures and numbers stand beside them.

    Each split's folder receives confusion.json and confusion.png, errors.json, errors.md,
    strata.png and, where errors have a field, error_variogram.png, all of the first gallery.

    Args:
        run: an evaluated run.
        folder: of its evaluations; by default the run's own.
        say: told what is done.

    Raises:
        DataError: the run was not evaluated, or what the evaluation wrote cannot be read.
    """
    folder = folder or run.evaluation
    sections: list[ReportSection] = []
    for split in evaluated_splits(folder):
        say(f"reporting on {split.name}")
        sections.append(_split_section(run, split))
    sections += calibration_sections(run)
    record = run.read_record()
    return write_report_page(
        folder / PAGE, title=f"{run.path.name}: evaluation", intro=_intro(record), sections=sections
    )


def _intro(record: Mapping[str, Any]) -> str:
    versions = record.get("versions", {})
    told = [f"geoloc {versions['geoloc']}" if "geoloc" in versions else "geoloc"]
    for key, what in (("commit", "commit"), ("config_hash", "configuration")):
        if record.get(key):
            told.append(f"{what} {str(record[key])[:12]}")
    state = "" if record.get("finished") is True else " The run has NOT FINISHED."
    return ", ".join(told) + "." + state


def _split_section(run: RunDirectory, split: EvaluatedSplit) -> ReportSection:
    first, *others = pages_by_protocol(split)
    gallery = split.galleries[0]
    frame = split.predictions(gallery)
    mistakes = _confusion(split, frame, title=f"{split.name}: answers from {gallery}")
    analysis = _analysis(run, split, frame)
    return ReportSection(
        title=f"{split.name}: {len(frame):,} images",
        markdown=f"**{first[0]}**\n\n{first[1]}",
        figures=_figures(split),
        folded=[
            *others,
            (f"Strata, fairness and how errors go together ({gallery})", analysis),
            (f"Commonest mistakes between countries ({gallery})", mistakes),
        ],
    )


def _figures(split: EvaluatedSplit) -> list[ReportFigure]:
    """Those that are there; an evaluation of few images has no field of errors."""
    known = (
        ("map.png", "true and answered places", True),
        ("curve.png", "share of images within a distance", False),
        ("error_variogram.png", "how far errors go together", False),
        ("confusion.png", "countries taken for one another", False),
        ("strata.png", "where it is good, and where not", False),
    )
    return [
        ReportFigure(caption=f"{split.name}: {caption}", file=split.folder / name, wide=wide)
        for name, caption, wide in known
        if (split.folder / name).is_file()
    ]


def _confusion(split: EvaluatedSplit, frame: pd.DataFrame, *, title: str) -> str:
    """Countries taken for one another, written and drawn; the commonest mistakes as Markdown."""
    true, predicted = (
        frame[[f"{which}_lat_deg", f"{which}_lon_deg"]].to_numpy(np.float64)
        for which in ("true", "pred")
    )
    picture, numbers = split.folder / "confusion.png", split.folder / "confusion.json"
    confusion = country_confusion(true, predicted, Areas.load())
    if confusion is None:
        picture.unlink(missing_ok=True)
        numbers.unlink(missing_ok=True)
        return "No true place lies in a country."
    draw_confusion(confusion, picture, title=title)
    write_text(numbers, strict_json(confusion.to_json(), "confusion"))
    return _mistakes(confusion)


def _analysis(run: RunDirectory, split: EvaluatedSplit, frame: pd.DataFrame) -> str:
    """The error analysis of the first gallery's answers, written, drawn, and as Markdown."""
    protocol = str(split.reports[0]["protocol"])
    found = analyse_errors(
        frame,
        protocol,
        training_latlon_deg=training_places(run, run.config()),
        training_drawn_from=training_places_drawn_from(run),
    )
    markdown = found.to_markdown()
    write_text(split.folder / "errors.json", strict_json(found.to_json(), "errors"))
    write_text(split.folder / "errors.md", markdown)
    _draw_analysis(split, found)
    return markdown.partition("\n")[2].strip()


def _draw_analysis(split: EvaluatedSplit, found: ErrorAnalysis) -> None:
    shown = [table for table in found.strata if table.by != _TOO_MANY_STRATA]
    title = f"{split.name}: GeoScore by stratum"
    draw_strata(shown, found.overall, split.folder / "strata.png", title=title)
    curve = split.folder / "error_variogram.png"
    curve.unlink(missing_ok=True)
    if found.fields:
        first = found.fields[0]
        title = f"{split.name}: semivariogram of log10(1 + error in km)"
        draw_variogram(first.variogram, curve, fit=first.fit, title=title)


def _mistakes(confusion: CountryConfusion) -> str:
    name = dict(zip(confusion.code, confusion.name, strict=True))
    lines = ["| true country | answered | images | of its images |", "|---|---|---:|---:|"]
    lines += [
        f"| {name[each.true]} | {name[each.predicted]} | {each.count:,} | {each.share:.0%} |"
        for each in confusion.mistakes(_MISTAKES)
    ]
    return "\n".join(lines) if len(lines) > 2 else "None."

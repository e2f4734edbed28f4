"""The page of a run: what its evaluations found, in tables, maps and curves, in one file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd

from geoloc.artifacts import write_json
from geoloc.errors import DataError
from geoloc.evaluation import read_predictions
from geoloc.evaluation.confusion import CountryConfusion, country_confusion
from geoloc.experiment.build import Say
from geoloc.experiment.run_directory import RunDirectory
from geoloc.places import Areas
from geoloc.viz.confusion import draw_confusion
from geoloc.viz.report_page import ReportFigure, ReportSection, write_report_page

PAGE = "report.html"
_MISTAKES = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluatedSplit:
    """What an evaluation left in its folder.

    Attributes:
        folder: with report.json, report.md, map.png, curve.png and a folder a gallery.
        reports: the objects of report.json, one a protocol.
    """

    folder: Path
    reports: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """The split."""
        return str(self.reports[0]["split"])

    @property
    def galleries(self) -> tuple[str, ...]:
        """Names of the galleries, the first one being the one that is mapped."""
        return tuple(row["name"] for row in self.reports[0]["rows"] if row["kind"] == "gallery")

    def predictions(self, gallery: str) -> pd.DataFrame:
        """The answers from a gallery.

        Raises:
            DataError: they are missing or damaged.
        """
        return read_predictions(self.folder / gallery / "predictions.parquet")


def evaluated_splits(folder: Path) -> list[EvaluatedSplit]:
    """The evaluations below a folder, by name.

    Raises:
        DataError: there is none, or one is damaged.
    """
    found = [_read_split(file) for file in sorted(folder.glob("*/report.json"))]
    if not found:
        raise DataError(f"no evaluation in {folder}: run `geoloc evaluate` first")
    return found


def write_run_report(run: RunDirectory, *, folder: Path | None = None, say: Say) -> Path:
    """Write report.html over all evaluations of a run; figures and numbers stand beside them.

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
        sections += _split_sections(split)
    record = run.read_record()
    return write_report_page(
        folder / PAGE, title=f"{run.path.name}: evaluation", intro=_intro(record), sections=sections
    )


def _intro(record: dict[str, Any]) -> str:
    versions = record.get("versions", {})
    told = [f"geoloc {versions['geoloc']}" if "geoloc" in versions else "geoloc"]
    for key, what in (("commit", "commit"), ("config_hash", "configuration")):
        if record.get(key):
            told.append(f"{what} {str(record[key])[:12]}")
    state = "" if record.get("finished") is True else " The run has NOT FINISHED."
    return ", ".join(told) + "." + state


def _split_sections(split: EvaluatedSplit) -> list[ReportSection]:
    first, *others = _markdown_by_protocol(split)
    figures = [
        ReportFigure(caption=caption, file=split.folder / name, wide=wide)
        for name, caption, wide in (
            ("map.png", f"{split.name}: true and answered places", True),
            ("curve.png", f"{split.name}: share of images within a distance", False),
        )
        if (split.folder / name).is_file()
    ]
    confusion = _confusion(split)
    figures.append(
        ReportFigure(
            caption=f"{split.name}: countries taken for one another",
            file=split.folder / "confusion.png",
        )
    )
    return [
        ReportSection(
            title=f"{split.name}: {split.reports[0]['count']:,} images",
            markdown=first[1],
            figures=figures,
            folded=[*others, ("Commonest mistakes between countries", _mistakes(confusion))],
        )
    ]


def _confusion(split: EvaluatedSplit) -> CountryConfusion:
    """Countries confused in the first gallery's answers, drawn and written beside the report."""
    gallery = split.galleries[0]
    frame = split.predictions(gallery)
    true, predicted = (
        frame[[f"{which}_lat_deg", f"{which}_lon_deg"]].to_numpy(np.float64)
        for which in ("true", "pred")
    )
    confusion = country_confusion(true, predicted, Areas.load())
    title = f"{split.name}: answers from {gallery}"
    draw_confusion(confusion, split.folder / "confusion.png", title=title)
    write_json(split.folder / "confusion.json", confusion.to_json())
    return confusion


def _mistakes(confusion: CountryConfusion) -> str:
    name = dict(zip(confusion.code, confusion.name, strict=True))
    lines = ["| true country | answered | images | of its images |", "|---|---|---:|---:|"]
    lines += [
        f"| {name[each.true]} | {name[each.predicted]} | {each.count:,} | {each.share:.0%} |"
        for each in confusion.mistakes(_MISTAKES)
    ]
    return "\n".join(lines) if len(lines) > 2 else "None."


def _markdown_by_protocol(split: EvaluatedSplit) -> list[tuple[str, str]]:
    """The parts of report.md: a name for each, and its Markdown without the heading."""
    file = split.folder / "report.md"
    if not file.is_file():
        raise DataError(f"{file} is missing: evaluate the run again")
    parts = re.split(r"(?m)^# (.*)$", file.read_text(encoding="utf-8"))[1:]
    told = list(zip(parts[::2], parts[1::2], strict=True))
    if not told:
        raise DataError(f"{file} is no report: evaluate the run again")
    return [(_protocol_words(heading), body.strip()) for heading, body in told]


def _protocol_words(heading: str) -> str:
    return heading.rpartition(", ")[2].capitalize()


def _read_split(file: Path) -> EvaluatedSplit:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read: {error}") from None
    reports = cast("Sequence[Any]", content) if isinstance(content, list) else ()
    if not reports or not all(isinstance(each, dict) and "rows" in each for each in reports):
        raise DataError(f"{file} is no report of an evaluation: evaluate the run again")
    return EvaluatedSplit(folder=file.parent, reports=tuple(reports))

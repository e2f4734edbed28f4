"""What an evaluation left in its folder: reports, pages and predictions, read back."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pandas as pd

from geoloc.errors import DataError
from geoloc.evaluation import read_predictions


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


def pages_by_protocol(split: EvaluatedSplit) -> list[tuple[str, str]]:
    """The parts of report.md: a name for each, and its Markdown without the heading.

    Raises:
        DataError: the file is missing or holds no report.
    """
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

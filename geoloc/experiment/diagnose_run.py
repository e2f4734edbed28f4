"""`geoloc diagnose`: fields read, looked at one by one and against the first, told and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from geoloc.artifacts import write_json
from geoloc.errors import ConfigError
from geoloc.experiment.build import Say
from geoloc.experiment.diagnose_fields import (
    FieldDiagnosis,
    PairDiagnosis,
    diagnose_field,
    diagnose_pair,
    has_space,
)
from geoloc.experiment.diagnose_page import write_page
from geoloc.experiment.diagnose_source import ReadField, SourceChoice, read_sources
from geoloc.experiment.diagnose_text import block, field_lines, pair_lines
from geoloc.experiment.run_directory import software
from geoloc.geostatistics import LagBins
from geoloc.geostatistics.spatial_structure import lags_between
from geoloc.geostatistics.temporal_structure import MOST_LAGS

RESULT = "result.json"
SCHEMA_VERSION = 1
_MOST_FIELDS = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class DiagnoseRequest:
    """What to look at.

    Attributes:
        sources: fields, the first of which the others are compared with.
        choice: how they are read.
        out: folder of the report; None writes none.
        lags: the longest lag in time, in steps.
    """

    sources: tuple[str, ...]
    choice: SourceChoice = field(default_factory=SourceChoice)
    out: Path | None = None
    lags: int = MOST_LAGS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DiagnoseResult:
    """What was found.

    Attributes:
        fields: one each, in the order of the sources.
        pairs: every field after the first against it.
        provenance: sources, seed and versions.
        page: the report; None where none was written.
    """

    fields: tuple[FieldDiagnosis, ...]
    pairs: tuple[PairDiagnosis, ...]
    provenance: dict[str, Any]
    page: Path | None = None

    def to_text(self) -> str:
        """A block of lines for each field and each pair."""
        blocks = [block(each.name, field_lines(each), each.notes) for each in self.fields]
        unit = self.fields[0].read.series.unit
        for pair in self.pairs:
            title = f"{pair.other} against {pair.one}"
            blocks.append(block(title, pair_lines(pair, unit), pair.notes))
        if self.page is not None:
            blocks.append(f"written: {self.page}")
        return "\n\n".join(blocks)

    def to_json(self) -> dict[str, Any]:
        """The whole as JSON can hold it: what result.json says."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": "diagnosis",
            "provenance": self.provenance,
            "fields": [each.to_json() for each in self.fields],
            "pairs": [each.to_json() for each in self.pairs],
        }


def run_diagnose(request: DiagnoseRequest, *, say: Say) -> DiagnoseResult:
    """Look at fields and series, and write OUT/result.json, report.html and its pictures.

    Raises:
        ConfigError: a name or a number is impossible.
        CoordinateError: a place is out of range.
        DataError: a source cannot be read or has no values.
    """
    _refuse(request)
    read = read_sources(request.sources, request.choice)
    if len(read) > _MOST_FIELDS:
        raise ConfigError(f"{len(read)} fields: {_MOST_FIELDS} at most are looked at together")
    bins = _bins(read)
    fields: list[FieldDiagnosis] = []
    for each in read:
        say(f"looking at {each.series.name}")
        fields.append(diagnose_field(each, bins, most_lags=request.lags))
    pairs = [diagnose_pair(fields[0], other) for other in fields[1:]]
    page = None if request.out is None else write_page(request.out, fields, pairs)
    result = DiagnoseResult(
        fields=tuple(fields), pairs=tuple(pairs), provenance=_provenance(request), page=page
    )
    if request.out is not None:
        write_json(request.out / RESULT, result.to_json())
    return result


def _refuse(request: DiagnoseRequest) -> None:
    if request.lags < 1:
        raise ConfigError(f"--lags {request.lags}: one at least")
    if request.choice.places < 1:
        raise ConfigError(f"--places {request.choice.places}: one at least")
    if not 0 <= request.choice.seed < 2**63:
        raise ConfigError(f"--seed {request.choice.seed}: at least 0 and below 2**63")
    if request.out is not None:
        there = next(
            each for each in (request.out, *request.out.absolute().parents) if each.exists()
        )
        if not there.is_dir():
            raise ConfigError(f"--out {request.out}: {there} is a file, not a folder")


def _bins(read: Sequence[ReadField]) -> LagBins | None:
    """Classes of lag for all fields that have structure in space, so that these compare."""
    places = [
        each.series.latlon_deg
        for each in read
        if each.series.latlon_deg is not None and has_space(each.series)
    ]
    return lags_between(*places) if places else None


def _provenance(request: DiagnoseRequest) -> dict[str, Any]:
    choice = request.choice
    return {
        "sources": list(request.sources),
        "columns": list(choice.columns),
        "time": choice.time,
        "places": choice.places,
        "lags": request.lags,
        "seed": choice.seed,
        **software("scipy"),
    }

"""The report of an evaluation: strict JSON for machines, Markdown tables for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from geoloc.evaluation.predictions import LEVELS
from geoloc.evaluation.protocols import protocol_named
from geoloc.evaluation.scoring import Scores
from geoloc.evaluation.strict_json import strict_json

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportRow:
    """One line of the table.

    Attributes:
        name: the gallery, or the baseline.
        kind: which of the two.
        scores: what it scores.
        places: how many places the gallery holds; None for a baseline.
        duplicates_dropped: of the gallery.
        drawn_from: how many places there were before the gallery's were chosen at random.
    """

    name: str
    kind: Literal["gallery", "baseline"]
    scores: Scores
    places: int | None = None
    duplicates_dropped: int | None = None
    drawn_from: int | None = None

    def told_places(self) -> str:
        """A gallery's places in words, such as ``500,000 of 4,900,000 training places``."""
        if self.drawn_from is None:
            return f"{self.places or 0:,} places"
        kept = (self.places or 0) + (self.duplicates_dropped or 0)
        kind = "training places" if self.name == "training-places" else "places"
        return f"{kept:,} of {self.drawn_from:,} {kind}, chosen at random"


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationReport:
    """One split under one protocol: galleries and baselines side by side.

    Attributes:
        split: what was evaluated.
        rows: the lines of the table; all of one protocol and one count.
        model_fingerprint: of the model.
        lost: samples lost on the way, by kind (empty when none were).
        recall: recall@k of the split's own places, and how many there are.
        provenance: whatever else the caller knows (versions, commit, seed, times); ``finished``
            false there marks the report as that of a model still in training.
    """

    split: str
    rows: Sequence[ReportRow]
    model_fingerprint: str
    lost: Mapping[str, int] = field(default_factory=dict[str, int])
    recall: Mapping[str, float] = field(default_factory=dict[str, float])
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def __post_init__(self) -> None:
        if len({(row.scores.protocol, row.scores.count) for row in self.rows}) != 1:
            raise ValueError("a report needs rows, all of one protocol and of one count")

    @property
    def protocol(self) -> str:
        """The protocol's name."""
        return self.rows[0].scores.protocol

    @property
    def finished(self) -> bool:
        """Whether the model's training had ended, as far as the provenance says."""
        return self.provenance.get("finished") is not False

    @property
    def count(self) -> int:
        """Images scored."""
        return self.rows[0].scores.count

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON objects."""
        return {
            "schema_version": SCHEMA_VERSION,
            "split": self.split,
            "protocol": self.protocol,
            "count": self.count,
            "lost": {"total": sum(self.lost.values()), "by_kind": dict(self.lost)},
            "model_fingerprint": self.model_fingerprint,
            "recall": dict(self.recall),
            "rows": [
                {
                    "name": row.name,
                    "kind": row.kind,
                    "places": row.places,
                    "duplicates_dropped": row.duplicates_dropped,
                    "drawn_from": row.drawn_from,
                    "scores": row.scores.to_json(),
                }
                for row in self.rows
            ],
            "provenance": dict(self.provenance),
        }

    def to_json(self) -> str:
        """Strict JSON: a number that is not finite is refused, not written.

        Raises:
            DataError: naming where the number stands.
        """
        return strict_json(self.to_dict(), "report")

    def to_markdown(self) -> str:
        """Tables that read well in a terminal and as Markdown."""
        parts = [
            f"# {self.split}: {self.count:,} images, protocol {self.protocol}",
            self._facts(),
            _table([("", *_HEADER), *_lines(self.rows)]),
        ]
        if ceilings := _ceiling_lines(self.rows):
            parts += ["## Ceilings: the most that can be reached", _table(ceilings)]
        if intervals := _interval_lines(self.rows):
            parts += [
                "## 95 % intervals (plain bootstrap over spatial blocks of about 500 km)",
                _table(intervals),
            ]
        if areas := _area_lines(self.rows):
            parts += ["## By polygon (Natural Earth)", _table(areas)]
        return "\n\n".join(parts) + "\n"

    def _facts(self) -> str:
        definition = self.rows[0].scores.definition
        lost = ", ".join(f"{kind} {count:,}" for kind, count in self.lost.items() if count)
        facts = [
            f"- distance: {definition['distance']}; accuracy counts {definition['comparison']}",
            f"- model: {self.model_fingerprint[:16]}",
            f"- lost samples: {sum(self.lost.values()):,}" + (f" ({lost})" if lost else ""),
        ]
        if not self.finished:
            facts.append("- **the run has not finished: this is a model still in training**")
        if "administrative" in definition:
            facts.insert(1, f"- administrative levels: {definition['administrative']}")
        if labelled := self.rows[0].scores.labelled:
            told = ", ".join(f"{level} {count:,}" for level, count in labelled.items())
            facts.append(f"- labelled images: {told}")
        for row in self.rows:
            if row.places is not None:
                dropped = row.duplicates_dropped or 0
                facts.append(
                    f"- gallery {row.name}: {row.told_places()}, {dropped:,} duplicates dropped"
                )
        if self.recall:
            told = ", ".join(
                f"{key} {_percent(value)} %"
                for key, value in self.recall.items()
                if key.startswith("recall@")
            )
            among = f" among {self.recall['places']:,.0f} places" if "places" in self.recall else ""
            facts.append(f"- own place of the image{among}: {told}")
        return "\n".join(facts)


def reports_json(reports: Sequence[EvaluationReport]) -> str:
    """Several reports as one strict JSON list.

    Raises:
        DataError: naming where a number that is not finite stands.
    """
    return strict_json([report.to_dict() for report in reports], "reports")


def scores_text(scores: Scores) -> str:
    """One table of predictions' scores for a terminal: value, interval and ceiling of each key."""
    intervals: Mapping[str, list[float]] = scores.intervals.get("values", {})
    perfect = scores.ceilings.get("perfect_prediction", {})
    values = {**scores.metrics, "median_km": scores.summary["median_km"]}
    if "Haversine" not in values:
        values["mean_km"] = scores.summary["mean_km"]
    lines = [("metric", "value", "95 % interval", "perfect prediction")]
    for key, value in values.items():
        show = _percent if key.startswith("Accuracy") else _plain
        low_high = " to ".join(show(end) for end in intervals[key]) if key in intervals else ""
        ceiling = show(perfect[key]) if key in perfect else ""
        unit = " (%)" if key.startswith("Accuracy") else ""
        lines.append((key + unit, show(value), low_high, ceiling))
    told = [
        f"protocol {scores.protocol}: {scores.count:,} images",
        f"{scores.definition['distance']}; {scores.definition['comparison']}",
    ]
    if scores.labelled:
        counts = ", ".join(f"{level} {count:,}" for level, count in scores.labelled.items())
        told.append(f"labelled: {counts}")
    return "\n".join(told) + "\n\n" + _table(lines)


_RADII = tuple(
    (f"Accuracy_{radius:g}_km_radius", f"{radius:g} km %")
    for radius in protocol_named("osv5m-official").thresholds_km
)
_ADMIN = tuple((f"Accuracy_{level}", f"{level} %") for level in LEVELS)
_HEADER = ("median km", "mean km", "GeoScore", *(title for _, title in (*_RADII, *_ADMIN)))


def _lines(rows: Sequence[ReportRow]) -> list[tuple[str, ...]]:
    lines: list[tuple[str, ...]] = []
    for kind in ("gallery", "baseline"):
        for row in rows:
            if row.kind == kind:
                lines.append((row.name, *_cells({**row.scores.summary, **row.scores.metrics})))
    return lines


def _cells(values: Mapping[str, float]) -> list[str]:
    cells = [_plain(values.get(key)) for key in ("median_km", "mean_km", "geoscore")]
    return cells + [_percent(values.get(key)) for key, _ in (*_RADII, *_ADMIN)]


def _ceiling_lines(rows: Sequence[ReportRow]) -> list[tuple[str, ...]]:
    perfect = {"median_km": 0.0, "mean_km": 0.0, "geoscore": 5000.0}
    known = rows[0].scores.ceilings.get("perfect_prediction")
    lines: list[tuple[str, ...]] = [("", *_HEADER)]
    if known is not None:
        lines.append(("the true place", *_cells({**perfect, **known})))
    for row in rows:
        if "gallery" in row.scores.ceilings:
            lines.append((f"best of {row.name}", *_cells(row.scores.ceilings["gallery"])))
    return lines if len(lines) > 1 else []


def _interval_lines(rows: Sequence[ReportRow]) -> list[tuple[str, ...]]:
    shown = (("median_km", "median km"), *_RADII, *_ADMIN)
    lines: list[tuple[str, ...]] = []
    for row in rows:
        values: Mapping[str, list[float]] = row.scores.intervals.get("values", {})
        if values:
            cells = [
                " to ".join(
                    (_plain if key == "median_km" else _percent)(end) for end in values[key]
                )
                if key in values
                else "·"
                for key, _ in shown
            ]
            lines.append((row.name, *cells))
    return [("", *(title for _, title in shown)), *lines] if lines else []


def _area_lines(rows: Sequence[ReportRow]) -> list[tuple[str, ...]]:
    lines = [
        (row.name, *(_percent(row.scores.areas[level]["accuracy"]) for level in LEVELS[:2]))
        for row in rows
        if row.scores.areas is not None
    ]
    return [("", "country %", "region %"), *lines] if lines else []


def _table(lines: Sequence[Sequence[str]]) -> str:
    """A Markdown table padded so that its columns stand straight in a terminal."""
    used = [
        column
        for column in range(len(lines[0]))
        if column == 0 or any(line[column] not in ("", "·") for line in lines[1:])
    ]
    width = {column: max(3, *(len(line[column]) for line in lines)) for column in used}

    def draw(line: Sequence[str]) -> str:
        cells = [
            line[column].ljust(width[column]) if column == 0 else line[column].rjust(width[column])
            for column in used
        ]
        return "| " + " | ".join(cells) + " |"

    rule = ["-" * width[c] if c == 0 else "-" * (width[c] - 1) + ":" for c in used]
    head = "|" + "|".join(f" {dashes} " for dashes in rule) + "|"
    return "\n".join([draw(lines[0]), head, *(draw(line) for line in lines[1:])])


def _plain(value: float | None) -> str:
    if value is None:
        return "·"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "·" if value is None else f"{100.0 * value:.1f}"

"""What `geoloc score` tells: the scores of each table, and tables of one set of images in pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from geoloc.evaluation.error_correlation import CONTINUED, told_blocks
from geoloc.evaluation.markdown_table import markdown_table, percent, plain_number
from geoloc.evaluation.pairing import PairedComparison, PairedDifference
from geoloc.evaluation.scoring import Scores
from geoloc.evaluation.strict_json import strict_json
from geoloc.evaluation.truth import Unmatched

SCHEMA_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredFile:
    """One table of predictions.

    Attributes:
        name: what it is called in comparisons.
        path: where it lies.
        scores: under each protocol.
        unmatched: what its keys lacked; None where the table holds its own true places.
    """

    name: str
    path: str
    scores: Sequence[Scores]
    unmatched: Unmatched | None = None

    def to_json(self) -> dict[str, Any]:
        """The file's scores as JSON can hold them."""
        counts = self.unmatched or Unmatched(missing=0, extra=0)
        return {
            "name": self.name,
            "path": self.path,
            "missing_scored_as_worst": counts.missing,
            "extra_left_out": counts.extra,
            "scores": [each.to_json() for each in self.scores],
        }

    def told_unmatched(self) -> list[str]:
        """What was missing, in words; nothing where nothing was."""
        counts = self.unmatched
        if counts is None or not (counts.missing or counts.extra):
            return []
        return [
            f"{self.name}: {counts.missing:,} true places without a prediction count as wrong; "
            f"{counts.extra:,} predictions without a true place are left out"
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreReport:
    """Tables of predictions scored, and compared where there are several.

    Attributes:
        files: in the order they were given.
        comparisons: of each pair under each protocol.
    """

    files: Sequence[ScoredFile]
    comparisons: Sequence[PairedComparison] = field(default_factory=list[PairedComparison])

    def to_json(self) -> str:
        """Strict JSON.

        Raises:
            DataError: naming where a number that is not finite stands.
        """
        told = {
            "schema_version": SCHEMA_VERSION,
            "files": [each.to_json() for each in self.files],
            "comparisons": [each.to_json() for each in self.comparisons],
        }
        return strict_json(told, "scores")

    def to_text(self) -> str:
        """For a terminal: one file's scores, or the comparisons of several."""
        parts = [line for file in self.files for line in file.told_unmatched()]
        if self.comparisons:
            parts += [_comparison(each) for each in self.comparisons] + [_READING]
        else:
            parts += [scores_text(each) for file in self.files for each in file.scores]
        return "\n\n".join(parts) + "\n"

    def to_markdown(self) -> str:
        """Every file's scores, then the comparisons."""
        parts: list[str] = []
        for file in self.files:
            parts += [f"# {file.name}", *file.told_unmatched()]
            parts += [_facts_as_list(scores_text(each)) for each in file.scores]
        if self.comparisons:
            pairs = (_facts_as_list(_comparison(each)) for each in self.comparisons)
            parts += ["# In pairs", *pairs, _READING]
        return "\n\n".join(parts) + "\n"


def _facts_as_list(text: str) -> str:
    """The lines above a table as a list, since Markdown would run them together."""
    facts, _, table = text.partition("\n\n")
    whole = facts.replace(f"\n{CONTINUED}", " ")
    return "\n".join(f"- {line}" for line in whole.splitlines()) + "\n\n" + table


def scores_text(scores: Scores) -> str:
    """One table of predictions' scores for a terminal: value, interval and ceiling of each key."""
    intervals: Mapping[str, list[float]] = scores.intervals.get("values", {})
    perfect = scores.ceilings.get("perfect_prediction", {})
    values = {**scores.metrics, "median_km": scores.summary["median_km"]}
    if "Haversine" not in values:
        values["mean_km"] = scores.summary["mean_km"]
    lines = [("metric", "value", "95 % interval", "perfect prediction")]
    for key, value in values.items():
        show = percent if key.startswith("Accuracy") else plain_number
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
    if how := scores.told_intervals():
        told.append(how)
    return "\n".join(told) + "\n\n" + markdown_table(lines)


_READING = (
    "Δ with 95 % interval and p by spatial blocks, the same images on both sides; Holm: that p\n"
    "corrected for all lines of its protocol. McNemar is exact but takes images for independent:\n"
    "where neighbours err together its p is too small."
)
_TITLES = {
    "Haversine": "mean km",
    "Geoguessr": "GeoScore",
    "median_km": "median km",
}


def _comparison(told: PairedComparison) -> str:
    head = [f"protocol {told.protocol}: {told.second} minus {told.first}, {told.count:,} images"]
    head.append(told_blocks(told.how).replace("errors resemble", "differences resemble"))
    lines = [("", told.first, told.second, "Δ [95 % interval]", "McNemar p", "p", "Holm")]
    lines += [_line(each) for each in told.differences]
    return "\n".join(head) + "\n\n" + markdown_table(lines)


def _line(told: PairedDifference) -> tuple[str, ...]:
    is_share = told.mcnemar_p_value is not None
    scale, unit = (100.0, " pp") if is_share else (1.0, "")
    digits = 1 if is_share or max(abs(told.first), abs(told.second)) < 100 else 0
    first, second = (f"{scale * value:,.{digits}f}" for value in (told.first, told.second))
    low, high = (f"{scale * value:,.{digits}f}" for value in (told.low, told.high))
    change = f"{scale * told.difference:+,.{digits}f}{unit} [{low}, {high}]"
    mcnemar = "" if told.mcnemar_p_value is None else _p(told.mcnemar_p_value)
    return (_title(told), first, second, change, mcnemar, _p(told.p_value), _p(told.holm_p_value))


def _title(told: PairedDifference) -> str:
    name = _TITLES.get(told.metric, told.metric.removeprefix("Accuracy_"))
    return f"Δ@{name.removesuffix('_km_radius')} km" if name.endswith("_km_radius") else f"Δ {name}"


def _p(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"

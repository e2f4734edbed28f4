"""What was measured of a run as parts of its model card: scores, calibration, front matter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from geoloc.evaluation.markdown_table import markdown_table, percent, plain_number
from geoloc.evaluation.strata import Stratum
from geoloc.experiment.card_facts import CardFacts, MeasuredFacts

NOT_MEASURED = "**not measured**"
_RADII = ("25", "200", "750", "2500")


def front_matter(facts: CardFacts) -> str:
    """YAML between two lines of dashes, with a ``model-index`` of what was measured.

    The licence is ``unknown``: a run does not say under which one its weights are passed on.
    """
    told: dict[str, Any] = {
        "library_name": "geoloc",
        "license": "unknown",
        "tags": ["image-geolocalization", "geospatial", "dual-encoder"],
    }
    if results := [_index_entry(each) for each in facts.measured]:
        told["model-index"] = [{"name": facts.name, "results": results}]
    return f"---\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}---"


def _index_entry(measured: MeasuredFacts) -> dict[str, Any]:
    scores = measured.overall.metrics
    values = {f"accuracy within {r} km": scores.get(_accuracy(r)) for r in _RADII}
    values |= {"median error in km": scores.get("median_km"), "GeoScore": scores.get("geoscore")}
    kind = str(measured.report["protocol"])
    return {
        "task": {"type": "image-geolocalization", "name": "Where was it taken?"},
        "dataset": {"type": measured.split, "name": f"{measured.split} ({kind})"},
        "metrics": [
            {"type": name, "value": round(value, 4)}
            for name, value in values.items()
            if value is not None
        ],
    }


def evaluation_text(measured: Sequence[MeasuredFacts]) -> str:
    """The scores of each test split, of all galleries and by continent."""
    if not measured:
        return f"{NOT_MEASURED}: run `geoloc evaluate RUN`, then `geoloc card RUN` again."
    return "\n\n".join(_measured(each) for each in measured)


def _measured(measured: MeasuredFacts) -> str:
    report = measured.report
    rows: list[tuple[str, ...]] = [("", "images", *_HEADS)]
    for row in report["rows"]:
        scores = row["scores"]
        summary = scores["summary"]
        told = scores["metrics"] | summary
        rows.append((str(row["name"]), f"{scores['count']:,}", *_cells(told, {})))
    total = measured.overall
    lines = [_scored(each) for each in (total, *measured.continents.rows)]
    return "\n\n".join(
        [
            f"### Test split {measured.split}: {report['count']:,} images, protocol "
            f"{report['protocol']}",
            "All galleries, and answers that look at no image:",
            markdown_table(rows),
            f"By continent of the true place, answers from {measured.gallery}, with 95 % intervals "
            "(bootstrap over spatial blocks of about 500 km; no interval in fewer than "
            "five blocks; few: under 50 images or five blocks, not to be ranked by):",
            markdown_table([("continent", "images", *_HEADS), *lines]),
        ]
    )


_HEADS = ("median km", *(f"% < {radius} km" for radius in _RADII), "GeoScore")


def _scored(stratum: Stratum) -> tuple[str, ...]:
    few = " (few)" if stratum.small else ""
    cells = _cells(stratum.metrics, stratum.intervals)
    return (f"{stratum.name}{few}", f"{stratum.count:,}", *cells)


def _cells(
    metrics: Mapping[str, float], intervals: Mapping[str, Sequence[float]]
) -> tuple[str, ...]:
    def cell(key: str, *, share: bool = False) -> str:
        def text(value: float | None) -> str:
            return percent(value) if share else plain_number(value)

        ends = intervals.get(key)
        spread = "" if not ends else f" ({text(ends[0])} to {text(ends[1])})"
        return f"{text(metrics.get(key))}{spread}"

    shares = (cell(_accuracy(radius), share=True) for radius in _RADII)
    return (cell("median_km"), *shares, cell("geoscore"))


def _accuracy(radius: str) -> str:
    return f"Accuracy_{radius}_km_radius"


def calibration_text(calibrations: Sequence[tuple[str, str]]) -> str:
    """What calibration measured, or that it was not."""
    if not calibrations:
        return (
            f"{NOT_MEASURED}: probabilities are the model's own softmax and may be far too sure or "
            "too unsure, radii are not promised. `geoloc calibrate RUN` fits and measures both."
        )
    return "\n\n".join(
        f"### {title}\n\n{text.replace('### ', '#### ')}" for title, text in calibrations
    )

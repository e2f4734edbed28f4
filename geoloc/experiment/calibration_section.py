"""The part of a run's page that says how sure its answers are, from the calibrations it keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from geoloc.artifacts import read_json
from geoloc.errors import DataError
from geoloc.evaluation.calibration_file import FILE
from geoloc.evaluation.markdown_table import markdown_table, percent, plain_number
from geoloc.experiment.run_directory import RunDirectory
from geoloc.viz.report_page import ReportFigure, ReportSection

_PICTURE = "reliability.png"


def calibration_sections(run: RunDirectory) -> list[ReportSection]:
    """One section a calibrated gallery, by name; none where the run was not calibrated.

    Raises:
        DataError: a calibration is damaged.
    """
    sections: list[ReportSection] = []
    for file in sorted(run.calibration.glob(f"*/{FILE}")):
        told, picture = read_json(file, what="calibration"), file.parent / _PICTURE
        caption = f"{file.parent.name}: do probabilities mean what they say?"
        figures = [ReportFigure(caption=caption, file=picture, wide=True)]
        try:
            markdown = _markdown(told)
        except (KeyError, TypeError, IndexError):
            raise DataError(f"{file} is damaged: run `geoloc calibrate` again") from None
        sections.append(
            ReportSection(
                title=f"Calibration of {file.parent.name}",
                markdown=markdown,
                figures=figures if picture.is_file() else (),
            )
        )
    return sections


def _markdown(told: Mapping[str, Any]) -> str:
    temperature = told["temperature"]
    facts = [
        f"- fitted on {told['validation']['count']:,} images of {told['validation']['source']}",
        f"- temperature {temperature['temperature']:.3f}: factor on the cosine "
        f"{temperature['trained_scale']:.2f} → {temperature['scale']:.2f}",
    ]
    return "\n\n".join(
        [
            "\n".join(facts),
            "### Probability that the true place lies within r km of the answer",
            markdown_table([_RELIABILITY, *_reliability(told["tests"])]),
            f"### Radius around the answer that holds the true place ({told['radius']['score']})",
            markdown_table([_COVERAGE, *_coverage(told["tests"])]),
        ]
    )


_RELIABILITY = ("split", "r, km", "gallery reaches %", "true %", "said %", "ECE", "Brier")
_COVERAGE = ("split", "asked %", "held %", "95 %", "median km", "mean km")


def _reliability(tests: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            str(test["split"]),
            f"{now['radius_km']:g}",
            percent(now["reach"]),
            percent(now["outcome"]),
            f"{percent(before['confidence'])} → {percent(now['confidence'])}",
            f"{before['ece']:.3f} → {now['ece']:.3f}",
            f"{before['brier']:.3f} → {now['brier']:.3f}",
        )
        for test in tests
        for before, now in zip(test["trained"], test["calibrated"], strict=True)
    ]


def _coverage(tests: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            str(test["split"]),
            f"{100 * line['level']:g}",
            percent(line["covered"]),
            _interval(line["covered_interval"]),
            plain_number(line["median_km"]),
            plain_number(line["mean_km"]),
        )
        for test in tests
        for line in test["coverage"]
        if line["group"] == "all"
    ]


def _interval(ends: Sequence[float] | None) -> str:
    return "" if ends is None else f"{percent(ends[0])} to {percent(ends[1])}"

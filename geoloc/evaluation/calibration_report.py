"""A calibration fitted on one split and measured on others, for people and for machines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from geoloc.evaluation.answered import AnsweredSplit, continents
from geoloc.evaluation.calibration import Reliability, split_reliability
from geoloc.evaluation.calibration_file import Calibration
from geoloc.evaluation.conformal import (
    ALL,
    LEVELS,
    ConformalRadius,
    ScoreName,
    familiar_score,
)
from geoloc.evaluation.coverage import Coverage, measure_coverage
from geoloc.evaluation.mass_profile import MassProfile
from geoloc.evaluation.resampling import spatial_blocks
from geoloc.evaluation.temperature import (
    LEAST_REACH,
    Objective,
    TemperatureFit,
    fit_temperature,
)
from geoloc.retrieval import Gallery


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationTest:
    """What a calibration is worth on a split that it was not fitted on.

    Attributes:
        split: the split's name.
        source: its shards.
        count: number of images.
        fingerprint: of its samples (`split_fingerprint`).
        trained: reliability at the model's own scale, a radius each.
        calibrated: reliability at the fitted scale.
        coverage: of the conformal radii, by level and continent.
    """

    split: str
    source: str
    count: int
    fingerprint: str
    trained: tuple[Reliability, ...]
    calibrated: tuple[Reliability, ...]
    coverage: tuple[Coverage, ...]

    def to_json(self) -> dict[str, Any]:
        """The figures as a mapping that `json` can write."""
        return {
            "split": self.split,
            "source": self.source,
            "count": self.count,
            "fingerprint": self.fingerprint,
            "trained": [each.to_json() for each in self.trained],
            "calibrated": [each.to_json() for each in self.calibrated],
            "coverage": [each.to_json() for each in self.coverage],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibrationReport:
    """A calibration with all that was measured on the way.

    Attributes:
        calibration: what queries use.
        temperature: the fit of the scale.
        validation: what it was fitted on: ``source``, ``count``, ``fingerprint``.
        tests: by the order in which they were asked for.
    """

    calibration: Calibration
    temperature: TemperatureFit
    validation: Mapping[str, Any]
    tests: tuple[CalibrationTest, ...]

    def to_json(self) -> dict[str, Any]:
        """The content of calibration.json."""
        return self.calibration.to_json()

    def to_text(self) -> str:
        """Tables for a terminal."""
        lines = [*_temperature_lines(self), "", *_reliability_lines(self.tests), ""]
        return "\n".join([*lines, *_coverage_lines(self)]) + "\n"


def fit_calibration(
    split: AnsweredSplit,
    gallery: Gallery,
    *,
    trained_scale: float,
    level: float = 0.9,
    score: ScoreName = "mass",
    objective: Objective = "answer",
    block_km: float | None = None,
) -> tuple[Calibration, TemperatureFit]:
    """Temperature and conformal radius from images that the model was not trained on.

    Args:
        split: the images with the gallery's answers.
        gallery: the same gallery.
        trained_scale: the model's own factor on the cosine.
        level: what answers are given with; 50, 80, 90 and 95 % are calibrated besides.
        score: see `conformal_scores`.
        objective: see `log_losses`.
        block_km: side of the blocks, for radii that hold in blocks without any image here; None
            for images that come from where these do.

    Raises:
        DataError: the split is empty.
        ValueError: the level is not between 0 and 1, or block_km not positive.
    """
    temperature = fit_temperature(split, trained_scale=trained_scale, objective=objective)
    radius = ConformalRadius.fit(
        score,
        profile_of(split, temperature.scale),
        split.distance_km,
        levels=sorted({*LEVELS, level}),
        group=continents(split.answer_deg),
        block=None if block_km is None else spatial_blocks(split.true_deg, block_km=block_km),
    )
    calibration = Calibration(
        scale=temperature.scale,
        radius=radius,
        level=level,
        model_fingerprint=gallery.model_fingerprint,
        places_fingerprint=gallery.places_fingerprint,
        gallery=gallery.name,
        familiar_score=familiar_score(split.best_score),
    )
    return calibration, temperature


def check_calibration(
    calibration: Calibration,
    split: AnsweredSplit,
    *,
    trained_scale: float,
    name: str,
    source: str,
    fingerprint: str,
) -> CalibrationTest:
    """Reliability before and after, and the coverage of the radii, on another split.

    Args:
        calibration: fitted on other images.
        split: the test images with the gallery's answers.
        trained_scale: the model's own factor on the cosine.
        name: of the split.
        source: its shards.
        fingerprint: of its samples.
    """
    profile = profile_of(split, calibration.scale)
    return CalibrationTest(
        split=name,
        source=source,
        count=len(split),
        fingerprint=fingerprint,
        trained=split_reliability(split, trained_scale),
        calibrated=split_reliability(split, calibration.scale),
        coverage=measure_coverage(calibration.radius, split, profile),
    )


def profile_of(split: AnsweredSplit, scale: float) -> MassProfile:
    """The softmax of each image around its answer."""
    return MassProfile.around(
        split.query, split.answer_deg, split.place, split.gallery_deg, scale=scale
    )


def _temperature_lines(report: CalibrationReport) -> list[str]:
    fit, known = report.temperature, report.validation
    within = ", ".join(f"{radius:g}" for radius in fit.radii_km)
    event = f"within {within} km of the answer" if within else "the nearest place of the gallery"
    bound = "; at the end of the search: the softmax says nothing of place" if fit.at_bound else ""
    return [
        f"gallery {report.calibration.gallery}, fitted on {fit.queries:,} images of "
        f"{known['source']}",
        f"temperature {fit.temperature:.3f}: factor on the cosine {fit.trained_scale:.2f} -> "
        f"{fit.scale:.2f}, log loss {fit.trained_loss:.3f} -> {fit.loss:.3f} ({event}){bound}",
    ]


def _reliability_lines(tests: Sequence[CalibrationTest]) -> list[str]:
    width = max([5, *(len(test.split) for test in tests)])
    lines = [
        "probability that the true place lies within r km of the answer, trained -> calibrated",
        f"{'split':<{width}}  {'r km':>5}  {'reach':>6}  {'true':>6}  {'said':>15}  "
        f"{'ECE':>13}  {'chance':>6}  {'Brier':>14}  {'log loss':>14}",
    ]
    for test in tests:
        for old, new in zip(test.trained, test.calibrated, strict=True):
            coarse = " *" if new.reach < LEAST_REACH else ""
            lines.append(
                f"{test.split:<{width}}  {new.radius_km:>5g}  {new.reach:>6.1%}  "
                f"{new.outcome:>6.1%}  {old.confidence:>6.1%} -> {new.confidence:>5.1%}  "
                f"{old.ece:>5.3f} -> {new.ece:.3f}  {new.ece_by_chance:>6.3f}  "
                f"{old.brier:>5.3f} -> {new.brier:.3f}  {old.log_loss:>5.3f} -> {new.log_loss:.3f}"
                f"{coarse}"
            )
    if any(each.reach < LEAST_REACH for test in tests for each in test.calibrated):
        lines.append(
            f"* fewer than {LEAST_REACH:.0%} of the true places have a place of the gallery so "
            "near: no temperature can mend that row"
        )
    return lines


def _coverage_lines(report: CalibrationReport) -> list[str]:
    radius, asked = report.calibration.radius, report.calibration.level
    rows: list[tuple[str, ...]] = [
        ("split", "level", "continent of", "", "images", "held", "95 % interval", "median", "mean")
    ]
    for test in report.tests:
        for line in test.coverage:
            if line.group == ALL or line.level == asked:
                rows.append(_coverage_row(test.split, line))
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    new = "" if radius.blocks is None else f", for new blocks (fitted on {radius.blocks})"
    heading = f"radius around the answer that holds the true place, by {radius.score}{new}, km"
    return [heading, *(_aligned(row, widths) for row in rows)]


def _coverage_row(split: str, line: Coverage) -> tuple[str, ...]:
    interval = line.covered_interval
    between = "" if interval is None else f"{interval[0]:.1%} to {interval[1]:.1%}"
    return (
        split,
        f"{line.level:.4g}",
        line.by or "",
        line.group,
        f"{line.count:,}",
        f"{line.covered:.1%}",
        between,
        f"{line.median_km:,.0f}",
        f"{line.mean_km:,.0f}",
    )


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    left = (0, 2, 3)
    cells = (
        f"{cell:<{width}}" if at in left else f"{cell:>{width}}"
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    )
    return "  ".join(cells).rstrip()

"""StudyResult, and what a study found as JSON, as a Markdown page and for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from geoloc.evaluation import Comparison
from geoloc.experiment.ablation_schema import AblationConfig
from geoloc.experiment.loading import config_hash, config_tree
from geoloc.experiment.run_directory import provenance
from geoloc.experiment.schema import ExperimentConfig

SCHEMA_VERSION = 1
_SHOWN = (
    "accuracy@25km",
    "accuracy@200km",
    "accuracy@750km",
    "accuracy@2500km",
    "median_km",
    "geoscore",
    "recall@1",
    "recall@5",
    "recall@10",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """What a study found.

    Attributes:
        metrics: by arm and metric, one value a seed; metrics of all splits but the first carry the
            split's name before a slash.
        comparisons: of every arm with every baseline.
        seconds: that each run took to train, by arm, one a seed.
        splits: names, the first first.
        out: where everything was written.
    """

    metrics: dict[str, dict[str, list[float]]]
    comparisons: list[Comparison]
    seconds: dict[str, list[float]]
    splits: list[str]
    out: Path


def study_json(
    study: AblationConfig, result: StudyResult, first: ExperimentConfig
) -> dict[str, Any]:
    """Everything a script may want: see docs/ablation.md for the names."""
    return {
        "schema_version": SCHEMA_VERSION,
        "name": study.name,
        "arms": result.metrics,
        "comparisons": [asdict(each) for each in result.comparisons],
        "seeds": list(study.seeds),
        "splits": result.splits,
        "gallery": study.gallery,
        "keys": {arm: dict(keys) for arm, keys in study.arms.items()},
        "cost": {"seconds": result.seconds},
        "experiment": config_tree(first),
        "provenance": {**provenance(first), "config_hash": config_hash(first)},
    }


def study_markdown(study: AblationConfig, result: StudyResult) -> str:
    """Tables of each split: means over seeds, and differences to each baseline."""
    lines = [f"# {study.name}", ""]
    seeds = ", ".join(map(str, study.seeds))
    lines.append(
        f"{len(study.arms)} arms, seeds {seeds}, gallery {study.gallery}. Means and standard "
        "deviations over seeds; accuracies and recalls in percent. Differences are arm minus "
        "baseline, positive is better (accuracies in points, median in km nearer), with 95 % "
        f"intervals by drawing blocks of {study.block_km:g} km and seeds ({study.resamples} times)."
        " Bold: the interval leaves out 0."
    )
    for split in result.splits:
        prefix = "" if split == result.splits[0] else f"{split}/"
        lines += ["", f"## {split}", ""]
        lines += _table(["arm", *_SHOWN], _mean_rows(result, prefix))
        for baseline in study.baselines:
            lines += ["", f"Difference to `{baseline}`", ""]
            lines += _table(["arm", *_SHOWN], _difference_rows(result, baseline, prefix))
    return "\n".join(lines) + "\n"


def study_terminal(study: AblationConfig, result: StudyResult) -> str:
    """The accuracies of each split, with differences to the first baseline."""
    baseline = study.baselines[0]
    by_key = {(c.arm, c.metric): c for c in result.comparisons if c.baseline == baseline}
    names = ("accuracy@200km", "accuracy@750km", "accuracy@2500km", "median_km")
    first = max(16, *(len(each) + 2 for each in (*result.metrics, *result.splits)))
    lines: list[str] = []
    for split in result.splits:
        prefix = "" if split == result.splits[0] else f"{split}/"
        lines.append(f"{split:{first}}" + "".join(f"{name:<23}" for name in names).rstrip())
        for arm, metrics in result.metrics.items():
            cells = [
                _cell(name, metrics[prefix + name], by_key.get((arm, prefix + name)))
                for name in names
            ]
            lines.append(f"{arm:{first}}" + "".join(f"{cell:<23}" for cell in cells).rstrip())
        lines.append("")
    lines.append(
        f"in parentheses: 95 % interval of the difference to {baseline}, + is better, "
        "* where it leaves out 0"
    )
    lines.append(f"tables, plot and all numbers: {result.out}")
    return "\n".join(lines)


def _cell(metric: str, values: Sequence[float], difference: Comparison | None) -> str:
    """A mean, and the interval of its difference: accuracies in percent and in points."""
    mean = _number(metric, float(np.mean(values)))
    if difference is None:
        return f"{mean:>5}"
    scale, digits = (100.0, 1) if "@" in metric else (1.0, 0)
    low, high = difference.low * scale, difference.high * scale
    star = "*" if difference.low > 0 or difference.high < 0 else ""
    return f"{mean:>5} ({low:+.{digits}f}..{high:+.{digits}f}){star}"


def _number(metric: str, value: float) -> str:
    return f"{value * 100:.1f}" if "@" in metric else f"{value:.0f}"


def _mean_rows(result: StudyResult, prefix: str) -> Iterable[list[str]]:
    for arm, metrics in result.metrics.items():
        cells = [arm]
        for name in _SHOWN:
            values = np.array(metrics[prefix + name])
            spread = float(values.std(ddof=1)) if len(values) > 1 else 0.0
            cells.append(f"{_number(name, float(values.mean()))} ± {_number(name, spread)}")
        yield cells


def _difference_rows(result: StudyResult, baseline: str, prefix: str) -> Iterable[list[str]]:
    by_key: dict[tuple[str, str], Comparison] = {
        (each.arm, each.metric): each for each in result.comparisons if each.baseline == baseline
    }
    for arm in result.metrics:
        if arm == baseline:
            continue
        cells = [arm]
        for name in _SHOWN:
            each = by_key[arm, prefix + name]
            scale = 100.0 if "@" in name else 1.0
            digits = 2 if "@" in name else 0
            low, high = each.low * scale, each.high * scale
            told = f"{each.delta * scale:+.{digits}f} ({low:+.{digits}f}, {high:+.{digits}f})"
            cells.append(f"**{told}**" if low > 0 or high < 0 else told)
        yield cells


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", "|" + " --- |" * len(head)]
    return lines + [f"| {' | '.join(row)} |" for row in rows]

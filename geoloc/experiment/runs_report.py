"""Several runs side by side: what each scores on the same images, and the paired differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from geoloc.artifacts import write_text
from geoloc.errors import ConfigError, DataError
from geoloc.evaluation import (
    PredictionTable,
    ScoredFile,
    ScoreReport,
    compare_tables,
    prediction_table,
    protocol_named,
    same_images,
    score_table,
)
from geoloc.experiment.build import Say
from geoloc.experiment.evaluated_split import EvaluatedSplit, evaluated_splits
from geoloc.geodesy import great_circle_km
from geoloc.viz import draw_error_curve
from geoloc.viz.report_page import ReportFigure, ReportSection, write_report_page

PAGE = "report.html"
_CURVES = 6


def write_runs_report(
    evaluations: Mapping[str, Path],
    folder: Path,
    *,
    say: Say,
    gallery: str | None = None,
    protocols: Sequence[str] = (),
) -> Path:
    """Compare evaluated runs on the splits that all of them have, in pairs.

    The folder receives report.html and, for each split, SPLIT.json, SPLIT.md and SPLIT-curve.png.

    Args:
        evaluations: folder of each run's evaluations by the run's name; two or more.
        folder: of the results; made when absent.
        say: told what is done.
        gallery: whose answers are compared; by default the first that all runs have.
        protocols: names; by default the first one of the first run's report.

    Raises:
        ConfigError: there is one run alone, no such protocol, or no such gallery.
        DataError: a run was not evaluated, they share no split, or their images differ.
    """
    if len(evaluations) < 2:
        raise ConfigError("a comparison needs two runs or more")
    splits = {
        name: {split.name: split for split in evaluated_splits(where)}
        for name, where in evaluations.items()
    }
    first = next(iter(splits.values()))
    shared = [name for name in first if all(name in each for each in splits.values())]
    if not shared:
        told = "; ".join(f"{name} has {', '.join(each)}" for name, each in splits.items())
        raise DataError(f"the runs share no evaluated split: {told}")
    sections: list[ReportSection] = []
    for split in shared:
        say(f"comparing on {split}")
        evaluated = {name: each[split] for name, each in splits.items()}
        sections.append(_section(evaluated, folder, gallery=gallery, protocols=protocols))
    intro = "Differences are of the same images, later run minus earlier; positive accuracies and "
    intro += "GeoScores, and negative distances, are better."
    return write_report_page(
        folder / PAGE, title=" and ".join(evaluations), intro=intro, sections=sections
    )


def _section(
    evaluated: Mapping[str, EvaluatedSplit],
    folder: Path,
    *,
    gallery: str | None,
    protocols: Sequence[str],
) -> ReportSection:
    split = next(iter(evaluated.values()))
    chosen = _gallery(evaluated, gallery)
    named = [protocol_named(name) for name in protocols or [str(split.reports[0]["protocol"])]]
    tables = same_images(
        {name: prediction_table(each.predictions(chosen)) for name, each in evaluated.items()}
    )
    files = [
        ScoredFile(
            name=name,
            path=str(evaluated[name].folder / chosen / "predictions.parquet"),
            scores=score_table(table, named),
            unmatched=None,
        )
        for name, table in tables.items()
    ]
    comparisons = [each for protocol in named for each in compare_tables(tables, protocol)]
    report = ScoreReport(files=files, comparisons=comparisons)
    write_text(folder / f"{split.name}.json", report.to_json())
    write_text(folder / f"{split.name}.md", report.to_markdown())
    return ReportSection(
        title=f"{split.name}: {len(next(iter(tables.values()))):,} images, answers from {chosen}",
        markdown=report.to_markdown(),
        figures=[_curve(tables, split.name, folder)],
    )


def _gallery(evaluated: Mapping[str, EvaluatedSplit], asked: str | None) -> str:
    """The gallery whose answers all runs have."""
    first = next(iter(evaluated.values()))
    shared = [g for g in first.galleries if all(g in each.galleries for each in evaluated.values())]
    if asked is not None and asked not in shared:
        raise ConfigError(f"not all runs answered {first.name} from {asked}: they share {shared}")
    if not shared:
        raise DataError(f"the runs share no gallery on {first.name}: evaluate them with --gallery")
    return asked or shared[0]


def _curve(tables: Mapping[str, PredictionTable], split: str, folder: Path) -> ReportFigure:
    some = dict(list(tables.items())[:_CURVES])
    errors = {name: great_circle_km(each.true_deg, each.pred_deg) for name, each in some.items()}
    file = draw_error_curve(errors, folder / f"{split}-curve.png", title=f"{split}: error distance")
    caption = f"{split}: share of images within a distance"
    left_out = len(tables) - len(some)
    return ReportFigure(
        caption=f"{caption} (the first {_CURVES} runs)" if left_out else caption,
        file=file,
        wide=True,
    )

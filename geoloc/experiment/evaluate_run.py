"""Evaluation of a finished run: every split against every gallery under every protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

from geoloc.artifacts import write_text
from geoloc.errors import ConfigError
from geoloc.evaluation import (
    EvaluationReport,
    ReportRow,
    baseline_places,
    baseline_scores,
    evaluate_split,
    place_recall,
    protocol_named,
    score_predictions,
    terminal_table,
    write_predictions,
)
from geoloc.experiment.build import Say, choose_device, plain_stream
from geoloc.experiment.galleries import (
    EVEN_LAND,
    TRAINING_PLACES,
    gallery_named,
    place_encoder,
    training_places,
)
from geoloc.experiment.progress import counted
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.geodesy import great_circle_km
from geoloc.models import DualEncoder, load_model
from geoloc.places import Areas
from geoloc.retrieval import Embedded, Gallery, embed_stream
from geoloc.viz import draw_error_curve, draw_prediction_map


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What to evaluate; whatever is left empty is as the run's configuration says.

    Attributes:
        run_folder: the run.
        data: shards, each as ``SHARDS`` or ``NAME=SHARDS``.
        galleries: names or folders.
        protocols: names.
        out: folder of the results.
        workers: decoding processes.
    """

    run_folder: Path
    data: tuple[str, ...] = ()
    galleries: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    out: Path | None = None
    workers: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The reports of an evaluation, by split and then by protocol."""

    reports: tuple[EvaluationReport, ...]
    out: Path

    def to_json(self) -> str:
        """All reports as one JSON list."""
        return json.dumps([report.to_dict() for report in self.reports], indent=2, allow_nan=False)

    def to_text(self) -> str:
        """The tables of each split under the first protocol, and where the others are."""
        first = self.reports[0].protocol
        shown = [terminal_table(report) for report in self.reports if report.protocol == first]
        others = dict.fromkeys(r.protocol for r in self.reports if r.protocol != first)
        also = f", also under {' and '.join(others)}" if others else ""
        return "\n".join(shown) + f"\nreports{also}, predictions, maps and curves: {self.out}"


def evaluate_run(request: EvaluationRequest, *, say: Say) -> EvaluationResult:
    """Predict, score, and write each split's predictions, report (JSON, Markdown), map and curve.

    Raises:
        ConfigError: no split to evaluate, or an unknown gallery or protocol.
        DataError: the run or the shards cannot be used.
    """
    run = RunDirectory(path=request.run_folder)
    config = run.config()
    protocols = [protocol_named(n) for n in request.protocols or config.evaluation.protocols]
    splits = _splits(request.data, config)
    device = choose_device(config)
    model = load_model(run.model, device=device)
    names = request.galleries or (TRAINING_PLACES, EVEN_LAND)
    galleries = [gallery_named(name, run, config, model, device=device) for name in names]
    out = request.out or run.evaluation
    reports: list[EvaluationReport] = []
    for split, source in splits.items():
        say(f"evaluating {split}: {source}")
        embedded, lost = _embed(config, model, source, workers=request.workers, device=device)
        evaluation = _Evaluation(
            run=run,
            config=config,
            model=model,
            device=device,
            galleries=tuple(galleries),
            protocols=tuple(protocol.name for protocol in protocols),
        )
        split_reports = _score(evaluation, embedded, split=split, lost=lost, folder=out / split)
        text = json.dumps([r.to_dict() for r in split_reports], indent=2, allow_nan=False)
        write_text(out / split / "report.json", text + "\n")
        pages = "\n".join(report.to_markdown() for report in split_reports)
        write_text(out / split / "report.md", pages)
        reports.extend(split_reports)
    return EvaluationResult(reports=tuple(reports), out=out)


def embed_shards(
    run_folder: Path, source: str, *, out: Path, workers: int | None, say: Say
) -> Embedded:
    """Image embeddings of shards under a run's model, written to a folder.

    Raises:
        DataError: the run or the shards cannot be used.
    """
    run = RunDirectory(path=run_folder)
    config = run.config()
    device = choose_device(config)
    model = load_model(run.model, device=device)
    say(f"embedding {source}")
    embedded, _ = _embed(config, model, source, workers=workers, device=device)
    embedded.save(out, model_fingerprint=model.fingerprint())
    return embedded


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    """What all splits of one evaluation share."""

    run: RunDirectory
    config: ExperimentConfig
    model: DualEncoder
    device: str
    galleries: tuple[Gallery, ...]
    protocols: tuple[str, ...]


def _splits(data: Sequence[str], config: ExperimentConfig) -> dict[str, str]:
    if not data:
        if not config.data.tests:
            raise ConfigError("the run names no test split (data.tests): give --data SHARDS")
        return dict(config.data.tests)
    splits: dict[str, str] = {}
    for word in data:
        name, equals, source = word.partition("=")
        if not equals or "/" in name:
            name, source = Path(word.rstrip("/")).name or "data", word
        if name in splits:
            raise ConfigError(f"two splits are called {name}: write --data NAME=SHARDS")
        splits[name] = source
    return splits


def _embed(
    config: ExperimentConfig,
    model: DualEncoder,
    source: str,
    *,
    workers: int | None,
    device: str,
) -> tuple[Embedded, dict[str, int]]:
    stream = plain_stream(config, model.preset, source, workers=workers)
    batches = counted(stream.epoch(0), what="images", total=stream.sample_count)
    embedded = embed_stream(batches, lambda batch: model.embed_batch(batch.to(device)))
    return embedded, dict(stream.ledger.by_kind)


def _score(
    evaluation: _Evaluation,
    embedded: Embedded,
    *,
    split: str,
    lost: dict[str, int],
    folder: Path,
) -> list[EvaluationReport]:
    config, galleries = evaluation.config, evaluation.galleries
    folder.mkdir(parents=True, exist_ok=True)
    frames: dict[str, Any] = {}
    for gallery in galleries:
        frame = evaluate_split(embedded, gallery, top_k=config.evaluation.top_k)
        write_predictions(frame, folder / f"predictions-{gallery.name}.parquet")
        frames[gallery.name] = frame
    known = training_places(evaluation.run, config)
    _draw(folder, split, frames, known, seed=config.seed)
    recall = place_recall(embedded, place_encoder(evaluation.model, evaluation.device))
    reports: list[EvaluationReport] = []
    for protocol in evaluation.protocols:
        rows = [_gallery_row(g, frames[g.name], protocol) for g in galleries]
        first = galleries[0]
        baselines = baseline_scores(
            frames[first.name], known, first.latlon_deg, protocol=protocol, seed=config.seed
        )
        rows += [
            ReportRow(name=name, kind="baseline", scores=scores)
            for name, scores in baselines.items()
        ]
        reports.append(
            EvaluationReport(
                split=split,
                rows=rows,
                model_fingerprint=evaluation.model.fingerprint(),
                lost=lost,
                recall=recall,
                provenance=evaluation.run.read_record(),
            )
        )
    return reports


def _draw(
    folder: Path,
    split: str,
    frames: dict[str, Any],
    training_latlon_deg: Float64[np.ndarray, "place 2"],
    *,
    seed: int,
) -> None:
    """The map of the first gallery's errors, and the error curves of galleries and baselines."""
    name, frame = next(iter(frames.items()))
    draw_prediction_map(frame, folder / "map.png", title=f"{split}: answers from {name}")
    true = frame[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64)
    errors = {
        name: great_circle_km(true, each[["pred_lat_deg", "pred_lon_deg"]].to_numpy(np.float64))
        for name, each in frames.items()
    }
    guesses = baseline_places(len(frame), training_latlon_deg, training_latlon_deg, seed=seed)
    for name in ("constant guess (least median)", "random gallery place"):
        errors[name] = great_circle_km(true, guesses[name])
    draw_error_curve(errors, folder / "curve.png", title=f"{split}: error distance")


def _gallery_row(gallery: Gallery, frame: Any, protocol: str) -> ReportRow:
    scores = score_predictions(
        frame, protocol, gallery_latlon_deg=gallery.latlon_deg, areas=Areas.load()
    )
    return ReportRow(
        name=gallery.name,
        kind="gallery",
        scores=scores,
        places=len(gallery),
        duplicates_dropped=gallery.duplicates_dropped,
    )

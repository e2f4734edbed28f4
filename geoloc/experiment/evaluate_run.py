"""Evaluation of a finished run: every split against every gallery under every protocol."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geoloc.errors import ConfigError
from geoloc.evaluation import (
    EvaluationReport,
    ReportRow,
    baseline_scores,
    evaluate_split,
    place_recall,
    protocol_named,
    score_predictions,
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
from geoloc.experiment.run_directory import RunDirectory, write_text_atomically
from geoloc.experiment.schema import ExperimentConfig
from geoloc.models import DualEncoder, load_model
from geoloc.places import Areas
from geoloc.retrieval import Embedded, Gallery, embed_stream


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
        shown = [report.to_markdown() for report in self.reports if report.protocol == first]
        others = dict.fromkeys(r.protocol for r in self.reports if r.protocol != first)
        also = f" (also under {', '.join(others)})" if others else ""
        return "\n".join(shown) + f"\nReports and predictions{also}: {self.out}"


def evaluate_run(request: EvaluationRequest, *, say: Say) -> EvaluationResult:
    """Predict, score, write `predictions-GALLERY.parquet`, `report.json`, `report.md` per split.

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
        split_reports = _score(
            _Evaluation(run=run, config=config, model=model, device=device, folder=out / split),
            split,
            embedded,
            galleries,
            [protocol.name for protocol in protocols],
            lost,
        )
        text = json.dumps([r.to_dict() for r in split_reports], indent=2, allow_nan=False)
        write_text_atomically(out / split / "report.json", text + "\n")
        pages = "\n".join(report.to_markdown() for report in split_reports)
        write_text_atomically(out / split / "report.md", pages)
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
    """What all splits of one evaluation share, and the folder of one of them."""

    run: RunDirectory
    config: ExperimentConfig
    model: DualEncoder
    device: str
    folder: Path


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
    embedded = embed_stream(stream.epoch(0), lambda batch: model.embed_batch(batch.to(device)))
    return embedded, dict(stream.ledger.by_kind)


def _score(
    evaluation: _Evaluation,
    split: str,
    embedded: Embedded,
    galleries: Sequence[Gallery],
    protocols: Sequence[str],
    lost: dict[str, int],
) -> list[EvaluationReport]:
    config = evaluation.config
    evaluation.folder.mkdir(parents=True, exist_ok=True)
    frames: dict[str, Any] = {}
    for gallery in galleries:
        frame = evaluate_split(embedded, gallery, top_k=config.evaluation.top_k)
        write_predictions(frame, evaluation.folder / f"predictions-{gallery.name}.parquet")
        frames[gallery.name] = frame
    recall = place_recall(embedded, place_encoder(evaluation.model, evaluation.device))
    known = training_places(evaluation.run, config)
    reports: list[EvaluationReport] = []
    for protocol in protocols:
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

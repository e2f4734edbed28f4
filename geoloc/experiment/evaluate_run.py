"""Evaluation of a run: every split against every gallery under every protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from geoloc.artifacts import write_text
from geoloc.errors import ConfigError
from geoloc.evaluation import (
    LEAST_MEDIAN,
    RANDOM_PLACE,
    EvaluationReport,
    ReportRow,
    baseline_places,
    evaluate_split,
    place_recall,
    protocol_named,
    reports_json,
    score_guesses,
    terminal_table,
    write_predictions,
)
from geoloc.experiment.build import Say
from geoloc.experiment.decodings import (
    continuous_decodings,
    decoded_frames,
    tell_gains,
)
from geoloc.experiment.embed_run import embed_source
from geoloc.experiment.galleries import (
    EVEN_LAND,
    TRAINING_PLACES,
    gallery_label,
    gallery_named,
    place_encoder,
)
from geoloc.experiment.gallery_rows import gallery_rows
from geoloc.experiment.mode_rows import mode_rows, refuse_shared_images
from geoloc.experiment.run_report import write_run_report
from geoloc.experiment.split_names import splits_asked
from geoloc.experiment.trained_run import TrainedRun, open_trained_run
from geoloc.experiment.training_places import training_places
from geoloc.geodesy import great_circle_km
from geoloc.inference.continuous import Decoding
from geoloc.inference.modes import RetrievalMode
from geoloc.inference.runs import is_finished
from geoloc.retrieval import (
    Candidates,
    Embedded,
    Gallery,
    NearestIndex,
    build_index,
)
from geoloc.viz import draw_error_curve, draw_prediction_map


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationRequest:
    """What to evaluate; whatever is left empty is as the run's configuration says.

    Attributes:
        run_folder: the run.
        data: shards, each as ``SHARDS`` or ``NAME=SHARDS``.
        galleries: names or folders.
        protocols: names.
        decodings: names; each is a row of its own beside each gallery's.
        out: folder of the results.
        workers: decoding processes.
        device: ``auto``, ``cpu`` or ``cuda``: where the model computes and galleries are searched.
        index: how galleries are searched (see `parse_index`).
        backbone_weights: the file of a frozen backbone's weights, where it is not where it was
            during training.
        unfinished: evaluate the best model so far of a run that has not finished; the report
            says so.
        mode: settings of the retrieval modes that get rows beside the galleries; None has none.
    """

    run_folder: Path
    data: tuple[str, ...] = ()
    galleries: tuple[str, ...] = ()
    protocols: tuple[str, ...] = ()
    decodings: tuple[str, ...] = ()
    out: Path | None = None
    workers: int | None = None
    device: str = "auto"
    index: str = "exact"
    backbone_weights: Path | None = None
    unfinished: bool = False
    mode: RetrievalMode | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationResult:
    """The reports of an evaluation, by split and then by protocol."""

    reports: tuple[EvaluationReport, ...]
    out: Path

    def to_json(self) -> str:
        """All reports as one JSON list."""
        return reports_json(self.reports)

    def to_text(self) -> str:
        """The tables of each split under the first protocol, and where the others are."""
        first = self.reports[0].protocol
        shown = [terminal_table(report) for report in self.reports if report.protocol == first]
        others = dict.fromkeys(r.protocol for r in self.reports if r.protocol != first)
        also = f", also under {' and '.join(others)}" if others else ""
        return (
            "\n".join(shown)
            + f"\nreports{also}, predictions, maps and curves: {self.out} (one page: report.html)"
        )


def evaluate_run(request: EvaluationRequest, *, say: Say) -> EvaluationResult:
    """Predict, score, and write what OUT/SPLIT holds.

    That is GALLERY/predictions.parquet for each gallery, report.json (a list, one report a
    protocol), report.md, map.png, curve.png and what `write_run_report` adds; OUT/report.html shows
    all of it. All is computed in float32.

    Raises:
        CheckpointError: the run has not finished, or its model cannot be read.
        ConfigError: no split to evaluate, an unknown gallery, protocol or device, or two splits
            or galleries of one name.
        DataError: the run or the shards cannot be used.
    """
    names = _distinct_galleries(request.galleries or (TRAINING_PLACES, EVEN_LAND))
    asked = [protocol_named(name).name for name in request.protocols]
    decodings = continuous_decodings(request.decodings)
    trained = open_trained_run(
        request.run_folder,
        device=request.device,
        backbone_weights=request.backbone_weights,
        unfinished=request.unfinished,
    )
    splits = splits_asked(request.data, trained.config)
    evaluation = _Evaluation(
        trained=trained,
        searched=_searched(names, trained, request),
        index=request.index,
        mode=request.mode,
        protocols=tuple(asked or trained.config.evaluation.protocols),
        decodings=decodings,
    )
    out = request.out or trained.run.evaluation
    reports: list[EvaluationReport] = []
    for split, source in splits.items():
        say(f"evaluating {split}: {source}")
        embedded, lost = embed_source(trained, source, workers=request.workers)
        split_reports = _score(evaluation, embedded, split=split, lost=lost, folder=out / split)
        write_text(out / split / "report.json", reports_json(split_reports))
        pages = "\n".join(report.to_markdown() for report in split_reports)
        write_text(out / split / "report.md", pages)
        tell_gains(out / split, evaluation.galleries(), evaluation.decodings, say=say)
        reports.extend(split_reports)
    write_run_report(trained.run, folder=out, say=say)
    return EvaluationResult(reports=tuple(reports), out=out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Evaluation:
    """What all splits of one evaluation share."""

    trained: TrainedRun
    searched: Mapping[str, tuple[Gallery | Candidates, NearestIndex]]
    index: str
    protocols: tuple[str, ...]
    mode: RetrievalMode | None = None
    decodings: tuple[Decoding, ...] = ()

    def galleries(self) -> tuple[str, ...]:
        """Names of the plain galleries, which continuous decoding can move between."""
        plain = (name for name, (each, _) in self.searched.items() if isinstance(each, Gallery))
        return tuple(plain)

    def provenance(self) -> dict[str, Any]:
        """The run's record, and how this evaluation was made."""
        run = self.trained.run
        record = run.read_record()
        made: dict[str, Any] = {"device": self.trained.device, "index": self.index}
        if self.mode is not None:
            made["mode"] = self.mode.to_json()
        made |= {"decodings": list(self.decodings)} if self.decodings else {}
        return {**record, "finished": is_finished(run.path, record), "evaluation": made}


def _distinct_galleries(names: Sequence[str]) -> dict[str, str]:
    """What was asked for, by the name of its folder, which names files and rows."""
    by_label: dict[str, str] = {}
    for name in names:
        label = gallery_label(name)
        if label in by_label:
            raise ConfigError(
                f"two galleries are called {label} ({by_label[label]} and {name}): rename the "
                "folder of one, or evaluate them one by one with --out"
            )
        by_label[label] = name
    return by_label


def _searched(
    names: Mapping[str, str], trained: TrainedRun, request: EvaluationRequest
) -> dict[str, tuple[Gallery | Candidates, NearestIndex]]:
    """Each gallery, and each mode asked for, with an index over it on the model's device."""
    run, index, device = trained.run, request.index, trained.device
    galleries = {
        label: gallery_named(name, run, trained.config, trained.model, device=device)
        for label, name in names.items()
    }
    searched: dict[str, tuple[Gallery | Candidates, NearestIndex]] = {
        label: (gallery, build_index(index, gallery.embedding, device=device))
        for label, gallery in galleries.items()
    }
    modes = request.mode and mode_rows(request.mode, galleries, trained, index=index)
    return searched | (modes or {})


def _score(
    evaluation: _Evaluation,
    embedded: Embedded,
    *,
    split: str,
    lost: dict[str, int],
    folder: Path,
) -> list[EvaluationReport]:
    trained, seed = evaluation.trained, evaluation.trained.config.seed
    frames: dict[str, Any] = {}
    for name, (gallery, index) in evaluation.searched.items():
        if isinstance(gallery, Candidates):
            refuse_shared_images(gallery, embedded, split=split)
        top_k = trained.config.evaluation.top_k
        frames[name] = evaluate_split(embedded, gallery, top_k=top_k, index=index)
    asked = evaluation.decodings
    frames |= decoded_frames(trained, embedded, evaluation.searched, frames, decodings=asked)
    for name, frame in frames.items():
        write_predictions(frame, folder / name / "predictions.parquet")
    first, _ = next(iter(evaluation.searched.values()))
    known = training_places(trained.run, trained.config)
    guesses = baseline_places(len(embedded.key), known, first.latlon_deg, seed=seed)
    _draw(folder, split, frames, guesses)
    encode = place_encoder(trained.model, trained.device)
    recall = place_recall(embedded, encode, device=trained.device)
    galleries = {name: gallery for name, (gallery, _) in evaluation.searched.items()}
    scored = [
        gallery_rows(name, frame, galleries.get(name), evaluation.protocols)
        for name, frame in frames.items()
    ]
    reports: list[EvaluationReport] = []
    for protocol, *rows in zip(evaluation.protocols, *scored, strict=True):
        baselines = score_guesses(frames[first.name], guesses, protocol=protocol, seed=seed)
        rows += [ReportRow(name=n, kind="baseline", scores=s) for n, s in baselines.items()]
        reports.append(
            EvaluationReport(
                split=split,
                rows=rows,
                model_fingerprint=trained.model.fingerprint(),
                lost=lost,
                recall=recall,
                provenance=evaluation.provenance(),
            )
        )
    return reports


def _draw(
    folder: Path, split: str, frames: Mapping[str, Any], guesses: Mapping[str, np.ndarray]
) -> None:
    """The map of the first gallery's errors, and curves: the first four rows and baselines."""
    name, frame = next(iter(frames.items()))
    draw_prediction_map(frame, folder / "map.png", title=f"{split}: answers from {name}")
    true = frame[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64)
    errors = {
        name: great_circle_km(true, each[["pred_lat_deg", "pred_lon_deg"]].to_numpy(np.float64))
        for name, each in islice(frames.items(), 4)
    }
    for name in (LEAST_MEDIAN, RANDOM_PLACE):
        errors[name] = great_circle_km(true, guesses[name])
    draw_error_curve(errors, folder / "curve.png", title=f"{split}: error distance")

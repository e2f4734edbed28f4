"""What a model card tells of a run, read from its folder; what is not there is None or empty."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from geoloc.artifacts import read_json
from geoloc.data import list_shards
from geoloc.data.sidecars import is_local
from geoloc.errors import DataError
from geoloc.evaluation import analyse_errors
from geoloc.evaluation.strata import StrataTable, Stratum
from geoloc.evaluation.strata_labels import nearest_training_km
from geoloc.experiment.calibration_section import calibration_sections
from geoloc.experiment.evaluated_split import EvaluatedSplit, evaluated_splits
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.training_coverage import TrainingCoverage, training_coverage
from geoloc.experiment.training_places import training_places, training_places_drawn_from


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitFacts:
    """A split that the run was trained or evaluated on.

    Attributes:
        role: ``training``, ``validation`` or ``test NAME``.
        source: its shards.
        count: of images; None where nobody says.
    """

    role: str
    source: str
    count: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredFacts:
    """How the run did on a test split.

    Attributes:
        split: its name.
        report: the first object of report.json: rows of all galleries and baselines.
        gallery: the gallery whose answers are analysed.
        overall: their scores with intervals.
        continents: the same by continent of the true place.
        from_training_km: quartiles of the distance from a true place to the nearest training
            place; None where those are not known.
    """

    split: str
    report: Mapping[str, Any]
    gallery: str
    overall: Stratum
    continents: StrataTable
    from_training_km: tuple[float, float, float] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """All that a card tells.

    Attributes:
        name: of the run.
        record: run.json.
        config: what the run was started with.
        model: model.json.
        model_bytes: size of the weights that are stored with the run.
        splits: training, validation and tests.
        credits: what files beside the data say of source and licence, by file.
        coverage: of the training places; None where they cannot be had.
        measured: by test split; empty where the run was not evaluated.
        calibrations: headings with Markdown; empty where the run was not calibrated.
        galleries: the gallery.json of each.
        seconds: from the run's first start to its last end, breaks between sessions included, where
            both are known.
        images_per_s: median over the training log.
    """

    name: str
    record: Mapping[str, Any]
    config: ExperimentConfig
    model: Mapping[str, Any]
    model_bytes: int
    splits: tuple[SplitFacts, ...]
    credits: Mapping[str, str]
    coverage: TrainingCoverage | None
    measured: tuple[MeasuredFacts, ...]
    calibrations: tuple[tuple[str, str], ...]
    galleries: tuple[Mapping[str, Any], ...]
    seconds: float | None
    images_per_s: float | None


def read_card_facts(run: RunDirectory) -> CardFacts:
    """Read a run's folder, and what lies beside its data where that is at hand.

    Raises:
        DataError: the folder is no run, has no model, or what it holds is damaged.
    """
    record, config = run.read_record(), run.config()
    places_deg = known_training_places(run, config)
    evaluated = evaluated_splits(run.evaluation) if _any(run.evaluation, "*/report.json") else []
    return CardFacts(
        name=str(record.get("name", run.path.name)),
        record=record,
        config=config,
        model=read_json(run.model / "model.json", what="model"),
        model_bytes=sum(file.stat().st_size for file in run.model.glob("*.safetensors")),
        splits=_splits(run, config, evaluated),
        credits=_credits(config),
        coverage=None
        if places_deg is None
        else training_coverage(places_deg, drawn_from=training_places_drawn_from(run)),
        measured=tuple(_measured(split, places_deg) for split in evaluated),
        calibrations=tuple(
            (section.title, section.markdown) for section in calibration_sections(run)
        ),
        galleries=tuple(
            read_json(file, what="gallery") for file in sorted(run.galleries.glob("*/gallery.json"))
        ),
        seconds=_seconds(record),
        images_per_s=_speed(run.path / "metrics.jsonl"),
    )


def known_training_places(run: RunDirectory, config: ExperimentConfig) -> np.ndarray | None:
    """The run's training places; None where neither the run nor its shards have them."""
    try:
        return training_places(run, config)
    except (DataError, OSError):
        return None


def _any(folder: Path, pattern: str) -> bool:
    return next(folder.glob(pattern), None) is not None


def _measured(split: EvaluatedSplit, places_deg: np.ndarray | None) -> MeasuredFacts:
    gallery = split.galleries[0]
    frame = split.predictions(gallery)
    report = split.reports[0]
    found = analyse_errors(frame, str(report["protocol"]), by=["continent"])
    quartiles = None
    if places_deg is not None:
        true_deg = frame[["true_lat_deg", "true_lon_deg"]].to_numpy(np.float64)
        low, middle, high = np.quantile(
            nearest_training_km(true_deg, places_deg), (0.25, 0.5, 0.75)
        ).tolist()
        quartiles = (low, middle, high)
    return MeasuredFacts(
        split=split.name,
        report=report,
        gallery=gallery,
        overall=found.overall,
        continents=found.strata[0],
        from_training_km=quartiles,
    )


def _splits(
    run: RunDirectory, config: ExperimentConfig, evaluated: Sequence[EvaluatedSplit]
) -> tuple[SplitFacts, ...]:
    counted = {split.name: int(split.reports[0]["count"]) for split in evaluated}
    file = run.path / "training_places.json"
    told = read_json(file, what="count of training places") if file.is_file() else {}
    trained = told.get("total")
    data = config.data
    splits = [
        SplitFacts(
            role="training",
            source=data.train,
            count=trained if isinstance(trained, int) else _count(data.train),
        )
    ]
    if data.validation is not None:
        splits.append(
            SplitFacts(role="validation", source=data.validation, count=_count(data.validation))
        )
    tests = [
        SplitFacts(role=f"test {name}", source=source, count=counted.pop(name, None))
        for name, source in data.tests.items()
    ]
    others = [
        SplitFacts(role=f"test {name}", source="named at evaluation", count=count)
        for name, count in counted.items()
    ]
    return (*splits, *tests, *others)


def _count(source: str) -> int | None:
    """Samples of shards that lie on this machine, where their sizes are noted."""
    if not is_local(source):
        return None
    try:
        return list_shards(source).sample_count
    except (DataError, OSError):
        return None


def _credits(config: ExperimentConfig) -> dict[str, str]:
    """What the description of cut tiles, or a release that a path names, says of its source."""
    found: dict[str, str] = {}
    for source in (config.data.train, config.data.validation or "", *config.data.tests.values()):
        file = Path(source).parent / "earth_tiles.json"
        if source and is_local(source) and file.is_file():
            provenance = read_json(file, what="description of tiles").get("provenance", {})
            lines = [provenance.get("credit"), provenance.get("names")]
            found[str(file)] = "; ".join(str(line) for line in lines if line)
        elif "osv5m" in source.lower():
            found["path that names OSV-5M"] = (
                "OSV-5M (Astruc et al. 2024) is CC-BY-SA-4.0: attribution by creator"
            )
    return found


def _seconds(record: Mapping[str, Any]) -> float | None:
    try:
        start, end = (datetime.fromisoformat(str(record.get(key))) for key in ("started", "ended"))
    except ValueError:
        return None
    return (end - start).total_seconds()


def _speed(file: Path) -> float | None:
    if not file.is_file():
        return None
    values: list[float] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            value = json.loads(line).get("speed/images_per_s")
        except ValueError:
            continue  # the last line of a run that was cut off
        if isinstance(value, int | float):
            values.append(float(value))
    return float(np.median(values)) if values else None

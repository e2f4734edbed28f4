"""What the answers of a run rest on, read from its folder."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from geoloc._version import __version__
from geoloc.evaluation.calibration_file import Calibration
from geoloc.inference.answers import Basis, MeasuredSplit
from geoloc.retrieval import Candidates

_PLAIN = "softmax over the gallery, not calibrated; great-circle km"


def basis_of(
    candidates: Candidates, *, decoding: str, calibration: Calibration | None, run: Path | None
) -> Basis:
    """The basis of a geolocator's answers.

    Args:
        candidates: what queries are compared with.
        decoding: how the first place follows from the hits.
        calibration: where there is one.
        run: folder of the run behind the model, where there is one.
    """
    about = {} if run is None else _json(run / "run.json") or {}
    ended = about.get("ended")
    return Basis(
        model=candidates.model_fingerprint,
        gallery=candidates.name,
        gallery_places=len(candidates),
        decoding=decoding,
        calibrated=calibration is not None,
        protocol=_protocol(calibration),
        version=__version__,
        run=None if run is None else str(about.get("name") or run.name),
        trained=str(ended) if ended else None,
        measured=() if run is None else measured_splits(run),
    )


def measured_splits(run: Path) -> tuple[MeasuredSplit, ...]:
    """What a run's evaluation reports say of its first gallery, under each split's first protocol.

    Reports that are missing or of another shape are passed over.
    """
    found: list[MeasuredSplit] = []
    for file in sorted((run / "evaluation").glob("*/report.json")):
        try:
            report = cast("list[Any]", _json(file))[0]
            row = next(each for each in report["rows"] if each["kind"] == "gallery")
            found.append(
                MeasuredSplit(
                    split=str(report["split"]),
                    protocol=str(report["protocol"]),
                    images=int(report["count"]),
                    median_km=float(row["scores"]["summary"]["median_km"]),
                )
            )
        except (KeyError, TypeError, IndexError, ValueError, StopIteration):
            continue
    return tuple(found)


def uncalibrated(basis: Basis) -> Basis:
    """The same basis for answers that a calibration has no part in."""
    return replace(basis, calibrated=False, protocol=_PLAIN)


def _protocol(calibration: Calibration | None) -> str:
    if calibration is None:
        return _PLAIN
    told = cast("dict[str, Any]", calibration.measured.get("validation") or {})
    source = Path(str(told.get("source", "held-out images"))).name
    count = f", {told['count']} images" if "count" in told else ""
    return f"probabilities calibrated on {source}{count} (geoloc calibrate); great-circle km"


def _json(file: Path) -> Any:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None

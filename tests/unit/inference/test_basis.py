from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from geoloc.inference.answers import MeasuredSplit
from geoloc.inference.basis import basis_of, measured_splits
from geoloc.retrieval import Candidates

REPORT = {
    "split": "easy",
    "protocol": "osv5m-official",
    "count": 1000,
    "rows": [
        {"kind": "constant", "scores": {"summary": {"median_km": 5836.0}}},
        {"kind": "gallery", "scores": {"summary": {"median_km": 66.07}}},
    ],
}


def candidates() -> Candidates:
    return Candidates(
        name="places",
        model_fingerprint="f" * 64,
        latlon_deg=np.zeros((3, 2)),
        embedding=torch.zeros(3, 4),
    )


def written(folder: Path, split: str, content: object) -> None:
    (folder / "evaluation" / split).mkdir(parents=True)
    (folder / "evaluation" / split / "report.json").write_text(json.dumps(content))


def test_what_a_run_measured_is_read_from_its_reports(tmp_path: Path) -> None:
    written(tmp_path, "easy", [REPORT, {**REPORT, "protocol": "geoclip"}])
    written(tmp_path, "odd", {"no": "list"})
    written(tmp_path, "empty", [])
    written(tmp_path, "bare", [{**REPORT, "rows": []}])
    assert measured_splits(tmp_path) == (
        MeasuredSplit(split="easy", protocol="osv5m-official", images=1000, median_km=66.07),
    )
    assert measured_splits(tmp_path / "nowhere") == ()


def test_a_basis_names_the_run_and_its_day(tmp_path: Path) -> None:
    about = {"name": "demo", "ended": "2026-11-28T13:24:22+00:00"}
    (tmp_path / "run.json").write_text(json.dumps(about))
    told = basis_of(candidates(), decoding="argmax", calibration=None, run=tmp_path)
    assert (told.run, told.trained) == ("demo", about["ended"])
    assert (told.gallery, told.gallery_places, told.model) == ("places", 3, "f" * 64)
    assert "not calibrated" in told.protocol
    free = basis_of(candidates(), decoding="posterior", calibration=None, run=None)
    assert (free.run, free.trained, free.measured) == (None, None, ())

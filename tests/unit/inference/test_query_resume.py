"""Which queries `geoloc query --resume` goes on with, and what it tells of those before."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.cli import main
from geoloc.models import DualEncoder
from geoloc.regions import geocells_of
from geoloc.retrieval import Embedded


def save_references(folder: Path, model: DualEncoder, seed: int) -> None:
    vectors = torch.nn.functional.normalize(
        torch.randn(4, 16, generator=torch.Generator().manual_seed(seed)), dim=1
    )
    Embedded(
        key=tuple("abcd"),
        latlon_deg=np.array([[10.0, 20.0], [30.0, 40.0], [-10.0, 5.0], [0.0, 0.0]]),
        embedding=vectors,
        label=({}, {}, {}, {}),
    ).save(folder, model_fingerprint=model.fingerprint())


@pytest.fixture
def image(tmp_path: Path, photo: Callable[..., Image.Image]) -> Path:
    path = tmp_path / "1.png"
    photo(1).save(path)
    return path


def test_another_weight_or_other_references_are_another_query(
    image: Path, run: Path, model: DualEncoder, tmp_path: Path, capsys
) -> None:
    references, out = tmp_path / "refs", tmp_path / "a.jsonl"
    save_references(references, model, 0)
    words = ["query", str(image), "--run", str(run), "--references", str(references)]
    words += ["--out", str(out), "--resume"]
    assert main([*words, "--combine", "0"]) == 0
    assert main([*words, "--combine", "0"]) == 0
    capsys.readouterr()
    assert main(words) == 2
    assert "combine was 0.0 and is null" in capsys.readouterr().err
    # As many images at the same places, but others.
    save_references(references, model, 1)
    assert main([*words, "--combine", "0"]) == 2
    assert "references_sha256 was" in capsys.readouterr().err


def test_other_cells_are_another_query(image: Path, run: Path, tmp_path: Path, capsys) -> None:
    places = np.random.default_rng(0).uniform((-60, -170), (60, 170), size=(12, 2))
    file, words = tmp_path / "cells.parquet", ["query", str(image), "--run", str(run)]
    words += ["--cells", str(file), "--out", str(tmp_path / "a.jsonl"), "--resume"]
    geocells_of(places, np.arange(12) % 3).save(file)
    assert main(words) == 0
    assert main(words) == 0
    capsys.readouterr()
    assert main([*words, "--cell-probe", "1"]) == 2
    assert "cell_probe was null and is 1" in capsys.readouterr().err
    assert main([*words, "--cell-score", "max"]) == 2
    assert 'cell_score was null and is "max"' in capsys.readouterr().err
    geocells_of(places, np.arange(12) % 4).save(file)
    assert main(words) == 2
    assert "cells_sha256 was" in capsys.readouterr().err


def test_only_new_answers_are_compared(image: Path, run: Path, tmp_path: Path, capsys) -> None:
    words = ["query", str(image), "--run", str(run), "--exif", "compare"]
    words += ["--out", str(tmp_path / "a.jsonl"), "--resume"]
    assert main(words) == 0
    assert "none of 1 answered images carries" in capsys.readouterr().err
    assert main(words) == 0
    told = capsys.readouterr().err
    assert "none of 0" not in told
    assert "the 1 images answered before are not among those compared" in told


def test_an_empty_list_is_told(run: Path, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert main(["query", "-", "--run", str(run)]) == 2
    assert "names nothing" in capsys.readouterr().err

"""A run with a head of geocells: trained, opened again, evaluated and asked."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from geoloc.cli import main
from geoloc.errors import ConfigError
from geoloc.experiment.kept_cells import keep_cells
from geoloc.experiment.loading import config_from_tree, config_tree
from geoloc.experiment.train_run import train_run
from geoloc.inference.cell_head import HEAD_CELLS
from geoloc.models import load_model
from geoloc.regions import Geocells, geocells_of

PLACES = np.array([[lat, lon] for lat in (-30.0, 30.0) for lon in (-120.0, 0.0, 120.0)])


def quiet(line):
    del line


@pytest.fixture
def trained(make_run, tmp_path):
    geocells_of(PLACES, np.arange(6) // 2).save(tmp_path / "cells.parquet")
    tree = config_tree(make_run(cells=tmp_path / "cells.parquet", device="cpu").config())
    tree["training"] |= {"epochs": 2, "log_every_steps": 1}
    tree["data"]["batch_size"] = 4
    config = config_from_tree(tree | {"run_dir": str(tmp_path / "trained")}, where="here")
    return train_run(config, say=quiet).run


def predictions(run, name):
    return pd.read_parquet(run.evaluation / "easy" / name / "predictions.parquet")


def places_of(frame):
    return frame[["pred_lat_deg", "pred_lon_deg"]].to_numpy()


def test_the_head_comes_back_as_it_was_trained_and_answers(trained, tmp_path, capsys):
    last = load_file(trained.checkpoints / "last/model.safetensors")
    head = load_model(trained.model).cell_head
    assert head is not None
    assert torch.equal(head.weight, last["cell_head.weight"])
    # the file may go: the run has its own
    (tmp_path / "cells.parquet").unlink()
    words = ["evaluate", str(trained.path), "--workers", "0", "--cell-score", "head"]
    words += ["--cell-probe", "1", "--gallery", "training-places", "--format", "json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)[0]
    rows = {row["name"]: row for row in report["rows"] if row["kind"] == "gallery"}
    assert list(rows) == ["training-places", "training-places-cells", "cells"]
    assert rows["cells"]["places"] == 3
    mode = report["provenance"]["evaluation"]["mode"]
    assert (mode["cells"], mode["cell_score"], mode["cell_probe"]) == (None, "head", 1)
    cells = Geocells.load(trained.path / HEAD_CELLS)
    alone, first = (places_of(predictions(trained, name)) for name in list(rows)[:0:-1])
    named = [int(np.abs(cells.centre_deg - each).sum(axis=1).argmin()) for each in alone]
    np.testing.assert_allclose(alone, cells.centre_deg[named])
    # both rows follow the same head; a cell may be without a place of the gallery
    places = cells.cells_of_places(first)
    held = set(cells.cells_of_places(np.load(trained.path / "training_places.npy")).tolist())
    assert all(mine == own for mine, own in zip(places, named, strict=True) if own in held)
    words = ["query", str(photo(tmp_path)), "--run", str(trained.path), "--cell-score", "head"]
    assert main(words) == 0
    assert "%" in capsys.readouterr().out


def photo(folder):
    from PIL import Image

    path = folder / "photo.png"
    pixels = np.random.default_rng(5).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def test_a_run_goes_on_with_the_cells_that_it_began_with(trained, tmp_path):
    config = trained.config()
    keep_cells(trained, config)
    before = (trained.path / HEAD_CELLS).read_bytes()
    other = geocells_of(PLACES, np.arange(6) % 3)
    other.save(tmp_path / "cells.parquet")
    with pytest.raises(ConfigError, match="has other cells than"):
        keep_cells(trained, config)
    assert (trained.path / HEAD_CELLS).read_bytes() == before
    # what never began has nothing to keep
    shutil.rmtree(trained.checkpoints)
    shutil.rmtree(trained.model)
    keep_cells(trained, config)
    np.testing.assert_array_equal(
        Geocells.load(trained.path / HEAD_CELLS).cell, np.sort(other.cell)
    )


def test_a_run_without_a_head_keeps_none(make_run):
    run = make_run()
    keep_cells(run, run.config())
    assert not (run.path / HEAD_CELLS).exists()

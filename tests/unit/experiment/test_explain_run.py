"""`geoloc explain`: a run's map of an image, its training images, and the page."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.cli import main
from geoloc.experiment.build import build_dual_encoder
from geoloc.experiment.embed_run import embed_shards, embed_source
from geoloc.experiment.galleries import gallery_named
from geoloc.experiment.loading import config_from_tree, config_tree
from geoloc.experiment.prepare_data import features_of
from geoloc.experiment.trained_run import TrainedRun, open_trained_run
from geoloc.experiment.training_images import training_images


def quiet(_line):
    pass


@pytest.fixture
def run(make_run):
    run = make_run()
    trained = open_trained_run(run.path, device="cpu")
    gallery_named("training-places", run, trained.config, trained.model, device="cpu")
    return run


@pytest.fixture
def image(tmp_path):
    file = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def test_the_page_holds_words_map_and_training_images(run, image, tmp_path, capsys):
    folder = tmp_path / "embedded"
    embed_shards(run.path, str(tmp_path / "train"), out=folder, workers=0, say=quiet)
    page = tmp_path / "out" / "why.html"
    asked = ["explain", str(image), "--run", str(run.path), "--cells", "3"]
    asked += ["--references", str(folder), "--most-alike", "2", "--out", str(page), "--json"]
    assert main(asked) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["cells"], told["passes"], len(told["training"])) == (3, 19, 2)
    html = page.read_text()
    assert told["words"].replace(">", "&gt;") in html
    for each in told["training"]:
        assert f'alt="training image {each["reference"]}"' in html
        assert each["reference"].startswith("1-")
    assert html.count("data:image/jpeg") == 3  # the image and two thumbnails
    assert html.count("data:image/png") == 2  # heat and world
    assert "http" not in html.replace("http-equiv", "")


def test_a_run_without_training_images_at_hand_says_so(run, image, capsys):
    asked = ["explain", str(image), "--run", str(run.path), "--cells", "3"]
    assert main([*asked, "--json"]) == 0
    out = capsys.readouterr()
    assert json.loads(out.out)["training"] is None
    assert "--references" in out.err
    page = image.with_name("why.html")
    assert main([*asked, "--out", str(page)]) == 0
    assert "None at hand" in page.read_text()
    capsys.readouterr()
    assert main([*asked, "--most-alike", "0", "--out", str(page)]) == 0
    assert "--references" not in capsys.readouterr().err + page.read_text()


@pytest.mark.parametrize(
    "wrong",
    [
        ["--out", "page.pdf"],
        ["--cells", "1"],
        ["--most-alike", "-1"],
        ["--near-km", "0"],
        ["--references", "nowhere"],
    ],
)
def test_what_cannot_be_asked_is_refused(run, image, wrong, capsys):
    assert main(["explain", str(image), "--run", str(run.path), *wrong]) == 2
    assert capsys.readouterr().err.startswith("geoloc: ")


def test_cached_features_of_the_training_split_are_its_images(make_run, tmp_path):
    run = make_run()
    tree = config_tree(run.config())
    tree["data"] |= {"cache_features": True, "cache_folder": str(tmp_path / "features")}
    tree["model"]["frozen_backbone"] = True
    config = config_from_tree(tree, where="here")
    model = build_dual_encoder(config, say=quiet)
    asked = {"references": None, "device": "cpu", "say": quiet}
    assert training_images(model, config, **asked) is None
    features_of(config, model, config.data.train, device="cpu", say=quiet)
    found = training_images(model, config, **asked)
    trained = TrainedRun(run=run, config=config, model=model, device="cpu")
    want, _ = embed_source(trained, config.data.train, workers=0)
    assert found is not None
    order = {key: row for row, key in enumerate(found.key)}
    rows = [order[key] for key in want.key]
    assert len(found) == len(want) == 8
    assert np.allclose(found.latlon_deg[rows], want.latlon_deg)
    # features are kept in half precision
    assert torch.allclose(found.embedding[rows], want.embedding, atol=5e-3)

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from geoloc.data.transforms import preprocess
from geoloc.errors import ConfigError, DataError, MismatchError
from geoloc.inference import Geolocator
from geoloc.inference.cell_head import HEAD_CELLS, cells_alone, head_cells
from geoloc.inference.modes import RetrievalMode
from geoloc.models import build_model, load_model, save_model
from geoloc.regions import geocells_of

BY_HEAD = RetrievalMode(cell_score="head", cell_probe=1)


@pytest.fixture
def cells(places_deg):
    return geocells_of(places_deg, np.array([0, 1, 2, 1, 1, 0, 2]))


@pytest.fixture
def headed(run, tiny_spec, gallery_of, cells, photo):
    """The run of one gallery, with a head that names three cells, not one for all photos."""
    spec = dataclasses.replace(tiny_spec(), cells=len(cells))
    model = build_model(spec).eval()
    with torch.no_grad():
        pixels = torch.stack([preprocess(photo(seed), model.preset) for seed in range(6)])
        logits = model.cell_logits(model.embed_features(model.backbone_features(pixels)))
        assert model.cell_head is not None
        model.cell_head.bias -= logits.mean(dim=0)
    save_model(run / "model", model, spec)
    gallery_of(model).save(run / "galleries" / "seven")
    cells.save(run / HEAD_CELLS)
    return run


def logits_of(run, photos):
    model = load_model(run / "model")
    with torch.no_grad():
        pixels = torch.stack([preprocess(photo, model.preset) for photo in photos])
        embedded = model.embed_features(model.backbone_features(pixels))
        assert model.cell_head is not None
        weight, bias = model.cell_head.weight, model.cell_head.bias
        return embedded, 4.0 * embedded @ weight.T + bias


def test_answers_lie_in_the_cell_that_the_head_names_the_best_place_of_it_first(
    headed, cells, photo, places_deg
):
    photos = [photo(seed) for seed in range(6)]
    told = [Geolocator.load(headed, mode=BY_HEAD).locate(each, top_k=7) for each in photos]
    embedded, logits = logits_of(headed, photos)
    model = load_model(headed / "model")
    with torch.no_grad():
        score = embedded @ model.embed_places(torch.from_numpy(places_deg)).T
    assert len({int(row) for row in logits.argmax(dim=1)}) > 1
    for answer, of_cells, of_places in zip(told, logits, score, strict=True):
        inside = cells.cell == int(of_cells.argmax())
        best = int(np.flatnonzero(inside)[of_places[inside].argmax()])
        assert answer.places[0].latlon_deg == pytest.approx(tuple(places_deg[best]))


def test_cells_alone_answer_with_the_mean_place_of_the_likeliest(headed, cells, photo):
    photos = [photo(seed) for seed in range(6)]
    embedded, logits = logits_of(headed, photos)
    model = load_model(headed / "model")
    candidates, index = cells_alone(model, headed, device="cpu")
    found = index.search(embedded, 3).index
    assert torch.equal(found, logits.argsort(dim=1, descending=True))
    np.testing.assert_array_equal(candidates.latlon_deg, cells.centre_deg)
    assert candidates.model_fingerprint == model.fingerprint()


def test_a_head_without_its_cells_is_refused_and_so_are_cells_without_a_head(
    run, headed, tiny_spec, gallery_of, places_deg
):
    fewer = geocells_of(places_deg, np.array([0, 1, 0, 1, 1, 0, 0]))
    fewer.save(headed / HEAD_CELLS)
    with pytest.raises(MismatchError, match="has 2 cells, the head names 3"):
        Geolocator.load(headed, mode=BY_HEAD)
    (headed / HEAD_CELLS).unlink()
    with pytest.raises(DataError, match="copy the file that the run's configuration names"):
        Geolocator.load(headed, mode=BY_HEAD)
    model = build_model(tiny_spec()).eval()
    with pytest.raises(ConfigError, match="the model was trained without a head of cells"):
        head_cells(model, None)
    save_model(run / "model", model, tiny_spec())
    gallery_of(model).save(run / "galleries" / "seven")
    with pytest.raises(ConfigError, match="tiny was trained without a head of cells"):
        Geolocator.load(run, mode=BY_HEAD)

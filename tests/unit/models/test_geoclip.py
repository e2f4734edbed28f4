from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from geoloc.errors import CheckpointError, DataError
from geoloc.models import LocationEncoder, geoclip
from geoloc.models.geoclip import (
    IMAGE_HEAD_FILE,
    LOCATION_FILE,
    LOGIT_SCALE_FILE,
    export_location_encoder,
    gallery_places,
    load_geoclip,
    load_image_head,
    load_location_encoder,
)

PLACES = torch.tensor([[48.85, 2.35], [-33.9, 151.2], [0.0, 180.0]])


@pytest.fixture
def released(tmp_path, make_dual):
    """A folder as the package has it, with small random weights for the tiny model."""
    model = make_dual()
    location = LocationEncoder((1.0, 16.0), 12, hidden=16, features=64, seed=2)
    torch.save(location.state_dict(), tmp_path / LOCATION_FILE)
    torch.save(model.mlp.state_dict(), tmp_path / IMAGE_HEAD_FILE)
    torch.save(torch.tensor(3.5), tmp_path / LOGIT_SCALE_FILE)
    return tmp_path, location, model


@torch.no_grad()
def test_sizes_and_sigmas_are_read_from_the_file(released):
    folder, location, _ = released
    encoder = load_location_encoder(folder / LOCATION_FILE)
    assert (encoder.sigmas, encoder.hidden, encoder.features) == ((1.0, 16.0), 16, 64)
    assert not encoder.training
    assert torch.equal(encoder(PLACES), location(PLACES))


@torch.no_grad()
def test_prefixed_files_load_too(released, tmp_path):
    _, location, _ = released
    state = {f"location_encoder.{name}": value for name, value in location.state_dict().items()}
    save_file({**state, "logit_scale": torch.tensor(1.0)}, tmp_path / "whole.safetensors")
    encoder = load_location_encoder(tmp_path / "whole.safetensors")
    assert torch.equal(encoder(PLACES), location(PLACES))


@torch.no_grad()
def test_a_new_branch_finds_its_place_and_starts_silent(released):
    folder, location, _ = released
    encoder = load_location_encoder(folder / LOCATION_FILE, sigmas=(1.0, 4.0, 16.0))
    torch.testing.assert_close(encoder(PLACES), location(PLACES))
    assert torch.equal(encoder.branch(2).fourier.b, location.branch(1).fourier.b)
    assert encoder.branch(1).head[0].weight.abs().max() == 0
    assert encoder.branch(1).fourier.b.std() > 0
    fewer = load_location_encoder(folder / LOCATION_FILE, sigmas=(16.0,))
    assert torch.equal(fewer.branch(0).fourier.b, location.branch(1).fourier.b)


def test_a_silent_branch_learns(released):
    folder, _, _ = released
    encoder = load_location_encoder(folder / LOCATION_FILE, sigmas=(1.0, 16.0, 256.0))
    encoder(PLACES).square().sum().backward()
    assert encoder.branch(2).head[0].weight.grad.abs().max() > 0


@torch.no_grad()
def test_whole_model_from_a_folder(released):
    folder, location, source = released
    model = load_geoclip(source.image_encoder, folder)
    assert model.scale().item() == pytest.approx(np.exp(3.5), rel=1e-5)
    assert model.frozen_backbone
    assert not model.training
    feature = torch.randn(2, source.image_encoder.feature_dim)
    assert torch.equal(model.embed_features(feature), source.embed_features(feature))
    assert torch.equal(model.location_encoder(PLACES), location(PLACES))


@pytest.mark.parametrize("name", ["out.pth", "out.safetensors"])
def test_export_goes_round(released, tmp_path, make_dual, name):
    model = make_dual()
    for source in (model, model.location_encoder):
        export_location_encoder(source, tmp_path / name)
        again = load_location_encoder(tmp_path / name).state_dict()
        own = model.location_encoder.state_dict()
        assert list(again) == list(own)
        assert all(torch.equal(again[key], own[key]) for key in own)


def test_foreign_files_are_refused(released, tmp_path, make_dual):
    folder, _, source = released
    with pytest.raises(CheckpointError, match="no location encoder"):
        load_location_encoder(folder / IMAGE_HEAD_FILE)
    with pytest.raises(CheckpointError, match="no image head"):
        load_image_head(folder / LOCATION_FILE)
    with pytest.raises(CheckpointError, match=r"\.pth or \.safetensors"):
        export_location_encoder(source, tmp_path / "weights.npz")
    state = dict(torch.load(folder / LOCATION_FILE, weights_only=True))
    state.pop("LocEnc1.head.0.bias")
    torch.save({**state, "LocEnc1.tail": torch.ones(1)}, tmp_path / "cut.pth")
    with pytest.raises(CheckpointError, match=r"missing LocEnc1\.head\.0\.bias"):
        load_location_encoder(tmp_path / "cut.pth")
    (folder / LOGIT_SCALE_FILE).unlink()
    with pytest.raises(CheckpointError, match="no such file"):
        load_geoclip(source.image_encoder, folder)


def test_another_backbone_is_refused(released):
    from geoloc.models import ConvEncoder

    with pytest.raises(CheckpointError, match="ViT-L-14-quickgelu"):
        load_geoclip(ConvEncoder(16, 32), released[0])


def test_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr(geoclip.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match="pip install --no-deps geoclip"):
        gallery_places()


def test_gallery_from_a_file(tmp_path):
    good = tmp_path / "good.csv"
    good.write_text("LAT,LON\n1.5,-170.25\n-90,180\n")
    assert gallery_places(good).tolist() == [[1.5, -170.25], [-90.0, 180.0]]
    for name, text in {"swapped": "LON,LAT\n1,2\n", "words": "LAT,LON\none,two\n"}.items():
        (tmp_path / name).write_text(text)
        with pytest.raises(DataError, match=name):
            gallery_places(tmp_path / name)
    with pytest.raises(DataError, match="gone"):
        gallery_places(tmp_path / "gone.csv")

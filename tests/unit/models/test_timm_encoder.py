from __future__ import annotations

import pytest
import torch
from safetensors.torch import save_file

from geoloc.errors import CheckpointError, ConfigError
from geoloc.models.timm_encoder import LITE0_PACKAGE, TimmEncoder

NAME = "resnet10t"


def random_encoder(seed: int, **options) -> TimmEncoder:
    torch.manual_seed(seed)
    return TimmEncoder(NAME, **options).eval()


def test_features_are_timms_pooled_ones():
    encoder = random_encoder(0)
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        expected = encoder.model.forward_features(images).mean(dim=(2, 3))
        features = encoder(images)
    assert features.shape == (2, encoder.feature_dim)
    torch.testing.assert_close(features, expected, atol=1e-5, rtol=1e-5)
    assert (encoder.preset.size, encoder.preset.crop_fraction) == (176, 0.875)


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_weights_of_a_file_with_classifier(tmp_path, suffix):
    import timm

    torch.manual_seed(1)
    whole = timm.create_model(NAME, pretrained=False)
    path = tmp_path / f"weights.{suffix}"
    (save_file if suffix == "safetensors" else torch.save)(whole.state_dict(), path)
    encoder = TimmEncoder(NAME, str(path))
    state = encoder.model.state_dict()
    assert all(torch.equal(state[key], whole.state_dict()[key]) for key in state)
    assert encoder.fingerprint() == TimmEncoder(NAME, str(path)).fingerprint()
    assert encoder.fingerprint() != random_encoder(2).fingerprint()


def test_weights_that_do_not_fit_are_refused(tmp_path):
    save_file({"conv1.weight": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="do not fit"):
        TimmEncoder(NAME, str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointError, match="no such file"):
        TimmEncoder(NAME, str(tmp_path / "gone.safetensors"))


def test_unknown_names_are_refused():
    with pytest.raises(ConfigError, match="no architecture 'resnet1'"):
        TimmEncoder("resnet1")
    with pytest.raises(ConfigError, match="tf_efficientnet_lite0"):
        TimmEncoder(NAME, LITE0_PACKAGE)


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("tag", ["imagenet", "c3_in1k"])
def test_without_a_network_one_error_says_what_to_do(tag):
    with pytest.raises(CheckpointError, match="go online once, or give the path"):
        TimmEncoder(NAME, tag)


def test_transformers_of_fixed_size_take_another_one():
    name = "vit_tiny_patch16_224"
    encoder = TimmEncoder(name, image_size=64, preset={"mean": [0, 0, 0]}).eval()
    assert encoder.preset.size == 64
    assert encoder.preset.mean == (0.0, 0.0, 0.0)
    with torch.no_grad():
        assert encoder(torch.randn(1, 3, 64, 64)).shape == (1, 192)

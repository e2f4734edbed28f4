from __future__ import annotations

import logging

import pytest
import torch
from safetensors.torch import save_file

from geoloc.errors import CheckpointError, ConfigError
from geoloc.models.image_encoder import CLIP_MEAN, CLIP_STD
from geoloc.models.open_clip_encoder import OpenClipEncoder


@pytest.fixture
def whole_clip(tiny_clip):
    import open_clip

    torch.manual_seed(1)
    root = logging.getLogger()
    handlers = list(root.handlers)
    model = open_clip.create_model(tiny_clip, pretrained=None).eval()
    for handler in set(root.handlers) - set(handlers):
        root.removeHandler(handler)
    return model


def test_only_the_visual_tower_is_kept(tiny_clip):
    encoder = OpenClipEncoder(tiny_clip, None)
    assert {name.split(".")[0] for name, _ in encoder.named_parameters()} == {"visual"}
    assert encoder.feature_dim == 12
    assert (encoder.preset.size, encoder.preset.interpolation) == (32, "bicubic")
    assert (encoder.preset.mean, encoder.preset.std) == (CLIP_MEAN, CLIP_STD)


@torch.no_grad()
@pytest.mark.parametrize("form", ["whole.safetensors", "whole.pth", "visual.pt"])
def test_features_equal_encode_image_of_the_same_file(tiny_clip, whole_clip, tmp_path, form):
    source = whole_clip.visual if form.startswith("visual") else whole_clip
    state = {name: value.contiguous() for name, value in source.state_dict().items()}
    path = tmp_path / form
    (save_file if form.endswith("safetensors") else torch.save)(state, path)
    encoder = OpenClipEncoder(tiny_clip, str(path)).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(encoder(images), whole_clip.encode_image(images))
    assert encoder.fingerprint() == OpenClipEncoder(tiny_clip, str(path)).fingerprint()
    assert encoder.fingerprint() != OpenClipEncoder(tiny_clip, None).fingerprint()


def test_building_leaves_the_root_logger_alone(tiny_clip, caplog):
    root = logging.getLogger()
    before = (list(root.handlers), root.disabled, root.level)
    OpenClipEncoder(tiny_clip, None)
    assert (list(root.handlers), root.disabled, root.level) == before
    assert not caplog.records


def test_weights_that_do_not_fit_are_refused(tiny_clip, tmp_path):
    save_file({"visual.proj": torch.ones(3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="do not fit"):
        OpenClipEncoder(tiny_clip, str(tmp_path / "other.safetensors"))
    with pytest.raises(CheckpointError, match="no such file"):
        OpenClipEncoder(tiny_clip, str(tmp_path / "gone.bin"))


def test_unknown_names_and_tags_are_refused(tiny_clip):
    with pytest.raises(ConfigError, match="no model 'ViT-X-99'"):
        OpenClipEncoder("ViT-X-99", None)
    with pytest.raises(ConfigError, match="no weights 'nobody'"):
        OpenClipEncoder("ViT-B-32", "nobody")


@pytest.mark.usefixtures("offline")
def test_without_a_network_one_error_says_what_to_do():
    with pytest.raises(CheckpointError, match="go online once, or give the path") as caught:
        OpenClipEncoder()
    assert "ViT-L-14-quickgelu" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_openai_weights_ask_for_the_quickgelu_model(monkeypatch, tiny_clip, whole_clip, tmp_path):
    import open_clip.factory as factory

    path = tmp_path / "tiny.pt"
    torch.save(whole_clip.state_dict(), path)
    monkeypatch.setattr(factory, "download_pretrained", lambda *_, **__: str(path))
    with pytest.raises(ConfigError, match="quickgelu"):
        OpenClipEncoder("ViT-B-32", "openai")


def test_another_image_size(tiny_clip):
    encoder = OpenClipEncoder(tiny_clip, None, image_size=48, preset={"std": [1, 1, 1]})
    assert encoder.preset.size == 48
    assert encoder.preset.std == (1.0, 1.0, 1.0)
    assert encoder(torch.zeros(1, 3, 48, 48)).shape == (1, 12)


def test_a_file_is_loaded_without_a_text_tower_or_a_draw(
    tiny_clip, whole_clip, tmp_path, monkeypatch
):
    import open_clip

    state = {name: value.contiguous() for name, value in whole_clip.state_dict().items()}
    save_file(state, tmp_path / "clip.safetensors")
    devices = []
    create = open_clip.create_model
    spy = lambda *args, **how: devices.append(how["device"].type) or create(*args, **how)  # noqa: E731
    monkeypatch.setattr(open_clip, "create_model", spy)
    before = torch.get_rng_state()
    encoder = OpenClipEncoder(tiny_clip, str(tmp_path / "clip.safetensors"))
    assert devices == ["meta"]
    assert torch.equal(torch.get_rng_state(), before)
    assert not any(tensor.is_meta for tensor in encoder.state_dict().values())


def test_a_tag_brings_its_file_and_its_settings(tiny_clip, whole_clip, tmp_path, monkeypatch):
    import open_clip

    state = {name: value.contiguous() for name, value in whole_clip.state_dict().items()}
    save_file(state, tmp_path / "clip.safetensors")
    about = {"quick_gelu": True, "mean": (0.1, 0.2, 0.3), "interpolation": "bilinear"}
    monkeypatch.setattr(open_clip, "list_pretrained_tags_by_model", lambda _: ["mine"])
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda *_: about)
    monkeypatch.setattr(
        open_clip, "download_pretrained", lambda _: str(tmp_path / "clip.safetensors")
    )
    encoder = OpenClipEncoder(tiny_clip, "mine").eval()
    assert (encoder.preset.mean, encoder.preset.interpolation) == ((0.1, 0.2, 0.3), "bilinear")
    images = torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), whole_clip.encode_image(images))

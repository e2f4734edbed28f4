from __future__ import annotations

import json

import pytest
import torch

from geoloc.models import (
    ConvEncoder,
    DualEncoder,
    ImageEncoderSpec,
    LocationEncoder,
    LocationEncoderSpec,
    ModelSpec,
    declare_missing_operators,
)

TINY_CLIP = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 32,
        "layers": 2,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 4, "vocab_size": 16, "width": 16, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="session", autouse=True)
def importable_torchvision() -> None:
    """Tests that import timm by themselves need what the encoders do first."""
    declare_missing_operators()


@pytest.fixture(scope="session")
def tiny_clip(tmp_path_factory) -> str:
    """Name of a very small CLIP that open_clip knows for this session."""
    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "tiny-clip-for-tests.json").write_text(json.dumps(TINY_CLIP))
    open_clip.add_model_config(folder)
    return "tiny-clip-for-tests"


@pytest.fixture
def tiny_spec() -> ModelSpec:
    return ModelSpec(
        image_encoder=ImageEncoderSpec(
            kind="conv", name="", weights=None, image_size=32, width=8, preset={"std": [1, 1, 1]}
        ),
        location_encoder=LocationEncoderSpec(sigmas=(1.0, 8.0), hidden=16, features=8),
        embedding_dim=12,
        head_hidden=20,
        seed=5,
    )


@pytest.fixture
def make_dual():
    def make(*, frozen: bool = True, **options) -> DualEncoder:
        torch.manual_seed(0)
        return DualEncoder(
            ConvEncoder(8, 32),
            location_encoder=LocationEncoder((1.0, 8.0), 12, hidden=16, features=8),
            embedding_dim=12,
            head_hidden=20,
            frozen_backbone=frozen,
            **options,
        )

    return make


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """A hub that cannot be reached and an empty cache, as on a fresh machine without a network."""
    import huggingface_hub.constants as hub

    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))

from __future__ import annotations

import dataclasses
import json

import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.models import (
    ConvEncoder,
    ImageEncoderSpec,
    ModelSpec,
    build_image_encoder,
    build_model,
)


def test_json_round_trip(tiny_spec):
    for spec in (tiny_spec, ModelSpec()):
        assert ModelSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert ModelSpec.from_json({}) == ModelSpec()


@pytest.mark.parametrize(
    "bad",
    [{"depth": 3}, {"image_encoder": {"nam": "x"}}, {"location_encoder": {"sigma": [1]}}],
)
def test_unknown_keys_are_refused(bad):
    with pytest.raises(ConfigError, match="unknown keys"):
        ModelSpec.from_json(bad)


def test_defaults_are_geoclips():
    spec = ModelSpec()
    assert (spec.image_encoder.name, spec.image_encoder.weights) == ("ViT-L-14-quickgelu", "openai")
    assert spec.location_encoder.sigmas == (1.0, 16.0, 256.0)
    assert (spec.embedding_dim, spec.head_hidden, spec.init_temperature) == (512, 768, 0.07)


def test_same_spec_same_weights_and_the_global_generator_undisturbed(tiny_spec):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    first = build_model(tiny_spec)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(99)
    assert build_model(tiny_spec).fingerprint() == first.fingerprint()
    other = build_model(dataclasses.replace(tiny_spec, seed=6))
    assert other.fingerprint() != first.fingerprint()
    assert other.backbone_fingerprint() != first.backbone_fingerprint()


def test_every_field_reaches_the_model(tiny_spec):
    model = build_model(dataclasses.replace(tiny_spec, init_temperature=0.1, max_logit_scale=9.0))
    assert isinstance(model.image_encoder, ConvEncoder)
    assert model.image_encoder.feature_dim == 64
    assert (model.preset.size, model.preset.std) == (32, (1.0, 1.0, 1.0))
    assert model.location_encoder.sigmas == (1.0, 8.0)
    assert (model.location_encoder.hidden, model.location_encoder.features) == (16, 8)
    assert (model.embedding_dim, model.head_hidden, model.frozen_backbone) == (12, 20, True)
    assert model.scale().item() == pytest.approx(9.0)
    free = build_model(dataclasses.replace(tiny_spec, frozen_backbone=False))
    assert all(weight.requires_grad for weight in free.image_encoder.parameters())


def test_heads_do_not_depend_on_the_backbone(tiny_spec):
    wide = dataclasses.replace(
        tiny_spec, image_encoder=dataclasses.replace(tiny_spec.image_encoder, width=16)
    )
    first, second = build_model(tiny_spec), build_model(wide)
    assert torch.equal(
        first.location_encoder(torch.ones(1, 2)), second.location_encoder(torch.ones(1, 2))
    )


def test_other_libraries_are_reached_by_kind(tiny_clip):
    timm = build_image_encoder(ImageEncoderSpec(kind="timm", name="resnet10t", weights=None))
    clip = build_image_encoder(ImageEncoderSpec(kind="open_clip", name=tiny_clip, weights=None))
    assert (timm.feature_dim, clip.feature_dim) == (512, 12)


@pytest.mark.parametrize("kind", ["resnet", "location", "image", "dual", "../conv", ""])
def test_unknown_kinds_are_refused(kind):
    with pytest.raises(ConfigError, match="known: conv, open_clip, timm"):
        build_image_encoder(ImageEncoderSpec(kind=kind, name="", weights=None))

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from geoloc.batch import GeoBatch
from geoloc.errors import CheckpointError, ConfigError
from geoloc.models import ConvEncoder, DualEncoder, LocationEncoder
from geoloc.models.timm_encoder import TimmEncoder

PLACES = torch.tensor([[48.85, 2.35], [-33.9, 151.2], [0.0, 180.0]], dtype=torch.float64)


def images(count: int = 3) -> torch.Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_embeddings_are_unit_vectors_by_the_written_out_formula(make_dual):
    model = make_dual()
    feature = model.backbone_features(images())
    first, _, last = model.mlp
    hidden = (feature @ first.weight.T + first.bias).clamp(min=0)
    expected = F.normalize(hidden @ last.weight.T + last.bias, dim=1)
    torch.testing.assert_close(model.embed_features(feature), expected)
    places = model.embed_places(PLACES)
    torch.testing.assert_close(places, F.normalize(model.location_encoder(PLACES), dim=1))
    for vectors in (expected, places):
        torch.testing.assert_close(vectors.norm(dim=1), torch.ones(3))


def test_batches_of_features_and_of_pixels_agree(make_dual):
    model = make_dual()
    keys = ("a", "b", "c")
    pixels = GeoBatch(key=keys, latlon_deg=PLACES, image=images())
    features = GeoBatch(key=keys, latlon_deg=PLACES, feature=model.backbone_features(images()))
    half = GeoBatch(key=keys, latlon_deg=PLACES, feature=model.backbone_features(images()).half())
    torch.testing.assert_close(model.embed_batch(pixels), model.embed_batch(features))
    torch.testing.assert_close(
        model.embed_batch(half), model.embed_batch(features), atol=5e-3, rtol=0
    )


def test_frozen_backbone_has_no_gradient_and_stays_in_evaluation_mode():
    torch.manual_seed(0)
    model = DualEncoder(
        TimmEncoder("resnet10t"),
        location_encoder=LocationEncoder((1.0,), 8, hidden=16, features=8),
        embedding_dim=8,
    )
    model.train()
    assert model.mlp.training
    assert not any(module.training for module in model.image_encoder.modules())
    before = {name: value.clone() for name, value in model.image_encoder.state_dict().items()}
    feature = model.backbone_features(images())
    assert not feature.requires_grad
    model.embed_features(feature).sum().backward()
    assert all(weight.grad is None for weight in model.image_encoder.parameters())
    after = model.image_encoder.state_dict()
    # Batch statistics move in training mode: the classic leak of a "frozen" backbone.
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_trained_backbone_gets_gradients_and_training_mode(make_dual):
    model = make_dual(frozen=False).train()
    assert model.image_encoder.training
    model.embed_features(model.backbone_features(images())).sum().backward()
    assert all(weight.grad is not None for weight in model.image_encoder.parameters())
    model.eval()
    with torch.no_grad():
        assert not model.backbone_features(images()).requires_grad


def test_temperature_starts_as_told_and_is_bounded_but_never_stuck(make_dual):
    model = make_dual(init_temperature=0.05, max_logit_scale=50.0)
    assert model.scale().item() == pytest.approx(20)
    assert make_dual().logit_scale.item() == pytest.approx(math.log(1 / 0.07))
    with torch.no_grad():
        model.logit_scale.fill_(6.0)
    assert model.scale().item() == pytest.approx(50, rel=1e-5)
    model.scale().backward()
    assert model.logit_scale.grad.item() > 0
    model.clamp_temperature()
    assert model.logit_scale.item() == pytest.approx(math.log(50))


def test_trainable_state_goes_round_without_the_frozen_backbone(make_dual):
    model, other = make_dual(), make_dual()
    with torch.no_grad():
        for weight in [*other.mlp.parameters(), other.logit_scale, other.image_encoder.stem.weight]:
            weight.add_(0.5)
    state = {name: value.clone() for name, value in other.trainable_state().items()}
    assert not any(name.startswith("image_encoder.") for name in state)
    assert {"logit_scale", "mlp.0.weight", "location_encoder.LocEnc0.capsule.0.b"} <= set(state)
    kept = model.image_encoder.stem.weight.clone()
    model.load_trainable_state(state)
    assert torch.equal(model.image_encoder.stem.weight, kept)
    assert all(torch.equal(value, state[name]) for name, value in model.trainable_state().items())
    with pytest.raises(CheckpointError, match="missing logit_scale"):
        model.load_trainable_state({n: v for n, v in state.items() if n != "logit_scale"})
    with pytest.raises(CheckpointError, match="left over image_encoder"):
        model.load_trainable_state(make_dual(frozen=False).trainable_state())


def test_fingerprint_sees_every_part(make_dual):
    base = make_dual()
    assert base.fingerprint() == make_dual().fingerprint()
    seen = {base.fingerprint()}
    for part in ("mlp.0.bias", "logit_scale", "location_encoder.LocEnc1.capsule.0.b"):
        model = make_dual()
        with torch.no_grad():
            model.state_dict()[part].add_(1e-3)
        assert model.backbone_fingerprint() == base.backbone_fingerprint()
        seen.add(model.fingerprint())
    model = make_dual()
    with torch.no_grad():
        model.image_encoder.stem.weight.add_(1e-3)
    assert model.backbone_fingerprint() != base.backbone_fingerprint()
    seen.add(model.fingerprint())
    assert len(seen) == 5


def test_mixed_precision_gives_float32_unit_vectors(make_dual):
    model = make_dual()
    with torch.autocast("cpu", torch.bfloat16):
        vectors = model.embed_features(model.backbone_features(images()))
        places = model.embed_places(PLACES)
    for result in (vectors, places):
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.norm(dim=1), torch.ones(3))
    assert F.cosine_similarity(places, model.embed_places(PLACES)).min() > 0.999


def test_impossible_models_are_refused():
    location = LocationEncoder((1.0,), 8, hidden=16, features=8)
    with pytest.raises(ConfigError, match="vectors of 8"):
        DualEncoder(ConvEncoder(8, 32), location_encoder=location, embedding_dim=12)
    with pytest.raises(ConfigError, match="above zero"):
        DualEncoder(
            ConvEncoder(8, 32), location_encoder=location, embedding_dim=8, init_temperature=0.0
        )


def test_the_preset_is_the_backbones(make_dual):
    model = make_dual()
    assert model.preset == model.image_encoder.preset


def test_a_frozen_backbone_is_fingerprinted_once_until_it_changes(make_dual, monkeypatch):
    model = make_dual()
    calls = []
    plain = type(model.image_encoder).fingerprint
    counted = lambda encoder: calls.append(1) or plain(encoder)  # noqa: E731
    monkeypatch.setattr(type(model.image_encoder), "fingerprint", counted)
    first = model.fingerprint()
    assert (model.fingerprint(), len(calls)) == (first, 1)
    with torch.no_grad():
        next(model.image_encoder.parameters()).add_(1.0)
    assert model.fingerprint() != first
    assert len(calls) == 2

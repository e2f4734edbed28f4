from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from geoloc.errors import CheckpointError
from geoloc.models import (
    ImageEncoderSpec,
    build_model,
    load_model,
    read_description,
    save_model,
)

PLACES = torch.tensor([[48.85, 2.35], [-33.9, 151.2]])


def moved(spec):
    """A model that training has changed."""
    model = build_model(spec)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(0.01)
    return model


@pytest.fixture
def timm_spec(tiny_spec, tmp_path):
    import timm

    torch.manual_seed(8)
    path = tmp_path / "backbone.safetensors"
    save_file(timm.create_model("resnet10t", pretrained=False).state_dict(), path)
    image = ImageEncoderSpec(kind="timm", name="resnet10t", weights=str(path), preset={"size": 64})
    return dataclasses.replace(tiny_spec, image_encoder=image)


@torch.no_grad()
@pytest.mark.parametrize("frozen", [True, False])
def test_a_conv_model_goes_round_with_its_backbone(tiny_spec, tmp_path, frozen):
    spec = dataclasses.replace(tiny_spec, frozen_backbone=frozen)
    model = moved(spec)
    save_model(tmp_path / "model", model, spec, {"step": 12})
    again = load_model(tmp_path / "model")
    assert again.fingerprint() == model.fingerprint()
    assert again.preset == model.preset
    assert not again.training
    torch.testing.assert_close(again.embed_places(PLACES), model.eval().embed_places(PLACES))
    description = read_description(tmp_path / "model")
    assert description.spec == spec
    assert description.extra == {"step": 12}
    assert description.backbone_stored
    assert description.fingerprint == model.fingerprint()
    assert sorted(file.name for file in (tmp_path / "model").iterdir()) == [
        "model.json",
        "model.safetensors",
    ]


def test_a_frozen_backbone_of_a_file_is_not_stored_but_checked(timm_spec, tmp_path):
    model = moved(timm_spec)
    save_model(tmp_path / "model", model, timm_spec)
    names = set(load_file(tmp_path / "model" / "model.safetensors"))
    assert not any(name.startswith("image_encoder.") for name in names)
    assert load_model(tmp_path / "model").fingerprint() == model.fingerprint()

    original = Path(timm_spec.image_encoder.weights)
    elsewhere = original.rename(tmp_path / "moved.safetensors")
    with pytest.raises(CheckpointError, match="pass its weights file as backbone_weights"):
        load_model(tmp_path / "model")
    again = load_model(tmp_path / "model", backbone_weights=elsewhere)
    assert again.fingerprint() == model.fingerprint()

    import timm

    torch.manual_seed(9)
    save_file(timm.create_model("resnet10t", pretrained=False).state_dict(), original)
    with pytest.raises(CheckpointError, match="fingerprint differs"):
        load_model(tmp_path / "model")


def test_fine_tuned_and_random_backbones_are_stored(timm_spec, tmp_path):
    fine_tuned = dataclasses.replace(timm_spec, frozen_backbone=False)
    random = dataclasses.replace(
        timm_spec, image_encoder=dataclasses.replace(timm_spec.image_encoder, weights=None)
    )
    for name, spec in {"fine": fine_tuned, "random": random}.items():
        model = moved(spec)
        save_model(tmp_path / name, model, spec)
        Path(timm_spec.image_encoder.weights).unlink(missing_ok=True)
        assert load_model(tmp_path / name).fingerprint() == model.fingerprint()


@pytest.mark.usefixtures("offline")
def test_a_hub_backbone_without_a_network_says_what_to_do(tiny_spec, tmp_path):
    save_model(tmp_path, build_model(tiny_spec), tiny_spec)
    content = json.loads((tmp_path / "model.json").read_text())
    content["spec"]["image_encoder"] = {
        "kind": "open_clip",
        "name": "ViT-L-14-quickgelu",
        "weights": "openai",
    }
    content["backbone_stored"] = False
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="pass its weights file as backbone_weights"):
        load_model(tmp_path)


def test_saving_again_replaces_and_a_failure_keeps_the_old(tiny_spec, tmp_path, monkeypatch):
    first, second = build_model(tiny_spec), moved(tiny_spec)
    save_model(tmp_path, first, tiny_spec)
    save_model(tmp_path, second, tiny_spec)
    assert load_model(tmp_path).fingerprint() == second.fingerprint()

    def full_disk(tensors, file):
        Path(file).write_bytes(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr("geoloc.models.model_files.save_file", full_disk)
    with pytest.raises(OSError, match="no space"):
        save_model(tmp_path, first, tiny_spec)
    monkeypatch.undo()
    assert load_model(tmp_path).fingerprint() == second.fingerprint()
    assert len(list(tmp_path.iterdir())) == 2


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "model.safetensors").read_bytes())
    data[-100] ^= 1
    (folder / "model.safetensors").write_bytes(data)


def cut_weights(folder: Path) -> None:
    data = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])


def cut_description(folder: Path) -> None:
    text = (folder / "model.json").read_text()
    (folder / "model.json").write_text(text[: len(text) // 2])


def newer_schema(folder: Path) -> None:
    content = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps({**content, "schema_version": 99}))


def unknown_key(folder: Path) -> None:
    content = json.loads((folder / "model.json").read_text())
    content["spec"]["dropout"] = 0.5
    (folder / "model.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (flip_a_bit, "checksum"),
        (cut_weights, "checksum"),
        (cut_description, "damaged"),
        (newer_schema, "schema version 99"),
        (unknown_key, "damaged"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no such file"),
        (lambda folder: (folder / "model.json").unlink(), "holds no model"),
        (lambda folder: (folder / "model.json").write_text("[]"), "damaged"),
    ],
)
def test_torn_and_foreign_files_are_refused(tiny_spec, tmp_path, damage, words):
    save_model(tmp_path, build_model(tiny_spec), tiny_spec)
    damage(tmp_path)
    with pytest.raises(CheckpointError, match=words):
        load_model(tmp_path)


def test_the_preset_in_use_when_saved_is_the_one_in_use_when_loaded(tiny_spec, tmp_path):
    model = build_model(tiny_spec)
    save_model(tmp_path, model, tiny_spec)
    content = json.loads((tmp_path / "model.json").read_text())
    # As if the library's defaults, on which the spec relied, had changed since.
    content["spec"]["image_encoder"]["preset"] = {}
    (tmp_path / "model.json").write_text(json.dumps(content))
    assert load_model(tmp_path).preset == model.preset
    assert model.preset.std == (1.0, 1.0, 1.0)


def test_weights_of_another_model_are_refused_even_with_a_right_checksum(tiny_spec, tmp_path):
    wide = dataclasses.replace(tiny_spec, head_hidden=24)
    save_model(tmp_path, build_model(wide), wide)
    content = json.loads((tmp_path / "model.json").read_text())
    content["spec"]["head_hidden"] = 20
    (tmp_path / "model.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="do not fit"):
        load_model(tmp_path)

"""A model in a folder: model.safetensors with the weights, model.json with everything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from geoloc.artifacts import sha256_of, write_atomically, write_text
from geoloc.errors import CheckpointError, ConfigError
from geoloc.models.dual_encoder import DualEncoder
from geoloc.models.model_spec import ModelSpec, build_model
from geoloc.models.weight_files import load_strict, read_tensors

SCHEMA_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"
_BACKBONE = "image_encoder."


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """What model.json says.

    Attributes:
        spec: the architecture.
        preset: the image preset in use when the model was saved.
        backbone_stored: whether the backbone's weights are in the weights file.
        backbone_fingerprint: sha256 of the backbone, stored or not.
        fingerprint: sha256 of the whole model.
        weights_sha256: sha256 of the weights file.
        extra: what the caller wished to keep (names, figures), JSON-able.
    """

    spec: ModelSpec
    preset: dict[str, Any]
    backbone_stored: bool
    backbone_fingerprint: str
    fingerprint: str
    weights_sha256: str
    extra: dict[str, Any]


def save_model(
    folder: str | Path,
    model: DualEncoder,
    spec: ModelSpec,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the model so that `load_model` gives it back; each file appears whole or not at all.

    The weights of a frozen backbone that can be had again (a hub tag, a package, a file) are left
    out: its fingerprint is kept and checked on loading. A fine-tuned, convolutional or random
    backbone is stored. Interrupted between the two files, an overwritten model is found torn by
    its checksum and refused on loading.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    folder = Path(folder)
    stored = stores_backbone(spec)
    tensors = {
        name: tensor.detach().cpu().contiguous().clone()
        for name, tensor in model.state_dict().items()
        if stored or not name.startswith(_BACKBONE)
    }
    description = {
        "schema_version": SCHEMA_VERSION,
        "spec": spec.to_json(),
        "preset": model.preset.to_json(),
        "backbone_stored": stored,
        "backbone_fingerprint": model.backbone_fingerprint(),
        "fingerprint": model.fingerprint(),
        "extra": dict(extra or {}),
    }
    write_atomically(folder / WEIGHTS_FILE, lambda file: save_file(tensors, file))
    description["weights_sha256"] = sha256_of(folder / WEIGHTS_FILE)
    text = json.dumps(description, indent=2, sort_keys=True) + "\n"
    write_text(folder / DESCRIPTION_FILE, text)


def stores_backbone(spec: ModelSpec) -> bool:
    """Whether a model of this spec keeps its backbone's weights in its own file."""
    image = spec.image_encoder
    return not spec.frozen_backbone or image.weights is None or image.kind == "conv"


def load_model(
    folder: str | Path, *, device: str = "cpu", backbone_weights: str | Path | None = None
) -> DualEncoder:
    """The model that `save_model` wrote, in evaluation mode.

    Args:
        folder: where model.json and model.safetensors are.
        device: where the model shall be.
        backbone_weights: a file with the weights of a backbone that is not stored in the folder,
            instead of the hub tag or the path that the spec names; not used where it is stored.

    Raises:
        CheckpointError: a file is missing, torn or foreign; or the backbone's weights cannot be
            had or are not those that the model was trained with.
    """
    description = read_description(folder)
    spec = description.spec
    image = replace(spec.image_encoder, preset=description.preset)
    if description.backbone_stored:
        image = replace(image, weights=None)
    elif backbone_weights is not None:
        image = replace(image, weights=str(Path(backbone_weights).resolve()))
    try:
        model = build_model(replace(spec, image_encoder=image))
    except (CheckpointError, ConfigError) as error:
        raise CheckpointError(
            f"{folder}: the backbone {image.kind} {image.name!r} with weights {image.weights!r} "
            f"cannot be built: {error}; pass its weights file as backbone_weights"
        ) from error
    file = Path(folder) / WEIGHTS_FILE
    without = None if description.backbone_stored else _BACKBONE
    load_strict(model, read_tensors(file), source=str(file), without=without)
    if model.backbone_fingerprint() != description.backbone_fingerprint:
        raise CheckpointError(
            f"{folder}: the backbone {image.kind} {image.name!r} with weights {image.weights!r} "
            "is not the one this model was trained with (its fingerprint differs); pass the file "
            "of the original weights as backbone_weights"
        )
    return model.to(device).eval()


def read_description(folder: str | Path) -> ModelDescription:
    """What model.json says, after checking that model.safetensors belongs to it.

    Raises:
        CheckpointError: a file is missing, torn or foreign.
    """
    folder = Path(folder)
    file = folder / DESCRIPTION_FILE
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        version = content["schema_version"]
        if version != SCHEMA_VERSION:
            raise CheckpointError(
                f"{file}: schema version {version!r}, this geoloc reads {SCHEMA_VERSION}"
            )
        description = ModelDescription(
            spec=ModelSpec.from_json(content["spec"]),
            preset=dict(content["preset"]),
            backbone_stored=bool(content["backbone_stored"]),
            backbone_fingerprint=str(content["backbone_fingerprint"]),
            fingerprint=str(content["fingerprint"]),
            weights_sha256=str(content["weights_sha256"]),
            extra=dict(content["extra"]),
        )
    except FileNotFoundError as error:
        raise CheckpointError(f"{file}: no such file; {folder} holds no model") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{file}: damaged or not a model of geoloc: {error!r}") from error
    weights = folder / WEIGHTS_FILE
    if not weights.is_file():
        raise CheckpointError(f"{weights}: no such file, but {file} describes it")
    if sha256_of(weights) != description.weights_sha256:
        raise CheckpointError(
            f"{weights}: its checksum is not the one in {DESCRIPTION_FILE}: torn or from elsewhere"
        )
    return description

"""CLIP weights files of several origins, as the names of open_clip's visual tower."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor

_HUGGING_FACE = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    # Hugging Face's name has lost a letter.
    "vision_model.pre_layrnorm.weight": "ln_pre.weight",
    "vision_model.pre_layrnorm.bias": "ln_pre.bias",
    "vision_model.post_layernorm.weight": "ln_post.weight",
    "vision_model.post_layernorm.bias": "ln_post.bias",
}
_BLOCK_LAYERS = {
    "self_attn.out_proj": "attn.out_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}
_HUGGING_FACE_TEXT = {
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm.weight": "ln_final.weight",
    "text_model.final_layer_norm.bias": "ln_final.bias",
    "logit_scale": "logit_scale",
}
_BLOCK = re.compile(r"(\w+_model)\.encoder\.layers\.(\d+)\.([\w.]+)\.(weight|bias)")


def visual_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The visual tower's tensors of a CLIP file, in open_clip's names.

    Takes a whole open_clip model (``visual.`` before each name), a visual tower alone, or a
    Hugging Face ``CLIPModel``. Names that none of these know are handed on, so that a strict
    load afterwards tells of them.
    """
    if any(name.startswith("vision_model.") for name in state):
        return _from_hugging_face(state)
    if any(name.startswith("visual.") for name in state):
        prefix = "visual."
        return {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix)
        }
    return dict(state)


def whole_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a whole CLIP file, image and text tower, in open_clip's names.

    Takes an open_clip model or a Hugging Face ``CLIPModel``. Names that neither knows are handed
    on, so that a strict load afterwards tells of them.
    """
    if not any(name.startswith("vision_model.") for name in state):
        return dict(state)
    result = {f"visual.{name}": value for name, value in _from_hugging_face(state).items()}
    for name, value in state.items():
        if name == "text_projection.weight":
            result["text_projection"] = value.T.contiguous()
        elif name in _HUGGING_FACE_TEXT:
            result[_HUGGING_FACE_TEXT[name]] = value
        elif name.startswith("text_model.") and not name.endswith(".position_ids"):
            result |= _block_entry(name, value, state)
    return result


def _from_hugging_face(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    result: dict[str, Tensor] = {}
    for name, value in state.items():
        if name == "visual_projection.weight":
            result["proj"] = value.T.contiguous()
        elif name in _HUGGING_FACE:
            result[_HUGGING_FACE[name]] = value
        elif name.startswith("vision_model.") and not name.endswith(".position_ids"):
            result |= _block_entry(name, value, state)
    return result


def _block_entry(name: str, value: Tensor, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = _BLOCK.fullmatch(name)
    if found is None:
        return {name: value}
    tower, number, layer, kind = found.groups()
    block = f"transformer.resblocks.{number}"
    if layer in _BLOCK_LAYERS:
        return {f"{block}.{_BLOCK_LAYERS[layer]}.{kind}": value}
    if layer not in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
        return {name: value}
    # open_clip stacks query, key and value into one matrix, in this order.
    start = f"{tower}.encoder.layers.{number}.self_attn"
    parts = [state.get(f"{start}.{part}_proj.{kind}") for part in "qkv"]
    present = [part for part in parts if part is not None]
    return {f"{block}.attn.in_proj_{kind}": torch.cat(present)}

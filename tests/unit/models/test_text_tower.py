from __future__ import annotations

import json
import logging

import pytest
import torch
from safetensors.torch import save_file

from geoloc.errors import CheckpointError, ConfigError, MismatchError
from geoloc.models import ConvEncoder
from geoloc.models.clip_files import whole_state
from geoloc.models.open_clip_encoder import OpenClipEncoder, create_clip
from geoloc.models.text_tower import text_tower

CAPTIONS = ["a photo of a temple in Japan", "a fjord"]
# The tiny CLIP of the other tests, with the vocabulary that open_clip's tokenizer knows.
READING_CLIP = {
    "embed_dim": 12,
    "quick_gelu": True,
    "vision_cfg": {
        "image_size": 32,
        "layers": 1,
        "width": 32,
        "head_width": 16,
        "patch_size": 16,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module")
def name(tmp_path_factory):
    import open_clip

    folder = tmp_path_factory.mktemp("open_clip")
    (folder / "reading-clip-for-tests.json").write_text(json.dumps(READING_CLIP))
    open_clip.add_model_config(folder)
    return "reading-clip-for-tests"


@pytest.fixture(scope="module")
def whole(name):
    torch.manual_seed(3)
    return create_clip(name, None, None).eval()


@pytest.fixture
def file(whole, tmp_path):
    path = tmp_path / "clip.safetensors"
    save_file({key: value.contiguous() for key, value in whole.state_dict().items()}, path)
    return path


def in_hugging_face_names(whole):
    """The text tower's tensors as CLIPModel of Hugging Face calls them, written out by hand."""
    own = whole.state_dict()
    state = {
        "logit_scale": own["logit_scale"],
        "text_projection.weight": own["text_projection"].T.contiguous(),
        "text_model.embeddings.token_embedding.weight": own["token_embedding.weight"],
        "text_model.embeddings.position_embedding.weight": own["positional_embedding"],
        "text_model.embeddings.position_ids": torch.arange(16)[None],
    }
    for kind in ("weight", "bias"):
        state[f"text_model.final_layer_norm.{kind}"] = own[f"ln_final.{kind}"]
        for layer in range(2):
            theirs, ours = f"text_model.encoder.layers.{layer}", f"transformer.resblocks.{layer}"
            query, key, value = own[f"{ours}.attn.in_proj_{kind}"].chunk(3)
            state[f"{theirs}.self_attn.k_proj.{kind}"] = key.clone()
            state[f"{theirs}.self_attn.v_proj.{kind}"] = value.clone()
            state[f"{theirs}.self_attn.q_proj.{kind}"] = query.clone()
            for their, our in (
                ("self_attn.out_proj", "attn.out_proj"),
                ("layer_norm1", "ln_1"),
                ("layer_norm2", "ln_2"),
                ("mlp.fc1", "mlp.c_fc"),
                ("mlp.fc2", "mlp.c_proj"),
            ):
                state[f"{theirs}.{their}.{kind}"] = own[f"{ours}.{our}.{kind}"]
    return state


def by_hand(whole, name):
    import open_clip

    with torch.no_grad():
        return whole.encode_text(open_clip.get_tokenizer(name)(CAPTIONS))


def test_texts_are_what_open_clip_makes_of_them(name, whole, file):
    before = list(logging.getLogger().handlers)
    tower = text_tower(OpenClipEncoder(name, str(file)))
    assert list(logging.getLogger().handlers) == before
    feature = tower.encode(CAPTIONS)
    # Of one machine the same bits, of another the last ones differ.
    torch.testing.assert_close(feature, by_hand(whole, name), rtol=1e-5, atol=1e-6)
    assert not any(weight.requires_grad for weight in tower.parameters())
    assert not any("visual" in key for key in tower.state_dict())
    # One by one as together, and longer than the tower takes.
    torch.testing.assert_close(tower.encode(CAPTIONS[1:]), feature[1:])
    assert tower.encode(["far " * 400]).shape == (1, 12)


def test_names_of_hugging_face_are_read(name, whole):
    own = whole.state_dict()
    state = whole_state({**in_hugging_face_names(whole), "vision_model.extra": torch.ones(1)})
    assert set(state) == {key for key in own if not key.startswith("visual.")} | {
        "visual.vision_model.extra"
    }
    for key, value in state.items():
        if key in own:
            torch.testing.assert_close(value, own[key], rtol=0, atol=0)


def test_a_backbone_without_a_text_tower_is_refused():
    with pytest.raises(ConfigError, match=r"CLIP of open_clip.*ConvEncoder"):
        text_tower(ConvEncoder(8, 32))


def test_weights_without_a_text_tower_are_refused(name, whole, file, tmp_path):
    visual = {key: value.contiguous() for key, value in whole.visual.state_dict().items()}
    save_file(visual, tmp_path / "visual.safetensors")
    encoder = OpenClipEncoder(name, str(tmp_path / "visual.safetensors"))
    with pytest.raises(CheckpointError, match="image tower alone"):
        text_tower(encoder)
    # The whole file beside it will do.
    torch.testing.assert_close(text_tower(encoder, file).encode(CAPTIONS), by_hand(whole, name))


def test_a_backbone_of_unknown_origin_asks_for_the_file(name, file):
    torch.manual_seed(8)
    encoder = OpenClipEncoder(name, None)
    with pytest.raises(ConfigError, match="--text-weights"):
        text_tower(encoder)
    with pytest.raises(MismatchError, match="another image tower"):
        text_tower(encoder, file)


def test_a_fine_tuned_backbone_is_refused(name, file):
    encoder = OpenClipEncoder(name, str(file))
    with torch.no_grad():
        next(encoder.visual.parameters()).add_(0.01)
    with pytest.raises(MismatchError, match="fine-tuned"):
        text_tower(encoder)


@pytest.mark.parametrize("texts", [[], [""], ["a fjord", "  "]])
def test_empty_texts_are_refused(name, file, texts):
    with pytest.raises(ConfigError, match="empty"):
        text_tower(OpenClipEncoder(name, str(file))).encode(texts)

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from geoloc.errors import CheckpointError
from geoloc.models.clip_files import visual_state
from geoloc.models.open_clip_encoder import OpenClipEncoder

WIDTH, HEADS, LAYERS, PATCH = 32, 2, 2, 16


def hugging_face_state() -> dict[str, torch.Tensor]:
    """A random CLIP of the tiny size, in the names of Hugging Face's CLIPModel."""
    generator = torch.Generator().manual_seed(4)

    def draw(*shape):
        return 0.3 * torch.randn(*shape, generator=generator)

    vision = "vision_model."
    state = {
        f"{vision}embeddings.class_embedding": draw(WIDTH),
        f"{vision}embeddings.patch_embedding.weight": draw(WIDTH, 3, PATCH, PATCH),
        f"{vision}embeddings.position_embedding.weight": draw(5, WIDTH),
        f"{vision}embeddings.position_ids": torch.arange(5)[None],
        "visual_projection.weight": draw(12, WIDTH),
        "text_projection.weight": draw(12, 16),
        "logit_scale": torch.tensor(4.6),
    }
    norms = ["pre_layrnorm", "post_layernorm"]
    for layer in range(LAYERS):
        block = f"encoder.layers.{layer}."
        norms += [f"{block}layer_norm1", f"{block}layer_norm2"]
        sizes = {f"self_attn.{part}_proj": (WIDTH, WIDTH) for part in ("q", "k", "v", "out")}
        sizes |= {"mlp.fc1": (4 * WIDTH, WIDTH), "mlp.fc2": (WIDTH, 4 * WIDTH)}
        for name, shape in sizes.items():
            state[f"{vision}{block}{name}.weight"] = draw(*shape)
            state[f"{vision}{block}{name}.bias"] = draw(shape[0])
    for name in norms:
        state[f"{vision}{name}.weight"] = 1 + draw(WIDTH)
        state[f"{vision}{name}.bias"] = draw(WIDTH)
    return state


def forward_by_hand(state: dict[str, torch.Tensor], images: torch.Tensor) -> torch.Tensor:
    """CLIP's vision tower (Radford et al. 2021, section 2.4) on those names, head by head."""

    def norm(x, name):
        weight, bias = (state[f"vision_model.{name}.{kind}"] for kind in ("weight", "bias"))
        return F.layer_norm(x, (WIDTH,), weight, bias)

    def linear(x, name):
        return x @ state[f"vision_model.{name}.weight"].T + state[f"vision_model.{name}.bias"]

    embeddings = "vision_model.embeddings."
    patches = F.conv2d(images, state[f"{embeddings}patch_embedding.weight"], stride=PATCH)
    first = state[f"{embeddings}class_embedding"].expand(len(images), 1, WIDTH)
    x = torch.cat((first, patches.flatten(2).mT), dim=1)
    x = norm(x + state[f"{embeddings}position_embedding.weight"], "pre_layrnorm")
    for layer in range(LAYERS):
        block = f"encoder.layers.{layer}."
        y = norm(x, f"{block}layer_norm1")
        q, k, v = (linear(y, f"{block}self_attn.{part}_proj") for part in "qkv")
        size = WIDTH // HEADS
        heads = []
        for head in range(HEADS):
            part = slice(head * size, (head + 1) * size)
            attention = (q[..., part] @ k[..., part].mT / size**0.5).softmax(dim=-1)
            heads.append(attention @ v[..., part])
        x = x + linear(torch.cat(heads, dim=-1), f"{block}self_attn.out_proj")
        y = linear(norm(x, f"{block}layer_norm2"), f"{block}mlp.fc1")
        x = x + linear(y * torch.sigmoid(1.702 * y), f"{block}mlp.fc2")
    return norm(x[:, 0], "post_layernorm") @ state["visual_projection.weight"].T


@torch.no_grad()
def test_hugging_face_files_give_the_features_of_their_own_formula(tiny_clip, tmp_path):
    state = hugging_face_state()
    path = tmp_path / "model.safetensors"
    save_file(state, path)
    encoder = OpenClipEncoder(tiny_clip, str(path)).eval()
    images = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(
        encoder(images), forward_by_hand(state, images), atol=1e-4, rtol=1e-4
    )


def test_incomplete_hugging_face_files_are_refused(tiny_clip, tmp_path):
    for missing in (
        "visual_projection.weight",
        "vision_model.encoder.layers.1.self_attn.k_proj.bias",
    ):
        state = hugging_face_state()
        del state[missing]
        save_file(state, tmp_path / "cut.safetensors")
        with pytest.raises(CheckpointError, match="do not fit"):
            OpenClipEncoder(tiny_clip, str(tmp_path / "cut.safetensors"))


def test_other_layouts():
    proj, text = torch.ones(1), torch.zeros(1)
    assert visual_state({"visual.proj": proj, "token_embedding.weight": text}) == {"proj": proj}
    assert visual_state({"proj": proj}) == {"proj": proj}
    unknown = visual_state({"vision_model.something.new": proj})
    assert list(unknown) == ["vision_model.something.new"]

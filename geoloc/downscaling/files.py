"""A downscaler that has learnt as a folder of files, which reads back to the bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from geoloc.artifacts import check_sha256, read_json, sha256_of, write_atomically, write_json
from geoloc.downscaling.detail import Scales
from geoloc.downscaling.diffusion import FieldNetwork
from geoloc.downscaling.downscaler import (
    CONDITIONS,
    DiffusionDownscaler,
    RegressionDownscaler,
)
from geoloc.downscaling.settings import DownscalingSettings
from geoloc.downscaling.transfer_encoder import TransferEncoder
from geoloc.errors import CheckpointError, DataError
from geoloc.models.weight_files import load_strict, read_tensors

MODEL, TENSORS = "downscaler.json", "tensors.safetensors"
SCHEMA_VERSION = 1
_WHAT = "downscaler"


def save_downscaler(downscaler: DiffusionDownscaler | RegressionDownscaler, folder: Path) -> Path:
    """Write a downscaler: `MODEL` and `TENSORS`; returns the folder.

    Args:
        downscaler: to keep.
        folder: made when absent; a downscaler that lies there is replaced.

    Raises:
        OSError: the folder cannot be written.
    """
    # without it what is left of an older one is refused, should this end half way
    (folder / MODEL).unlink(missing_ok=True)
    tensors = _state(downscaler.network, "network.")
    if isinstance(downscaler, DiffusionDownscaler):
        tensors |= _state(downscaler.encoder, "encoder.")
    write_atomically(folder / TENSORS, lambda path: save_file(tensors, path))
    content = {
        "kind": type(downscaler).__name__,
        "schema_version": SCHEMA_VERSION,
        "settings": asdict(downscaler.settings),
        "scales": asdict(downscaler.scales),
        "sha256": sha256_of(folder / TENSORS),
    }
    write_json(folder / MODEL, content)
    return folder


def load_downscaler(
    folder: Path, device: torch.device | str = "cpu"
) -> DiffusionDownscaler | RegressionDownscaler:
    """Read what `save_downscaler` wrote; on the CPU it gives the same fields, to the bit.

    Args:
        folder: where it lies.
        device: of the networks.

    Raises:
        ConfigError: diffusers is not installed.
        DataError: a file is missing, damaged or of another version.
    """
    content = read_json(folder / MODEL, what=_WHAT)
    kinds = (DiffusionDownscaler.__name__, RegressionDownscaler.__name__)
    if content.get("kind") not in kinds or content.get("schema_version") != SCHEMA_VERSION:
        raise DataError(f"{folder / MODEL} is no {_WHAT} of version {SCHEMA_VERSION}: learn again")
    try:
        check_sha256(folder / TENSORS, content["sha256"], what=_WHAT)
        # networks begin with random weights: torch's own chance is as it was afterwards
        with torch.random.fork_rng(devices=[]):
            return _downscaler(content, read_tensors(folder / TENSORS), torch.device(device))
    except (CheckpointError, KeyError, TypeError, ValueError) as error:
        raise DataError(f"the {_WHAT} at {folder} is damaged ({error}): learn again") from None


def _state(network: nn.Module, prefix: str) -> dict[str, Tensor]:
    return {
        prefix + name: tensor.detach().cpu().contiguous()
        for name, tensor in network.state_dict().items()
    }


def _downscaler(
    content: Mapping[str, Any], tensors: Mapping[str, Tensor], device: torch.device
) -> DiffusionDownscaler | RegressionDownscaler:
    told: dict[str, Any] = dict(content["settings"])
    told["widths"] = tuple(told["widths"])
    settings = DownscalingSettings(**told)
    scales = Scales(**content["scales"])

    def read(network: nn.Module, prefix: str) -> Any:
        state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        load_strict(network, state, source=TENSORS)
        return network.to(device).eval().requires_grad_(False)

    if content["kind"] == RegressionDownscaler.__name__:
        network = FieldNetwork(inputs=settings.lags, widths=settings.widths)
        return RegressionDownscaler(
            settings=settings, scales=scales, network=read(network, "network.")
        )
    encoder = TransferEncoder(lags=settings.lags, width=settings.encoder_width)
    inputs = CONDITIONS + encoder.feature_count
    network = FieldNetwork(inputs=inputs, widths=settings.widths)
    return DiffusionDownscaler(
        settings=settings,
        scales=scales,
        encoder=read(encoder, "encoder."),
        network=read(network, "network."),
    )

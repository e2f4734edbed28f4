"""Reading tensors from files without ever running code that stands in them."""

from __future__ import annotations

import os
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from geoloc.errors import CheckpointError

FILE_SUFFIXES = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")


def is_file_reference(weights: str) -> bool:
    """True where `weights` means a file: it has a folder or a known suffix in its name.

    Whether the file exists plays no part: a file that happens to be called like a tag would
    otherwise take the tag's place.
    """
    has_folder = any(mark is not None and mark in weights for mark in (os.sep, os.altsep))
    return has_folder or Path(weights).suffix in FILE_SUFFIXES


def read_tensors(path: str | Path) -> dict[str, Tensor]:
    """Name → tensor of a .safetensors file or of a torch file, on the CPU.

    A torch file is read with ``weights_only=True``; a ``state_dict`` entry inside is unwrapped.

    Raises:
        CheckpointError: no such file, damaged, or it holds anything but named tensors.
    """
    content = _read_torch(path)
    if isinstance(content, Mapping):
        content = cast("Mapping[str, Any]", content)
        state = content.get("state_dict", content)
        if isinstance(state, Mapping):
            tensors = dict(cast("Mapping[str, Any]", state))
            if all(isinstance(value, Tensor) for value in tensors.values()):
                return tensors
    raise CheckpointError(f"{path}: expected names with tensors, found {type(content).__name__}")


def read_scalar(path: str | Path) -> Tensor:
    """The one number in a file: a bare 0-d tensor (.pth) or a single entry.

    Raises:
        CheckpointError: the file cannot be read or does not hold exactly one number.
    """
    content = _read_torch(path)
    if isinstance(content, Mapping) and len(cast("Mapping[str, Any]", content)) == 1:
        content = next(iter(cast("Mapping[str, Any]", content).values()))
    if not isinstance(content, Tensor) or content.numel() != 1:
        raise CheckpointError(f"{path}: expected a single number")
    return content.detach().reshape(())


def load_strict(
    module: nn.Module,
    state: Mapping[str, Tensor],
    *,
    source: str,
    without: str | None = None,
    assign: bool = False,
) -> None:
    """Load `state` into `module`, every name and shape of both sides used, or nothing at all.

    Args:
        module: gets the tensors.
        state: name → tensor.
        source: named in the error.
        without: tensors of the module whose name begins so are left as they are, and must not be
            in the state.
        assign: the module takes the state's tensors themselves, in its own dtype, instead of
            copying them into its own: what it holds on the device ``meta`` becomes real so, and a
            file that is mapped into memory is not read before it is used.

    Raises:
        CheckpointError: a tensor is missing, left over, or of another shape; names the first few.
    """
    own = {
        name: tensor
        for name, tensor in module.state_dict().items()
        if without is None or not name.startswith(without)
    }
    faults = [f"missing {name}" for name in own if name not in state]
    faults += [f"left over {name}" for name in state if name not in own]
    faults += [
        f"{name} is {tuple(tensor.shape)}, not {tuple(own[name].shape)}"
        for name, tensor in state.items()
        if name in own and own[name].shape != tensor.shape
    ]
    if faults:
        raise CheckpointError(
            f"{source}: {len(faults)} tensors do not fit the architecture: "
            + "; ".join(faults[:4])
            + ("; ..." if len(faults) > 4 else "")
        )
    given = dict(state)
    if assign:
        given = {name: tensor.to(own[name].dtype) for name, tensor in state.items()}
    module.load_state_dict(given, strict=without is None, assign=assign)


def _read_torch(path: str | Path) -> object:
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"{path}: no such file")
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            # Said of TorchScript archives just before they are refused.
            warnings.filterwarnings("ignore", message="'torch.load' received a zip file")
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: refused, the file holds more than tensors (loading it could run code); "
            "convert it to .safetensors where it comes from"
        ) from error
    except RuntimeError as error:
        if "TorchScript" in str(error):
            raise CheckpointError(
                f"{path}: refused, this is a TorchScript archive (it holds code); "
                "use the weights as .safetensors or as a plain state dict"
            ) from error
        raise CheckpointError(f"{path}: damaged or not a torch file: {error}") from error
    except (SafetensorError, EOFError, OSError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: damaged or not a weights file: {error}") from error

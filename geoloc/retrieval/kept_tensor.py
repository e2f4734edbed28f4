"""A tensor that is computed once and kept in a file named by what it was computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor

from geoloc.artifacts import write_atomically


def kept_tensor(
    folder: Path, name: str, content: Sequence[Tensor], compute: Callable[[], Tensor]
) -> Tensor:
    """The tensor kept in `folder` for this content, else computed and kept there.

    Args:
        folder: made when absent.
        name: beginning of the file's name.
        content: all that the tensor depends on; its SHA-256 ends the file's name.
        compute: makes the tensor.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file, save_file

    digest = hashlib.sha256()
    for part in content:
        digest.update(f"{part.dtype} {tuple(part.shape)}".encode())
        digest.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    file = folder / f"{name}-{digest.hexdigest()[:24]}.safetensors"
    try:
        return load_file(file)[name]
    except (FileNotFoundError, SafetensorError, KeyError):
        # Absent or damaged: it is made again either way.
        made = compute().cpu().contiguous()
        # A folder that cannot be written to costs the next caller time, nothing else.
        with suppress(OSError):
            write_atomically(file, lambda temporary: save_file({name: made}, temporary))
        return made

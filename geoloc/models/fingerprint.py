"""Fingerprints: a sha256 that is equal exactly where all weights are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn


def fingerprint_tensors(tensors: Mapping[str, Tensor], *, label: str = "") -> str:
    """Sha256 (hex) over names, dtypes, shapes and bytes of tensors, in the order of the names.

    Independent of the device and of the order of the mapping. `label` is hashed first: whatever
    else decides on the output, such as the architecture's name.
    """
    digest = hashlib.sha256(label.encode())
    for name in sorted(tensors):
        tensor = tensors[name].detach()
        digest.update(f"\0{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        if tensor.numel():
            flat = tensor.to("cpu").contiguous().reshape(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Stamp:
    """What a module's tensors were at a moment, told in microseconds instead of by their bytes.

    Sees whatever torch counts: steps of an optimiser, loaded states, moves between devices, other
    parameters in the place of these. Not seen are edits behind torch's back, through ``.data`` or
    through an array that shares the memory.

    Attributes:
        tensors: the parameters and buffers themselves; none of them can be mistaken for another.
        marks: address of the data and version of each.
    """

    tensors: tuple[Tensor, ...]
    marks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, module: nn.Module) -> Stamp:
        """The module's stamp as it is now."""
        tensors = (*module.parameters(), *module.buffers())
        return cls(tensors=tensors, marks=tuple(_mark(tensor) for tensor in tensors))

    def holds_for(self, module: nn.Module) -> bool:
        """Whether the module still has the tensors that were stamped, unchanged."""
        now = Stamp.of(module)
        same = len(now.tensors) == len(self.tensors) and all(
            mine is other for mine, other in zip(now.tensors, self.tensors, strict=True)
        )
        return same and now.marks == self.marks


def _mark(tensor: Tensor) -> tuple[int, int]:
    # Tensors made in inference mode cannot be changed outside of it, and have no version.
    version = -1 if tensor.is_inference() else tensor._version  # pyright: ignore[reportPrivateUsage]
    return tensor.data_ptr(), version

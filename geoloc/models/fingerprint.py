"""Fingerprints: a sha256 that is equal exactly where all weights are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import torch
from torch import Tensor


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

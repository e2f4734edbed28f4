"""Seeds: every random draw of a step is a function of (seed, step), so little state is kept."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor


def derive_seed(seed: int, *parts: int | str) -> int:
    """A 63-bit seed that depends on all of its parts, the same on every machine."""
    text = "\x1f".join(str(part) for part in (seed, *parts))
    digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def step_generator(
    seed: int, step: int, stream: str, *, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A fresh generator for one purpose in one step.

    Streams are independent of one another, and nothing of a generator needs saving: an equal
    (seed, step, stream) gives equal draws, whatever was drawn before.

    Args:
        seed: of the run.
        step: number of the step, counted over the whole run.
        stream: the purpose, such as `noise`.
        device: where the draws are made; devices of different kinds draw differently.
    """
    return torch.Generator(device=device).manual_seed(derive_seed(seed, step, stream))


def seed_everything(seed: int, *, device: torch.device | str = "cpu") -> None:
    """Seed Python, NumPy and torch; on the CPU allow deterministic algorithms alone.

    On other devices determinism costs much speed and some operators, so it is left to the caller.
    """
    random.seed(derive_seed(seed, "python"))
    np.random.seed(derive_seed(seed, "numpy") % 2**32)  # noqa: NPY002 - libraries draw from it
    torch.manual_seed(derive_seed(seed, "torch"))
    if torch.device(device).type == "cpu":
        torch.use_deterministic_algorithms(True)
        # Filling fresh memory with NaN only serves to find reads before writes, and costs time.
        torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]


def random_state() -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The states of all global generators: (tensors, JSON-able values)."""
    tensors = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states = torch.cuda.get_rng_state_all()
        tensors |= {f"cuda_{index}": state for index, state in enumerate(states)}
    version, words, gauss = random.getstate()
    _, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    tensors["numpy"] = torch.from_numpy(np.asarray(keys).astype(np.int64))
    values: dict[str, Any] = {
        "python": [version, list(words), gauss],
        # Without the cached Gaussian the second draw of a pair would be lost on resume.
        "numpy": [int(position), int(has_gauss), float(cached)],
    }
    return tensors, values


def restore_random_state(tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
    """Put every global generator back to what `random_state` saw.

    CUDA generators are restored as far as there are devices for them.
    """
    torch.set_rng_state(tensors["torch"])
    for index in range(torch.cuda.device_count()):
        if f"cuda_{index}" in tensors:
            torch.cuda.set_rng_state(tensors[f"cuda_{index}"], index)
    version, words, gauss = values["python"]
    random.setstate((version, tuple(words), gauss))
    position, has_gauss, cached = values["numpy"]
    keys = tensors["numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", keys, position, has_gauss, cached))  # noqa: NPY002

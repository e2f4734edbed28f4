"""The indices by name, as commands offer them."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.retrieval.faiss_index import FaissFlatIndex
from geoloc.retrieval.index import ExactIndex, NearestIndex

IndexKind: TypeAlias = Literal["exact", "faiss"]


def build_index(
    kind: IndexKind | str,
    embedding: Float[Tensor, "candidate embedding"],
    *,
    device: torch.device | str | None = None,
) -> NearestIndex:
    """The index of that name over unit vectors.

    Args:
        kind: ``exact`` searches by `ExactIndex` on the device; ``faiss`` by `FaissFlatIndex`,
            always on the CPU.
        embedding: unit vectors, one a candidate.
        device: where ``exact`` searches; by default where `embedding` is.

    Raises:
        ConfigError: there is no index of that name, or faiss is not installed.
        DataError: a vector is not of length one.
        ValueError: there are no candidates.
    """
    if kind == "exact":
        return ExactIndex(embedding, device=device)
    if kind == "faiss":
        return FaissFlatIndex(embedding)
    raise ConfigError(f"no index {kind!r}: choose exact or faiss")

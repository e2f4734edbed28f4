"""The index that a word asks for, as commands and configurations name it."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from geoloc.retrieval.faiss_index import FaissIndex
from geoloc.retrieval.index import ExactIndex, NearestIndex
from geoloc.retrieval.index_spec import parse_index
from geoloc.retrieval.vector_rows import VectorRows


def build_index(
    word: str,
    embedding: Float[Tensor, "candidate embedding"] | VectorRows,
    *,
    device: torch.device | str | None = None,
) -> NearestIndex:
    """The index of that word over unit vectors.

    Args:
        word: as `parse_index` reads it, such as ``exact`` or ``faiss-ivf:nlist=1024,nprobe=16``.
        embedding: unit vectors, one a candidate; or `VectorRows`.
        device: where to search; by default where `embedding` is, for faiss the CPU.

    Raises:
        ConfigError: there is no such index, or faiss is not installed.
        DataError: a vector is not of length one.
        ValueError: there are no candidates.
    """
    spec = parse_index(word)
    if spec.kind == "exact":
        return ExactIndex(embedding, device=device)
    return FaissIndex(spec, embedding, device=device)

"""Unit vectors as an index reads them: a block of rows, or some rows, as float32."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from geoloc.retrieval.vectors import check_unit

_PRODUCTS_AT_A_TIME = 1 << 20


@runtime_checkable
class VectorRows(Protocol):
    """Vectors in memory or in a file."""

    @property
    def embedding_dim(self) -> int:
        """Their width."""
        ...

    @property
    def device(self) -> torch.device:
        """Where rows come from."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...

    def rows(self, start: int, stop: int) -> Float32[Tensor, "row embedding"]:
        """Those from start to stop."""
        ...

    def pick(self, index: Int64[Tensor, " row"]) -> Float32[Tensor, "row embedding"]:
        """Those of these numbers."""
        ...


class HeldVectors:
    """Vectors held in memory as float32.

    Args:
        embedding: unit vectors.
        device: where to hold them; by default where they are.

    Raises:
        DataError: a vector is not of length one.
        ValueError: there are none.
    """

    def __init__(
        self,
        embedding: Float[Tensor, "row embedding"],
        *,
        device: torch.device | str | None = None,
    ) -> None:
        if not embedding.shape[0]:
            raise ValueError("an index needs at least one candidate")
        check_unit(embedding, what="candidate")
        self._vector = embedding.detach().to(device=device, dtype=torch.float32).contiguous()

    @property
    def embedding_dim(self) -> int:
        """Width of a vector."""
        return self._vector.shape[1]

    @property
    def device(self) -> torch.device:
        """Where they are held."""
        return self._vector.device

    def __len__(self) -> int:
        return self._vector.shape[0]

    def rows(self, start: int, stop: int) -> Float32[Tensor, "row embedding"]:
        """A view of rows start to stop."""
        return self._vector[start:stop]

    def pick(self, index: Int64[Tensor, " row"]) -> Float32[Tensor, "row embedding"]:
        """A copy of these rows."""
        return self._vector.index_select(0, index)


def score_pairs(
    candidate: VectorRows,
    query: Float32[Tensor, "query embedding"],
    row: Int64[Tensor, " pair"],
    column: Int64[Tensor, " pair"],
) -> Float32[Tensor, " pair"]:
    """Inner products pair by pair, summed in float64: equal vectors score equally anywhere.

    Args:
        candidate: unit vectors.
        query: unit vectors.
        row: the query of each pair.
        column: its candidate.
    """
    # Apple's GPU has no float64; there float32 must do.
    wide = torch.float32 if query.device.type == "mps" else torch.float64
    pairs = max(1, _PRODUCTS_AT_A_TIME // max(1, query.shape[1]))
    parts = [
        (query[rows].to(wide) * candidate.pick(columns).to(wide)).sum(dim=1).float()
        for rows, columns in zip(row.split(pairs), column.split(pairs), strict=True)
    ]
    return torch.cat(parts)

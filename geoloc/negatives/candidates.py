"""Candidates: whom the queries of a batch are compared with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.errors import CheckpointError
from geoloc.negatives.pool import PlaceQueue
from geoloc.ranks import Ranks


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The columns of a pair matrix: first the places of the batch, then a pool's.

    With several processes the batch is that of all of them, in the order of ranks, and every one
    has the same columns; the rows are its own queries.

    Attributes:
        batch_places: how many of the first candidates are the places of the batch.
        latlon_deg: clean places in degrees, float64.
        own_column: which candidate is a query's own place.
        feature: features of the candidates' images, rows of NaN where unknown; None without any.
    """

    batch_places: int
    latlon_deg: Float[Tensor, "candidate 2"]
    own_column: Int64[Tensor, " query"]
    feature: Float[Tensor, "candidate feature"] | None = None

    def own(self, rows: slice = slice(None)) -> Bool[Tensor, "query candidate"]:
        """True where a candidate is the query's own place, for some queries; never kept whole."""
        column = torch.arange(len(self.latlon_deg), device=self.own_column.device)
        return column == self.own_column[rows, None]


@runtime_checkable
class CandidateSource(Protocol):
    """Chooses whom to compare a batch with, and learns from each batch it has seen."""

    def candidates(self, batch: GeoBatch) -> Candidates:
        """The candidates of this batch; changes nothing."""
        ...

    def update(self, batch: GeoBatch) -> None:
        """Take note of a batch after its step."""
        ...

    def state_dict(self) -> dict[str, Tensor]:
        """All that an exact resume needs."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state_dict` gave."""
        ...


class BatchAndQueue:
    """The places of the batch itself and those of a queue of recent batches.

    Args:
        queue: the queue; None compares within the batch alone.
        ranks: the processes that share a batch: each brings as many queries, and all of them are
            compared with the places of all.
    """

    def __init__(self, queue: PlaceQueue | None = None, ranks: Ranks | None = None) -> None:
        self._queue = queue
        self._ranks = Ranks() if ranks is None else ranks

    def candidates(self, batch: GeoBatch) -> Candidates:
        """The batch's own places, each the positive of its query, then the queue's places."""
        parts = self._ranks.counts(len(batch))
        places, feature = self._of_all_processes(batch, parts)
        count = len(places)
        if self._queue is not None:
            places = torch.cat([places, self._queue.places().to(places.device)])
            feature = self._with_queued_features(feature)
        own = torch.arange(len(batch), device=places.device) + sum(parts[: self._ranks.rank])
        return Candidates(batch_places=count, latlon_deg=places, own_column=own, feature=feature)

    def _of_all_processes(
        self, batch: GeoBatch, parts: Sequence[int]
    ) -> tuple[Float[Tensor, "whole 2"], Float[Tensor, "whole feature"] | None]:
        """Clean places, and features where the batch has them."""
        places = self._ranks.gathered(batch.latlon_deg.to(torch.float64), parts)
        feature = batch.feature
        return places, None if feature is None else self._ranks.gathered(feature, parts)

    def _with_queued_features(
        self, feature: Float[Tensor, "batch feature"] | None
    ) -> Float[Tensor, "candidate feature"] | None:
        """Features of batch and queue; the queue's are NaN when it keeps places alone."""
        if feature is None or self._queue is None:
            return None
        queued = self._queue.features()
        if queued is None:
            queued = feature.new_full((len(self._queue), feature.shape[1]), torch.nan)
        return torch.cat([feature, queued.to(feature)])

    def update(self, batch: GeoBatch) -> None:
        """Queue the clean places of the batch, and its features where the queue keeps them."""
        if self._queue is not None:
            parts = self._ranks.counts(len(batch))
            self._queue.push(*self._of_all_processes(batch, parts))

    def state_dict(self) -> dict[str, Tensor]:
        """The state of the queue; empty without one."""
        return {} if self._queue is None else self._queue.state_dict()

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over the queue's state.

        Raises:
            CheckpointError: the state is of another queue, or of a run with a queue.
        """
        if self._queue is not None:
            self._queue.load_state_dict(state)
        elif state:
            raise CheckpointError("the saved run had a queue of places, this one has none")

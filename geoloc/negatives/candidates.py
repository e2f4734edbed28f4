"""Candidates: whom the queries of a batch are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.errors import CheckpointError
from geoloc.negatives.pool import PlaceQueue


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The columns of a pair matrix: first the batch's own places in its order, then a pool's.

    Attributes:
        latlon_deg: clean places in degrees, float64.
        own: True where a candidate is the query's own place.
        feature: features of the candidates' images, rows of NaN where unknown; None without any.
    """

    latlon_deg: Float[Tensor, "candidate 2"]
    own: Bool[Tensor, "query candidate"]
    feature: Float[Tensor, "candidate feature"] | None = None

    @property
    def batch_size(self) -> int:
        """How many of the first candidates are the batch's own places."""
        return self.own.shape[0]


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
    """

    def __init__(self, queue: PlaceQueue | None = None) -> None:
        self._queue = queue

    def candidates(self, batch: GeoBatch) -> Candidates:
        """The batch's own places, each the positive of its query, then the queue's places."""
        places = batch.latlon_deg.to(torch.float64)
        feature = batch.feature
        size = places.shape[0]
        if self._queue is not None:
            places = torch.cat([places, self._queue.places().to(places.device)])
            feature = self._with_queued_features(feature)
        own = torch.eye(size, places.shape[0], dtype=torch.bool, device=places.device)
        return Candidates(latlon_deg=places, own=own, feature=feature)

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
            self._queue.push(batch.latlon_deg, batch.feature)

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

"""FeatureBatches: random batches of cached features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from geoloc.batch import GeoBatch
from geoloc.data.feature_cache import FeatureCache
from geoloc.errors import DataError, MismatchError


class FeatureBatches:
    """Batches of a cache by random access: every sample once an epoch, the last batch may be short.

    The order depends on (seed, epoch) alone, and so does, where the cache has several views, the
    view of a sample; in the order of the cache they come as they are seen at query time (view 0).

    Args:
        cache: where the samples are.
        batch_size: samples a batch.
        seed: of the order and of the views.
        shuffle: False gives the order of the cache in every epoch.
        labels: whether batches carry labels.
        rank: number of this process.
        world: how many there are: each has a part of every `batch_size` * `world` samples.
    """

    def __init__(
        self,
        cache: FeatureCache,
        batch_size: int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        labels: bool = False,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        if batch_size < 1:
            raise DataError(f"a batch holds at least 1 sample, not {batch_size}")
        self._cache = cache
        self._batch_size = batch_size
        self._seed = seed
        self._shuffle = shuffle
        self._labels = labels
        self._rank, self._world = rank, world
        self._epoch = 0
        self._done = 0
        self._resume: int | None = None

    @property
    def sample_count(self) -> int:
        """Samples in one epoch."""
        return len(self._cache)

    @property
    def steps_per_epoch(self) -> int:
        """Batches in one epoch."""
        return -(-len(self._cache) // (self._batch_size * self._world))

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        """One pass; after `restore` the rest of the pass.

        Raises:
            MismatchError: the restored position is of another epoch.
        """
        start, self._resume = self._resume, None
        if start is not None and epoch != self._epoch:
            raise MismatchError(f"the position is of epoch {self._epoch}, not of epoch {epoch}")
        return self._pass(epoch, start or 0)

    def _pass(self, epoch: int, start: int) -> Iterator[GeoBatch]:
        order = np.arange(len(self._cache))
        if self._shuffle:
            order = np.random.default_rng([self._seed, epoch]).permutation(order)
        self._epoch, self._done = epoch, start
        together = self._batch_size * self._world
        for first in range(start * together, len(order), together):
            rows = np.array_split(order[first : first + together], self._world)[self._rank]
            self._done += 1
            drawn = (self._seed, epoch) if self._shuffle else None
            yield self._cache.batch(rows, labels=self._labels, drawn=drawn)

    def state(self) -> dict[str, Any]:
        """The position after the batch given last."""
        return {"epoch": self._epoch, "batches_done": self._done, **self._identity()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Let the next `epoch` go on after the position of `state`.

        Raises:
            MismatchError: the position is of batches of another size, order or number.
        """
        for name, value in self._identity().items():
            if state[name] != value:
                raise MismatchError(
                    f"the position is of batches with {name} {state[name]}, these have {value}"
                )
        self._epoch, self._done = int(state["epoch"]), int(state["batches_done"])
        self._resume = self._done

    def _identity(self) -> dict[str, Any]:
        return {
            "samples": len(self._cache),
            "batch_size": self._batch_size,
            "seed": self._seed,
            "shuffle": self._shuffle,
            "rank": self._rank,
            "world": self._world,
        }

"""StreamPlan and StreamMessage: what goes into a loader worker, and what comes out of it."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from geoloc.batch import GeoBatch
from geoloc.data.ledger import LossLedger, LostSample
from geoloc.data.shard_list import ShardList
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.transforms import Augmentation, Decoding
from geoloc.models.image_encoder import ImagePreset


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPosition:
    """How far one strand of an epoch has come.

    Attributes:
        consumed: items (samples and losses) taken out of its shuffle buffer.
        done: whether it has given its last batch.
        ledger: its account up to there.
    """

    consumed: int = 0
    done: bool = False
    ledger: LossLedger = field(default_factory=LossLedger)

    def to_json(self) -> dict[str, Any]:
        """The position as a mapping that `json` can write."""
        return {"consumed": self.consumed, "done": self.done, "ledger": self.ledger.to_json()}

    @classmethod
    def from_json(cls, mapping: Mapping[str, Any]) -> StreamPosition:
        """The position that `to_json` wrote."""
        return cls(
            consumed=int(mapping["consumed"]),
            done=bool(mapping["done"]),
            ledger=LossLedger.from_json(mapping["ledger"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamMessage:
    """What a worker sends: a batch, or only its account at the end.

    Attributes:
        strand: which strand of the epoch it belongs to.
        position: where that strand stands after it.
        batch: None when only the account is left to send.
        losses: lost since the last message, the first of each kind; to be logged.
    """

    strand: int
    position: StreamPosition
    batch: GeoBatch | None
    losses: tuple[LostSample, ...] = ()

    def pin_memory(self) -> StreamMessage:
        """The same with its tensors in page-locked memory; the DataLoader calls it."""
        batch = self.batch
        if batch is None:
            return self
        image = None if batch.image is None else batch.image.pin_memory()
        pinned = replace(batch, image=image, latlon_deg=batch.latlon_deg.pin_memory())
        return replace(self, batch=pinned)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlan:
    """All that a worker needs to make its part of an epoch.

    An epoch is made of strands: strand s of n has the shards at s, s + n, ... of this node's part
    of the permuted list, and is the same whichever worker process makes it.

    Attributes:
        shards: of this node, in the order of this epoch.
        positions: where each strand stands; as many as strands.
        first: the strand that gives the next batch.
        max_lost: samples that this node may lose in the pass, if its number is known.
        augmentation: None leaves images as the encoder takes them at query time.
        decoding: see `Decoding`.
        opener: what opens shards.
    """

    shards: ShardList
    preset: ImagePreset
    batch_size: int
    seed: int
    epoch: int
    node: int
    positions: tuple[StreamPosition, ...]
    first: int
    training: bool
    shuffle_buffer: int
    augmentation: Augmentation | None
    decoding: Decoding
    max_lost_share: float
    minimum_seen: int
    opener: ShardOpener = field(default_factory=ShardOpener)

    @property
    def strands(self) -> int:
        """Number of strands."""
        return len(self.positions)

    def shards_of(self, strand: int) -> ShardList:
        """The shards of a strand, in order."""
        return self.shards.pick(range(strand, len(self.shards), self.strands))


def shard_order(count: int, *, seed: int, epoch: int) -> list[int]:
    """The order of shards in an epoch: a permutation that (seed, epoch) determines."""
    order = list(range(count))
    random.Random(f"shards {seed} {epoch}").shuffle(order)
    return order

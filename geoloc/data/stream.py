"""ShardStream: batches from shards, in an order that (seed, epoch, workers) determines.

Stages: shards permuted per epoch, split by node and worker; samples; shuffle buffer; pixels;
batches (`stream_stages`). This file is the main process's side: position, account, logging.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, asdict, dataclass, field
from typing import Any

from geoloc.batch import GeoBatch
from geoloc.data.ledger import LossLedger, LossLog
from geoloc.data.shard_list import ShardList, list_shards
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.stream_loader import load_messages
from geoloc.data.stream_messages import StreamMessage, StreamPlan, StreamPosition, shard_order
from geoloc.data.transforms import Augmentation, Decoding
from geoloc.errors import ConfigError, DataError
from geoloc.models.image_encoder import ImagePreset

STATE_VERSION = 2


@dataclass(slots=True)
class ShardStream:
    """Passes over shards, batch by batch; TrainingData for the trainer, and for evaluation.

    Training: shards permuted per epoch, samples shuffled in a buffer, images varied at random.
    Every sample comes once an epoch; the last batch of each worker is as large as what is left, but
    a single sample is left out (counted in ``ledger.left_out``), since contrast needs two.

    Evaluation (``training=False``): no shuffling, no variation, every sample exactly once; with
    fewer shards than workers, fewer workers are started.

    A sample that cannot be used is skipped, counted by kind and logged. Samples given + left out +
    lost equal the number in sizes.json. A pass ends with an error once more than `max_lost_share`
    of its samples is lost (without sizes.json: of those seen so far by all, or by one worker).

    Randomness of an image depends on (seed, epoch, key) alone; the order also on the number of
    strands, and not on the workers that make them. Nothing is drawn from torch's global generator.

    Attributes:
        source: see `list_shards`.
        preset: how the encoder takes images.
        batch_size: samples a batch.
        workers: loader processes, at most one a strand; 0 loads in this one.
        strands: independent parts of an epoch, whose batches come in turn; by default as many as
            workers (one where there are none). In evaluation at most as many as shards.
        seed: of order and variation.
        shuffle_buffer: samples (encoded) that each worker holds for shuffling.
        augment: whether images are varied; by default in training.
        augmentation: how, if so.
        decoding: of JPEGs: exact, or fast and some levels off.
        max_lost_share: share of samples that may be lost.
        minimum_seen: without sizes.json, no verdict on the share before so many samples.
        training: see above.
        rank: number of this node among `world`.
        world: how many nodes share the shards. Their numbers of batches may differ.
        timeout_s: a worker that gives nothing for so long is taken for dead; on resume it first
            reads all that was consumed before.
        opener: what opens shards: how often remote ones are asked for again, and where kept.
        start_method: how workers start (fork, forkserver, spawn); by default as the platform does.
    """

    source: str | os.PathLike[str] | Sequence[str] | ShardList
    preset: ImagePreset
    _: KW_ONLY
    batch_size: int
    workers: int = 0
    strands: int | None = None
    seed: int = 0
    shuffle_buffer: int = 2000
    augment: bool | None = None
    augmentation: Augmentation = field(default_factory=Augmentation)
    decoding: Decoding = "exact"
    max_lost_share: float = 0.01
    minimum_seen: int = 1000
    training: bool = True
    rank: int = 0
    world: int = 1
    timeout_s: float = 3600.0
    opener: ShardOpener = field(default_factory=ShardOpener)
    start_method: str | None = None
    shards: ShardList = field(init=False)
    _epoch: int = field(init=False, default=0)
    _first: int = field(init=False, default=0)
    _positions: list[StreamPosition] = field(init=False)
    _restored: bool = field(init=False, default=False)
    _shards_fingerprint: str = field(init=False, default="")

    def __post_init__(self) -> None:
        self._check()
        self.shards = list_shards(self.source, policy=self.opener.policy)
        strands = max(1, self.workers if self.strands is None else self.strands)
        if self.training and len(self.shards) < self.world * strands:
            raise DataError(
                f"{len(self.shards)} shards cannot feed {self.world} nodes with {strands} "
                "workers each, since each worker needs a shard of its own: take fewer workers, or "
                "write more, smaller shards"
            )
        if not self.training:
            of_node = len(range(self.rank, len(self.shards), self.world))
            strands = max(1, min(strands, of_node))
        self.opener.prepare(self.shards.urls)
        self._positions = [StreamPosition() for _ in range(strands)]

    @property
    def sample_count(self) -> int | None:
        """Samples of all shards (of all nodes), lost ones included, if sizes.json tells."""
        return self.shards.sample_count

    @property
    def steps_per_epoch(self) -> int | None:
        """Batches of this node in epoch 0 if nothing is lost; see `steps_in`."""
        return self.steps_in(0)

    def steps_in(self, epoch: int) -> int | None:
        """Batches of this node in an epoch if nothing is lost, when sizes.json tells.

        With shards of different sizes it varies between epochs, as the split between workers does.
        """
        plan = self._plan(epoch, self._start())
        steps = 0
        for strand in range(plan.strands):
            count = plan.shards_of(strand).sample_count
            if count is None:
                return None
            full, rest = divmod(count, self.batch_size)
            steps += full + int(rest > 1 or (rest == 1 and not self.training))
        return steps

    @property
    def ledger(self) -> LossLedger:
        """The account of the pass that runs or ran last, up to the batch given last."""
        total = LossLedger()
        for position in self._positions:
            total = total.merge(position.ledger)
        return total

    def epoch(self, epoch: int) -> Iterator[GeoBatch]:
        """One pass, or after `restore` the rest of one.

        Raises:
            DataError: the restored position is inside another epoch, or a worker died or hangs.
            LostSamplesError: more samples are lost than allowed.
        """
        self._enter(epoch)
        plan = self._plan(epoch, self._positions)
        log = LossLog()
        messages = load_messages(
            plan,
            processes=min(self.workers, plan.strands),
            timeout_s=self.timeout_s,
            start_method=self.start_method,
        )
        for message in messages:
            self._positions[message.strand] = message.position
            self._first = (message.strand + 1) % plan.strands
            for lost in message.losses:
                log.write(lost)
            self._refuse_losses(message, plan.shards.sample_count)
            if message.batch is not None:
                yield message.batch
        ledger = self.ledger
        log.close(ledger, f"epoch {epoch}")
        ledger.raise_above(self.max_lost_share)

    def state(self) -> dict[str, Any]:
        """The position after the batch given last, as a mapping that `json` can write."""
        return {
            "schema_version": STATE_VERSION,
            "stream": self._identity(),
            "epoch": self._epoch,
            "next": self._first,
            "strands": [position.to_json() for position in self._positions],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Let the next `epoch` go on after the position that `state` gave.

        Raises:
            DataError: the state is of a stream of other shards, seed, batch size, strands or such.
        """
        if state.get("schema_version") != STATE_VERSION:
            raise DataError("this position in the data was written by another version of geoloc")
        theirs, ours = state["stream"], self._identity()
        for name, value in ours.items():
            if theirs.get(name) != value:
                raise DataError(
                    f"the position is one in a stream with {name} {theirs.get(name)}, here it is "
                    f"{value}: resume with the same data, seed, batch size, strands and nodes"
                )
        self._epoch, self._first = int(state["epoch"]), int(state["next"])
        self._positions = [StreamPosition.from_json(strand) for strand in state["strands"]]
        self._restored = True

    def _start(self) -> list[StreamPosition]:
        return [StreamPosition() for _ in self._positions]

    def _check(self) -> None:
        least = {"batch_size": 1, "workers": 0, "shuffle_buffer": 0, "world": 1, "rank": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ConfigError(f"{name} must be at least {value}, not {getattr(self, name)}")
        if self.rank >= self.world:
            raise ConfigError(f"rank {self.rank} does not exist among {self.world} nodes")
        if not 0 <= self.max_lost_share <= 1:
            raise ConfigError(f"max_lost_share must lie in [0, 1], not {self.max_lost_share}")
        if self.augment and not self.training:
            raise ConfigError("images are not varied in evaluation: leave augment out")

    def _identity(self) -> dict[str, Any]:
        """What the order and the pixels of the batches depend on."""
        augmentation = self._augmentation()
        # Made once: it looks into files, and every checkpoint asks for it.
        self._shards_fingerprint = self._shards_fingerprint or self.shards.fingerprint()
        return {
            "shards": self._shards_fingerprint,
            "seed": self.seed,
            "batch_size": self.batch_size,
            "strands": len(self._positions),
            "shuffle_buffer": self.shuffle_buffer,
            "training": self.training,
            "rank": self.rank,
            "world": self.world,
            "preset": self.preset.to_json(),
            "augmentation": None if augmentation is None else asdict(augmentation),
            "decoding": self.decoding,
        }

    def _augmentation(self) -> Augmentation | None:
        varied = self.training if self.augment is None else self.augment
        return self.augmentation if varied else None

    def _enter(self, epoch: int) -> None:
        """Keep the restored position if it is one of this epoch, else start anew."""
        resumes, self._restored = self._restored, False
        if resumes and self._epoch == epoch:
            return
        begun = any(position.consumed for position in self._positions)
        if resumes and begun and not all(position.done for position in self._positions):
            raise DataError(f"the restored position is inside epoch {self._epoch}, not {epoch}")
        self._epoch, self._first, self._positions = epoch, 0, self._start()

    def _plan(self, epoch: int, positions: list[StreamPosition]) -> StreamPlan:
        order = list(range(len(self.shards)))
        if self.training:
            order = shard_order(len(order), seed=self.seed, epoch=epoch)
        return StreamPlan(
            shards=self.shards.pick(order[self.rank :: self.world]),
            preset=self.preset,
            batch_size=self.batch_size,
            seed=self.seed,
            epoch=epoch,
            node=self.rank,
            positions=tuple(positions),
            first=self._first,
            training=self.training,
            shuffle_buffer=self.shuffle_buffer,
            augmentation=self._augmentation(),
            decoding=self.decoding,
            max_lost_share=self.max_lost_share,
            minimum_seen=self.minimum_seen,
            opener=self.opener,
        )

    def _refuse_losses(self, message: StreamMessage, total: int | None) -> None:
        for ledger in (message.position.ledger, self.ledger):
            ledger.raise_above(self.max_lost_share, total=total, minimum_seen=self.minimum_seen)

"""The stages of a strand, as plain generators: samples, shuffle buffer, pixels, batches."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice
from typing import TypeAlias

import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from geoloc.batch import GeoBatch
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.ledger import LossLog, LostSample
from geoloc.data.reading import RawSample, ShardReader, open_sample
from geoloc.data.record import Record
from geoloc.data.shard_index import IndexedSample, open_indexed
from geoloc.data.shard_list import ShardList
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.stream_messages import StreamMessage, StreamPlan, StreamPosition
from geoloc.data.transforms import augment, preprocess, sample_draws

Item: TypeAlias = RawSample | IndexedSample | LostSample


def worker_messages(plan: StreamPlan, worker: int, workers: int) -> Iterator[StreamMessage | None]:
    """What a worker sends of its strands: one message of each in turn.

    Taken from all workers in turn, the messages come in the order in which as many workers as
    strands would send them. None keeps the place of a strand at its end while the worker has
    others, and of one that there is not where the strands cannot be dealt out evenly.
    """
    turns = range(worker, -(-plan.strands // workers) * workers, workers)
    running = {
        turn: strand_messages(plan, (turn + plan.first) % plan.strands)
        for turn in turns
        if turn < plan.strands
    }
    while running:
        for turn in turns:
            message = next(running[turn], None) if turn in running else None
            if message is None:
                running.pop(turn, None)
                if not running:
                    return
            yield message


def strand_messages(plan: StreamPlan, strand: int) -> Iterator[StreamMessage]:
    """The batches of a strand from its position on, and its account at the end.

    What was consumed before is shuffled again but not decoded (and, where there is an index, not
    read), so that the buffer and its random state are those of an uninterrupted pass.
    """
    if plan.positions[strand].done:
        return
    batcher = _Batcher(plan, strand)
    for item in islice(_shuffled_items(plan, strand), batcher.consumed, None):
        batcher.take(item)
        if batcher.is_full:
            yield batcher.message()
        elif batcher.is_overdrawn:
            # The main process refuses to go on when it reads this account.
            break
    yield batcher.last_message()


class _Batcher:
    """Gathers the samples and the account of a strand."""

    def __init__(self, plan: StreamPlan, strand: int) -> None:
        before = plan.positions[strand]
        self.consumed = before.consumed
        self._ledger = before.ledger.copy()
        self._plan = plan
        self._total = plan.shards.sample_count
        self._strand = strand
        self._records: list[Record] = []
        self._images: Tensor | None = None
        self._losses: list[LostSample] = []
        self._log = LossLog()

    def take(self, item: Item) -> None:
        self.consumed += 1
        outcome = _prepare(item, self._plan, self._room()[len(self._records)])
        if not isinstance(outcome, LostSample):
            self._ledger.valid += 1
            self._records.append(outcome)
            return
        self._ledger.add(outcome)
        if self._log.admits(outcome):
            self._losses.append(outcome)

    @property
    def is_full(self) -> bool:
        return len(self._records) == self._plan.batch_size

    @property
    def is_overdrawn(self) -> bool:
        return self._ledger.exceeds(
            self._plan.max_lost_share,
            total=self._total,
            minimum_seen=self._plan.minimum_seen,
        )

    def message(self, *, done: bool = False) -> StreamMessage:
        position = StreamPosition(consumed=self.consumed, done=done, ledger=self._ledger.copy())
        message = StreamMessage(
            strand=self._strand,
            position=position,
            batch=self._batch() if self._records else None,
            losses=tuple(self._losses),
        )
        self._records, self._losses = [], []
        return message

    def last_message(self) -> StreamMessage:
        if self._plan.training and len(self._records) == 1 < self._plan.batch_size:
            # Contrast needs two; the sample comes in other epochs, which are shuffled otherwise.
            self._ledger.left_out += 1
            self._records = []
        return self.message(done=True)

    def _room(self) -> Tensor:
        """Where the images of a batch are written, one a row."""
        if self._images is None:
            side = self._plan.preset.size
            self._images = torch.empty((self._plan.batch_size, 3, side, side))
        return self._images

    def _batch(self) -> GeoBatch:
        records, images = self._records, self._room()[: len(self._records)]
        if get_worker_info() is None:
            self._images = None
        else:
            # A copy that the main process sees; the room, whose memory is there already, is kept.
            images = default_collate(list(images))
        places = [record.latlon_deg for record in records]
        return GeoBatch(
            key=tuple(record.key for record in records),
            latlon_deg=torch.tensor(places, dtype=torch.float64),
            image=images,
            label=tuple(record.label for record in records),
        )


def raw_items(shards: ShardList, opener: ShardOpener | None = None) -> Iterator[Item]:
    """Samples and losses of shards, one shard after the other; unread where there is an index."""
    for url, expected in zip(shards.urls, shards.sizes, strict=True):
        indexed = open_indexed(url, expected=expected)
        if indexed is None:
            yield from ShardReader(url, expected=expected, opener=opener)
        else:
            yield from (IndexedSample(indexed, row) for row in range(len(indexed)))


def shuffle_items(items: Iterator[Item], *, size: int, rng: random.Random) -> Iterator[Item]:
    """Samples in an order that a buffer of `size` can give; losses pass at once."""
    buffer: list[RawSample | IndexedSample] = []
    for item in items:
        if isinstance(item, LostSample):
            yield item
        elif len(buffer) < size:
            buffer.append(item)
        elif buffer:
            place = rng.randrange(len(buffer))
            buffer[place], item = item, buffer[place]
            yield item
        else:
            yield item
    rng.shuffle(buffer)
    while buffer:
        yield buffer.pop()


def _shuffled_items(plan: StreamPlan, strand: int) -> Iterator[Item]:
    items = raw_items(plan.shards_of(strand), plan.opener)
    if not plan.training:
        return items
    rng = random.Random(f"buffer {plan.seed} {plan.epoch} {plan.node} {strand}")
    return shuffle_items(items, size=plan.shuffle_buffer, rng=rng)


def _prepare(item: Item, plan: StreamPlan, row: Tensor) -> Record | LostSample:
    """Write a sample's picture into its row of the batch."""
    if isinstance(item, IndexedSample):
        item = item.read()
    if isinstance(item, LostSample):
        return item

    def picture(image: EncodedImage, key: str) -> Tensor:
        if plan.augmentation is None:
            return preprocess(image, plan.preset, decoding=plan.decoding, out=row)
        draws = sample_draws(plan.seed, plan.epoch, key)
        return augment(
            image,
            plan.preset,
            draws,
            augmentation=plan.augmentation,
            decoding=plan.decoding,
            out=row,
        )

    opened = open_sample(item, picture)
    return opened if isinstance(opened, LostSample) else opened[0]

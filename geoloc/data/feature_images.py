"""What loader workers send to be encoded: views of a shard's images, and its account at the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import default_collate

from geoloc.batch import GeoBatch
from geoloc.data.encoded_image import EncodedImage
from geoloc.data.feature_source import FeatureSource
from geoloc.data.ledger import LossLedger, LossLog, LostSample
from geoloc.data.reading import open_sample
from geoloc.data.record import Record
from geoloc.data.shard_index import IndexedSample
from geoloc.data.stream_loader import from_workers
from geoloc.data.stream_stages import Item, raw_items
from geoloc.data.transforms import augment, preprocess, sample_draws


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardImages:
    """One view of some samples of a shard, or, at its end, its account.

    Attributes:
        shard: its number in the list.
        view: which view of the samples the images are; all views of a batch come in turn.
        first: the first sample's number among those of the shard that can be used.
        batch: the samples; None at the end of the shard.
        ledger: what became of all its samples; at the end alone.
        losses: lost since the last message, the first of each kind; to be logged.
    """

    shard: int
    view: int = 0
    first: int = 0
    batch: GeoBatch | None = None
    ledger: LossLedger | None = None
    losses: tuple[LostSample, ...] = ()

    def pin_memory(self) -> ShardImages:
        """The same with its images in page-locked memory; the DataLoader calls it."""
        if self.batch is None or self.batch.image is None:
            return self
        return replace(self, batch=replace(self.batch, image=self.batch.image.pin_memory()))


def load_images(source: FeatureSource, shards: Sequence[int]) -> Iterator[ShardImages]:
    """The images of these shards, each shard in order, as many shards at once as workers.

    Raises:
        DataError: a worker died or hangs.
    """
    return from_workers(
        partial(_part, source, shards),
        processes=min(source.workers, len(shards)),
        timeout_s=source.timeout_s,
        start_method=source.start_method,
    )


def _part(
    source: FeatureSource, shards: Sequence[int], worker: int, workers: int
) -> Iterator[ShardImages]:
    for shard in shards[worker::workers]:
        yield from shard_images(source, shard)


def shard_images(source: FeatureSource, shard: int) -> Iterator[ShardImages]:
    """The images of one shard: each read and decoded once, all its views made from that."""
    ledger, log = LossLedger(), LossLog()
    losses: list[LostSample] = []
    samples: list[tuple[Record, list[Tensor]]] = []
    for item in raw_items(source.shards.pick([shard]), source.opener):
        outcome = _views(item, source)
        if isinstance(outcome, LostSample):
            ledger.add(outcome)
            if log.admits(outcome):
                losses.append(outcome)
            continue
        ledger.valid += 1
        samples.append(outcome)
        if len(samples) == source.batch_size:
            yield from _messages(shard, samples, first=ledger.valid - len(samples))
            samples = []
    if samples:
        yield from _messages(shard, samples, first=ledger.valid - len(samples))
    yield ShardImages(shard=shard, ledger=ledger, losses=tuple(losses))


def _views(item: Item, source: FeatureSource) -> tuple[Record, list[Tensor]] | LostSample:
    if isinstance(item, IndexedSample):
        item = item.read()
    if isinstance(item, LostSample):
        return item

    def pictures(image: EncodedImage, key: str) -> list[Tensor]:
        if source.views == 1 or source.decoding == "fast":
            # Fast decoding is at the resolution that each view needs.
            return list(_pictures(image, key, source))
        decoded = Image.fromarray(np.ascontiguousarray(image.pixels()[..., :3]))
        return list(_pictures(decoded, key, source))

    opened = open_sample(item, pictures)
    if isinstance(opened, LostSample):
        return opened
    record, images = opened
    # The encoded bytes have no further use, and would travel between processes.
    return replace(record, image_bytes=b""), images


def _pictures(
    image: EncodedImage | Image.Image, key: str, source: FeatureSource
) -> Iterator[Tensor]:
    yield preprocess(image, source.preset, decoding=source.decoding)
    for view in range(1, source.views):
        yield augment(
            image,
            source.preset,
            sample_draws(source.seed, view, key),
            augmentation=source.augmentation,
            decoding=source.decoding,
        )


def _messages(
    shard: int, samples: Sequence[tuple[Record, Sequence[Tensor]]], *, first: int
) -> Iterator[ShardImages]:
    """A message for each view, so that none is larger than with one."""
    records = [record for record, _ in samples]
    for view in range(len(samples[0][1])):
        batch = GeoBatch(
            key=tuple(record.key for record in records),
            latlon_deg=torch.tensor([record.latlon_deg for record in records], dtype=torch.float64),
            image=default_collate([images[view] for _, images in samples]),
            label=() if view else tuple(record.label for record in records),
        )
        yield ShardImages(shard=shard, view=view, first=first, batch=batch)

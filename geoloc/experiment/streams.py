"""From a configuration to streams of shards."""

from __future__ import annotations

from pathlib import Path

from geoloc.data import ShardStream, list_shards
from geoloc.data.retries import RetryPolicy
from geoloc.data.shard_cache import ShardCache
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.transforms import Augmentation
from geoloc.experiment.build import Say
from geoloc.experiment.schema import AugmentationSection, DataSection, ExperimentConfig
from geoloc.models import ImagePreset
from geoloc.ranks import Ranks


def shard_opener(section: DataSection) -> ShardOpener:
    """How remote shards are asked for, and where they are kept."""
    folder = section.shard_cache
    return ShardOpener(
        policy=RetryPolicy(attempts=1 + section.retries),
        cache=None if folder is None else ShardCache(folder, section.shard_cache_gb),
    )


def training_stream(
    config: ExperimentConfig,
    preset: ImagePreset,
    *,
    say: Say,
    ranks: Ranks | None = None,
    strands: int | None = None,
) -> ShardStream:
    """The training split (of a process its part): shuffled, varied where the configuration says so.

    Every strand needs a shard of its own; with fewer shards there are fewer.

    Args:
        config: the experiment.
        preset: how the encoder takes images.
        say: told where there are fewer workers than asked for.
        ranks: the processes of the run.
        strands: into which an epoch is divided; None takes as many as workers.
    """
    data, together = config.data, ranks or Ranks()
    section = data.augmentation
    opener = shard_opener(data)
    shards = list_shards(data.train, policy=opener.policy)
    most = max(1, len(shards) // together.size)
    strands = min(most, max(1, data.workers if strands is None else strands))
    workers = min(data.workers, strands)
    if workers < data.workers:
        say(f"{workers} loader workers instead of {data.workers}: no more can share the shards")
    return ShardStream(
        shards,
        preset,
        batch_size=data.batch_size,
        workers=workers,
        strands=strands,
        seed=config.seed,
        shuffle_buffer=data.shuffle_buffer,
        augment=section != AugmentationSection(),
        augmentation=Augmentation(**section.model_dump()),
        decoding=data.decoding,
        rank=together.rank,
        world=together.size,
        max_lost_share=data.max_lost_share,
        opener=opener,
        timeout_s=data.worker_timeout_s,
    )


def plain_stream(
    config: ExperimentConfig, preset: ImagePreset, source: str | Path, *, workers: int | None = None
) -> ShardStream:
    """Any split once through, every sample as it is: for caches, validation and evaluation."""
    return ShardStream(
        source,
        preset,
        batch_size=config.evaluation.batch_size,
        workers=config.data.workers if workers is None else workers,
        training=False,
        decoding=config.data.decoding,
        max_lost_share=config.data.max_lost_share,
        opener=shard_opener(config.data),
        timeout_s=config.data.worker_timeout_s,
    )

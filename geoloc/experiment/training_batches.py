"""Batches of cached features: in random order, or composed by a semivariogram each epoch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from geoloc.batch import GeoBatch
from geoloc.data import ShardStream, list_shards
from geoloc.data.feature_batches import FeatureBatches
from geoloc.data.feature_cache import FeatureCache
from geoloc.errors import MismatchError
from geoloc.experiment.schema import ExperimentConfig, NegativesSection
from geoloc.models import DualEncoder
from geoloc.negatives import (
    Embed,
    EpochExpectation,
    FeatureBank,
    MiningSettings,
    RefitReport,
    RefitSettings,
    ReservoirSampler,
    SemivariogramSampler,
)
from geoloc.ranks import Ranks
from geoloc.training import TrainingData


def cached_batches(
    config: ExperimentConfig,
    cache: FeatureCache,
    model: DualEncoder,
    expectation: EpochExpectation,
    *,
    device: str,
    on_refit: Callable[[RefitReport], None] | None = None,
    bank: FeatureBank | None = None,
    ranks: Ranks | None = None,
) -> TrainingData:
    """What the trainer iterates over.

    Args:
        config: the experiment.
        cache: features of the training split.
        model: embeds them for a fit.
        expectation: where fits are published.
        device: where features are compared.
        on_refit: called after each fit.
        bank: what samples looked like when they were seen last, where that is to be fitted.
        ranks: the processes of the run; each gets its part of every batch.

    Raises:
        MismatchError: a semivariogram is to be fitted to features of another split than training.
    """
    section, together = config.negatives, ranks or Ranks()
    if not section.needs_fit:
        return FeatureBatches(
            cache,
            config.data.batch_size,
            seed=config.seed,
            rank=together.rank,
            world=together.size,
        )
    refuse_other_splits(config, cache.fingerprint.get("shards"))
    return SemivariogramSampler(
        cache,
        config.data.batch_size,
        embedder(section, model, device, bank),
        expectation,
        refit=refit_settings(section),
        mining=mining_settings(section),
        hard_share=section.hard_share,
        same_place_km=section.same_place_km,
        seed=config.seed,
        device=device,
        ranks=together,
        on_refit=on_refit,
        bank=bank,
    )


def streamed_batches(
    config: ExperimentConfig,
    stream: ShardStream,
    bank: FeatureBank,
    expectation: EpochExpectation,
    *,
    device: str,
    on_refit: Callable[[RefitReport], None] | None = None,
    ranks: Ranks | None = None,
) -> ReservoirSampler:
    """A stream whose batches are composed from a reservoir, by what the bank remembers.

    Raises:
        MismatchError: another split is the training split under another name.
    """
    section = config.negatives
    refuse_other_splits(config, stream.shards.fingerprint())
    return ReservoirSampler(
        stream,
        bank,
        expectation,
        reservoir_batches=section.reservoir_batches,
        hard_share=section.hard_share,
        same_place_km=section.same_place_km,
        refit=refit_settings(section),
        mining=mining_settings(section),
        seed=config.seed,
        device=device,
        ranks=ranks or Ranks(),
        on_refit=on_refit,
    )


def refuse_other_splits(config: ExperimentConfig, mine: str | None) -> None:
    """Do nothing where the shards fitted to are the training split's, and no other split's.

    Args:
        config: names the splits.
        mine: fingerprint of the shards whose features are fitted.

    Raises:
        MismatchError: they are not.
    """
    if mine != list_shards(config.data.train).fingerprint():
        raise MismatchError("the semivariogram is fitted on the training split alone: other shards")
    others = {"validation": config.data.validation, **config.data.tests}
    for name, source in others.items():
        if source is not None and list_shards(source).fingerprint() == mine:
            raise MismatchError(
                f"the {name} split is the training split: a semivariogram fitted to it would leak"
            )


def embedder(
    section: NegativesSection, model: DualEncoder, device: str, bank: FeatureBank | None = None
) -> Embed:
    """The features that pairs are called alike by, of clean samples, in evaluation mode.

    With a bank it is asked first, and only what it has not seen is embedded.
    """

    def computed(batch: GeoBatch) -> Tensor:
        if section.features == "frozen":
            assert batch.feature is not None, "a cache gives features"
            return batch.feature.to(device)
        training = model.training
        model.eval()
        with torch.no_grad():
            feature = model.embed_batch(batch.to(device))
        model.train(training)
        return feature

    def embed(batch: GeoBatch) -> Tensor:
        if bank is None or not len(bank):
            return computed(batch)
        found = bank.lookup(batch.key).to(device)
        unknown = found.isnan().any(dim=1, keepdim=True)
        return torch.where(unknown, computed(batch), found) if bool(unknown.any()) else found

    return embed


def refit_settings(section: NegativesSection) -> RefitSettings:
    """When the semivariogram is fitted, and to how much."""
    return RefitSettings(
        warmup_epochs=section.warmup_epochs,
        every_epochs=section.refit_every_epochs,
        samples=section.fit_samples,
        pairs=section.fit_pairs,
        local=section.local,
    )


def mining_settings(section: NegativesSection) -> MiningSettings:
    """Which hard negatives are put into the batches of their anchors."""
    return MiningSettings(
        neighbours=section.neighbours,
        per_anchor=section.per_anchor,
        quantile=section.mining_quantile,
        beyond=section.far_ranges,
        beyond_km=section.far_km,
        pool=section.pool,
        index=section.index,
    )

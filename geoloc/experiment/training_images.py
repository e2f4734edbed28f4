"""The training images of a run as its model embeds them, where the run has left them at hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from geoloc.batch import GeoBatch
from geoloc.data.feature_cache import FeatureCache
from geoloc.experiment.build import Say
from geoloc.experiment.prepare_data import kept_features_of
from geoloc.experiment.schema import ExperimentConfig
from geoloc.models import DualEncoder
from geoloc.retrieval import Embedded, embed_stream, load_references

MOST = 200_000
"""Training images that are embedded from cached features; of more, so many drawn at random."""

_ROWS_AT_ONCE = 4096


def training_images(
    model: DualEncoder,
    config: ExperimentConfig,
    *,
    references: Path | None,
    device: str,
    say: Say,
) -> Embedded | None:
    """Embedded images to find the most alike among; None where there are none at hand.

    Args:
        model: of the run.
        config: of the run.
        references: folder as `geoloc embed` writes it; None takes the cached features of the
            training split, where the run was trained on such (``data.cache_features``).
        device: where the model is.
        say: told what is searched, or why there is nothing.

    Raises:
        DataError: the folder of references is missing or damaged.
        MismatchError: another model embedded them.
    """
    if references is not None:
        return load_references(references, model_fingerprint=model.fingerprint())
    cache = kept_features_of(config, model, device=device)
    if cache is None:
        say(
            "no training images at hand: embed them with `geoloc embed`, then name the folder "
            "with --references"
        )
        return None
    if len(cache) > MOST:
        say(f"searching {MOST:,} of {len(cache):,} training images, drawn at random")
    batches = _batches(cache, seed=config.seed)
    return embed_stream(batches, lambda batch: model.embed_batch(batch.to(device)), labels=())


def _batches(cache: FeatureCache, *, seed: int) -> Iterator[GeoBatch]:
    row = np.arange(len(cache))
    if len(row) > MOST:
        row = np.sort(np.random.default_rng(seed).choice(len(row), size=MOST, replace=False))
    for start in range(0, len(row), _ROWS_AT_ONCE):
        yield cache.batch(row[start : start + _ROWS_AT_ONCE], labels=False)

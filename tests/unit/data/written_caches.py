"""A feature cache of given batches, written by the parts that compute one from shards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import torch

from geoloc.batch import GeoBatch
from geoloc.data.feature_building import FeatureBuilding, settle
from geoloc.data.feature_cache import FeatureCache
from geoloc.data.feature_files import FeatureLayout
from geoloc.data.feature_parts import PartNote, SampleColumns
from geoloc.data.ledger import LossLedger


def write_cache(
    folder: Path,
    batches: Iterable[GeoBatch],
    *encode: Callable[[torch.Tensor], torch.Tensor],
    fingerprint: Mapping[str, str],
    dtype: str = "float16",
) -> FeatureCache:
    """One shard of all batches; a view for each function."""
    samples, given = SampleColumns(), list(batches)
    for batch in given:
        samples.add(batch)
    images = torch.cat([batch.image for batch in given if batch.image is not None])
    views = [view(images).numpy().astype(dtype) for view in encode]
    count, dim = views[0].shape
    layout = FeatureLayout(rows=(count,), views=len(views), dim=dim, dtype=dtype)
    beside = folder.with_name(f"{folder.name}.building")
    building = FeatureBuilding.begin(beside, fingerprint, lambda: layout)
    with building.rows.open() as write:
        for view, features in enumerate(views):
            write(0, view, 0, np.ascontiguousarray(features))
    digests = tuple(hashlib.sha256(features.tobytes()).hexdigest() for features in views)
    note = PartNote(ledger=LossLedger(valid=count), sha256=digests)
    building.finish_shard(0, samples, note)
    building.finish()
    settle(beside, folder)
    return FeatureCache.open(folder, fingerprint=fingerprint, verify=True)

"""What must lie on disk before training: Earth tiles that are to be cut, features to be cached."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from geoloc.batch import GeoBatch
from geoloc.data import list_shards
from geoloc.data.earth_tile_settings import EarthTileSettings
from geoloc.data.earth_tiles import earth_tiles_ready, write_earth_tiles
from geoloc.data.feature_cache import FeatureCache
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.shard_places import shard_places
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.build import Say
from geoloc.experiment.progress import counted, progress_of
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.streams import plain_stream
from geoloc.models import DualEncoder

Progress = Callable[[int, int], None]


def earth_tile_settings(config: ExperimentConfig) -> EarthTileSettings:
    """The tiles that the configuration asks for."""
    return EarthTileSettings(**config.data.earth_tiles.model_dump())


def ensure_earth_tiles(config: ExperimentConfig, *, say: Say) -> None:
    """Cut the Earth tiles that the configuration names, unless they are there.

    They are cut beside and renamed, so an interrupted cut leaves nothing that looks whole.

    Raises:
        ConfigError: the folder holds tiles of other settings.
        DataError: the picture of the Earth is missing.
    """
    folder = config.data.make_earth_tiles
    if folder is None:
        return
    settings = earth_tile_settings(config)
    if _usable(folder, settings):
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    for left in folder.parent.glob(f".{folder.name}.making-*"):
        if not Path(f"/proc/{left.name.rpartition('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    beside = folder.with_name(f".{folder.name}.making-{os.getpid()}")
    total = settings.train + settings.validation + settings.test_easy + settings.test_block
    say(f"cutting {total:,} Earth tiles into {folder}")
    try:
        with progress_of("tiles", unit="tile") as progress:
            write_earth_tiles(beside, settings, progress=progress)
        try:
            beside.rename(folder)
        except OSError:
            # Another process was first: its tiles are the same, byte for byte.
            if not _usable(folder, settings):
                raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _usable(folder: Path, settings: EarthTileSettings) -> bool:
    if earth_tiles_ready(folder, settings):
        return True
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(
            f"{folder} holds something else than the tiles of this configuration: remove it, or "
            "name another folder (data.make_earth_tiles)"
        )
    return False


def features_of(
    config: ExperimentConfig, model: DualEncoder, source: str, *, device: str, say: Say
) -> FeatureCache:
    """The features of the frozen backbone over one split, computed once and kept.

    Raises:
        DataError: the split is empty or damaged beyond what is allowed.
        MismatchError: the folder holds features of another backbone, preset or split.
    """
    shards = list_shards(source)
    fingerprint = {
        "backbone": model.backbone_fingerprint(),
        "shards": shards.fingerprint(),
    }
    root = config.data.cache_folder or Path("data") / "features"
    name = f"{fingerprint['shards'][:12]}-{fingerprint['backbone'][:12]}"
    folder = root / name
    if not folder.exists():
        count = shards.sample_count
        told = "" if count is None else f" of {count:,} images"
        say(f"computing features{told} from {source}, once, into {folder}")
    root.mkdir(parents=True, exist_ok=True)
    model.to(device).eval()

    def encode(images: torch.Tensor) -> torch.Tensor:
        return model.backbone_features(images.to(device)).cpu()

    def batches() -> Iterator[GeoBatch]:
        stream = plain_stream(config, model.preset, source)
        return counted(stream.epoch(0), what="features", total=stream.sample_count)

    return FeatureCache.open_or_build(
        folder,
        batches,
        encode,
        fingerprint=fingerprint,
    )


def read_places(
    source: str, *, limit: int, seed: int, opener: ShardOpener | None = None
) -> Float64[np.ndarray, "place 2"]:
    """The places of a split, without its images; unusable samples are left out.

    Args:
        source: shards.
        limit: a larger split is thinned to so many places, at random.
        seed: of the thinning.
        opener: what opens shards whose places do not lie beside them; None does so without a cache.

    Raises:
        DataError: there is not one usable place.
    """
    opener = opener or ShardOpener()
    places = shard_places(list_shards(source, policy=opener.policy), opener)
    if not len(places):
        raise DataError(f"{source} holds no usable place")
    return thin(places, limit=limit, seed=seed)


def thin(
    latlon_deg: Float64[np.ndarray, "place 2"], *, limit: int, seed: int
) -> Float64[np.ndarray, "kept 2"]:
    """At most `limit` of the places, chosen at random, in their order."""
    if len(latlon_deg) <= limit:
        return latlon_deg
    chosen = np.random.default_rng(seed).choice(len(latlon_deg), size=limit, replace=False)
    return latlon_deg[np.sort(chosen)]

"""What must lie on disk before training: Earth tiles that are to be cut, features to be cached."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64

from geoloc.data import list_shards
from geoloc.data.earth_tile_settings import EarthTileSettings
from geoloc.data.earth_tiles import earth_tiles_ready, write_earth_tiles
from geoloc.data.feature_cache import FeatureCache
from geoloc.data.feature_encoding import FeatureEncoder, cached_features
from geoloc.data.feature_source import FeatureSource, folder_name
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.shard_places import shard_places
from geoloc.data.transforms import Augmentation
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.build import Say
from geoloc.experiment.progress import progress_of
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.streams import shard_opener
from geoloc.models import DualEncoder
from geoloc.ranks import Ranks

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
    config: ExperimentConfig,
    model: DualEncoder,
    source: str,
    *,
    device: str,
    say: Say,
    ranks: Ranks | None = None,
    views: int = 1,
) -> FeatureCache:
    """The features of the frozen backbone over one split, computed once and kept.

    What features depend on makes the name of their folder, so that those of other settings lie
    beside them.

    Args:
        config: the experiment.
        model: has the backbone.
        source: shards.
        device: where images are encoded.
        say: told when there is something to compute.
        ranks: the processes that compute together; all of them must call this.
        views: of each image; 1 is the image as it is at query time, and all that others than the
            training split have a use for.

    Raises:
        DataError: the split is empty or damaged beyond what is allowed, or the disk is full.
        MismatchError: the folder holds features of something else.
    """
    images, encoder = _images_of(config, model, source, views=views), _encoder(model, device)
    folder = _feature_folder(config, images, encoder)
    if not folder.exists():
        count = images.shards.sample_count
        told = "" if count is None else f" of {count:,} images"
        each = "" if views == 1 else f" ({views} views of each)"
        say(f"computing features{told}{each} from {source}, once, into {folder}")
    folder.parent.mkdir(parents=True, exist_ok=True)
    shown = (
        progress_of("features", unit="image") if ranks is None or ranks.is_main else nullcontext()
    )
    with shown as progress:
        return cached_features(folder, images, encoder, ranks=ranks, progress=progress)


def kept_features_of(
    config: ExperimentConfig, model: DualEncoder, *, device: str
) -> FeatureCache | None:
    """The features of the training split, if a run with this configuration has left them there.

    None where it cached none, or where shards or features are no longer at hand or damaged.
    """
    if not config.data.cache_features:
        return None
    try:
        images = _images_of(config, model, config.data.train, views=config.data.cached_views)
        return FeatureCache.open(_feature_folder(config, images, _encoder(model, device)))
    except (DataError, OSError):
        return None


def _images_of(
    config: ExperimentConfig, model: DualEncoder, source: str, *, views: int
) -> FeatureSource:
    opener = shard_opener(config.data)
    return FeatureSource(
        shards=list_shards(source, policy=opener.policy),
        preset=model.preset,
        batch_size=config.evaluation.batch_size,
        views=views,
        augmentation=Augmentation(**config.data.augmentation.model_dump()),
        seed=config.seed,
        decoding=config.data.decoding,
        workers=config.data.workers,
        max_lost_share=config.data.max_lost_share,
        timeout_s=config.data.worker_timeout_s,
        opener=opener,
    )


def _feature_folder(
    config: ExperimentConfig, images: FeatureSource, encoder: FeatureEncoder
) -> Path:
    root = config.data.cache_folder or Path("data") / "features"
    fingerprint = images.fingerprint(backbone=encoder.fingerprint, dtype=encoder.dtype)
    return root / folder_name(fingerprint)


def _encoder(model: DualEncoder, device: str) -> FeatureEncoder:
    """The backbone of a model, which is moved to the device."""
    model.to(device).eval()

    def encode(images: torch.Tensor) -> torch.Tensor:
        return model.backbone_features(images.to(device, non_blocking=True))

    return FeatureEncoder(
        encode=encode,
        fingerprint=model.backbone_fingerprint(),
        feature_dim=model.image_encoder.feature_dim,
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

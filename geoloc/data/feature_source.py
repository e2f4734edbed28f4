"""FeatureSource: the shards whose images are encoded into a cache, and the views taken of each."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import asdict, dataclass, field

from geoloc.data.member_names import JSON_ENDING, is_known, split_member_name
from geoloc.data.shard_list import ShardList
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.tar_members import TarScanner
from geoloc.data.transforms import Augmentation, Decoding
from geoloc.errors import ConfigError
from geoloc.models.image_encoder import ImagePreset


@dataclass(frozen=True, slots=True, kw_only=True)
class FeatureSource:
    """What features are computed from.

    View 0 is the image as it is seen at query time, views 1, 2, ... are varied by `augmentation`
    with randomness that (seed, view, key) determines.

    Attributes:
        shards: every sample of theirs comes once.
        preset: how the encoder takes images.
        batch_size: images that are encoded at once; a batch never reaches into another shard, so
            that each shard has the same features whoever computes it, and when.
        views: of each image.
        augmentation: how views 1, 2, ... are varied.
        seed: of the variation.
        decoding: of JPEGs.
        workers: loader processes, each with whole shards; 0 loads in this one.
        max_lost_share: share of all samples that may be lost.
        timeout_s: a worker that gives nothing for so long is taken for dead.
        start_method: how workers start (fork, forkserver, spawn); by default as the platform does.
        opener: what opens shards.

    Raises:
        ConfigError: a number is impossible.
    """

    shards: ShardList
    preset: ImagePreset
    batch_size: int = 256
    views: int = 1
    augmentation: Augmentation = field(default_factory=Augmentation)
    seed: int = 0
    decoding: Decoding = "exact"
    workers: int = 0
    max_lost_share: float = 0.01
    timeout_s: float = 3600.0
    start_method: str | None = None
    opener: ShardOpener = field(default_factory=ShardOpener)

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "views": 1, "workers": 0}
        for name, value in least.items():
            if getattr(self, name) < value:
                raise ConfigError(f"{name} must be at least {value}, not {getattr(self, name)}")

    def fingerprint(self, *, backbone: str, dtype: str) -> dict[str, str]:
        """All that the features depend on, by name.

        Args:
            backbone: hash of the encoder and its weights.
            dtype: of the features on disk.
        """
        parts = {
            "backbone": backbone,
            "shards": self.shards.fingerprint(),
            "preset": json.dumps(self.preset.to_json(), sort_keys=True),
            "decoding": self.decoding,
            "dtype": dtype,
            "views": str(self.views),
        }
        if self.views > 1:
            parts["augmentation"] = json.dumps(asdict(self.augmentation), sort_keys=True)
            parts["seed"] = str(self.seed)
        return parts


def folder_name(fingerprint: Mapping[str, str]) -> str:
    """A name for the folder of features that belong to a fingerprint, so that many lie together."""
    return hashlib.sha256(json.dumps(dict(fingerprint), sort_keys=True).encode()).hexdigest()[:24]


def room_for_samples(shards: ShardList, opener: ShardOpener) -> tuple[int, ...]:
    """For each shard a number of samples that it has at most: said by sizes.json, else counted.

    Counting reads the headers of a local tar alone, and of all else every byte.
    """
    sized = zip(shards.urls, shards.sizes, strict=True)
    return tuple(_count(url, opener) if size is None else size for url, size in sized)


def _count(url: str, opener: ShardOpener) -> int:
    """Keys that have an image; 0 for what cannot be opened, which the account says later."""
    keys = set[str]()

    def note(name: str) -> bool:
        key, ending = split_member_name(name)
        if is_known(name) and ending != JSON_ENDING:
            keys.add(key)
        return False

    try:
        stream = opener.open(url)
    except OSError:
        return 0
    with closing(stream):
        for _ in TarScanner(stream).members(note):
            pass
    return len(keys)

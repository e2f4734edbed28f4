"""The splits that a command is asked for, by names that are safe as folders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from geoloc.errors import ConfigError
from geoloc.experiment.schema import ExperimentConfig
from geoloc.retrieval import is_gallery_name


def splits_asked(data: Sequence[str], config: ExperimentConfig) -> dict[str, str]:
    """Shards by the name of their split: those asked for, else the run's own test splits.

    Args:
        data: each ``SHARDS`` or ``NAME=SHARDS``.
        config: the run's.

    Raises:
        ConfigError: there is none, two have one name, or a name cannot be a folder's.
    """
    if not data:
        if not config.data.tests:
            raise ConfigError("the run names no test split (data.tests): give --data SHARDS")
        return {_split_name(name): source for name, source in config.data.tests.items()}
    splits: dict[str, str] = {}
    for word in data:
        name, equals, source = word.partition("=")
        if not equals or "/" in name:
            folder = Path(word.rstrip("/")).resolve().name
            name, source = re.sub(r"[^A-Za-z0-9._-]+", "-", folder).lstrip(".") or "data", word
        if name in splits:
            raise ConfigError(f"two splits are called {name}: write --data NAME=SHARDS")
        splits[_split_name(name)] = source
    return splits


def _split_name(name: str) -> str:
    """The name, once it is known to be safe as a folder's."""
    if not is_gallery_name(name):
        raise ConfigError(
            f"split {name!r}: letters, digits, '.', '_' and '-' only, and no dot at its beginning"
        )
    return name

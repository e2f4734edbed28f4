"""Splits without leaks: whole groups go to one side, and a buffer keeps the sides apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float64, Int64, Shaped

from geoloc.data.earth_blocks import BlockGrid
from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import EARTH_RADIUS_KM, nearest_place_km

TRAIN, VALIDATION, TEST, BUFFER = "train", "validation", "test", "buffer"
NO_PLACE = "no_place"
SPLITS = (TRAIN, VALIDATION, TEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitSettings:
    """How samples are dealt.

    Attributes:
        test_share, validation_share: of the samples of each stratum, in [0, 1), together below 1.
        buffer_km: training samples nearer than this to a held-out sample are set aside.
        seed: of the order in which groups are taken.
    """

    test_share: float = 0.1
    validation_share: float = 0.0
    buffer_km: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        shares = (self.test_share, self.validation_share)
        # Written so that NaN fails too.
        if not (min(shares) >= 0 and 0 < sum(shares) < 1):
            raise ConfigError(
                "shares of test and validation must be 0 or more, and together more than 0 and "
                f"less than 1, not {self.test_share} and {self.validation_share}"
            )
        if not (self.buffer_km >= 0 and math.isfinite(self.buffer_km)):
            raise ConfigError(f"buffer_km must be a number >= 0, not {self.buffer_km}")


def split_samples(
    latlon_deg: Float64[np.ndarray, "row 2"],
    group: Shaped[np.ndarray, " row"],
    stratum: Shaped[np.ndarray, " row"],
    *,
    settings: SplitSettings,
) -> Shaped[np.ndarray, " row"]:
    """The split of each sample: train, validation, test, buffer or no_place.

    A group belongs to the stratum that most of its samples lie in. In each stratum groups come in
    the order of a hash of seed and name; one is given to the test set if that brings its number
    of samples nearer to the wanted share, of the others then one to the validation set likewise.
    So nothing depends on the order of rows, and a group larger than twice what is wanted stays in
    training. Last, training samples nearer than `buffer_km` to any held-out sample become buffer.

    Args:
        latlon_deg: places in degrees; NaN where there is none: such samples get no_place.
        group: name of the group, text; rows of one name stay together.
        stratum: name of what the shares are to hold in (a continent), text.
        settings: shares, buffer, seed.

    Raises:
        DataError: every group is too large to be held out.
    """
    split = np.full(len(group), NO_PLACE, dtype=object)
    placed = np.flatnonzero(np.isfinite(latlon_deg[:, 0]))
    code, names = pd.factorize(group[placed])
    size = np.bincount(code, minlength=len(names))
    home = _strata(code, stratum[placed], count=len(names))
    side = _deal(list(map(str, names)), size, home, settings=settings)
    wanted = {TEST: settings.test_share, VALIDATION: settings.validation_share}
    if lacking := [name for name, share in wanted.items() if share > 0 and name not in side]:
        raise DataError(
            f"no group is small enough for {' and '.join(lacking)}: {len(names):,} groups, the "
            f"smallest of {int(size.min()) if len(size) else 0:,} samples; take smaller groups or "
            "larger shares"
        )
    split[placed] = side[code]
    split[_in_buffer(latlon_deg, split, buffer_km=settings.buffer_km)] = BUFFER
    return split


def block_names(
    latlon_deg: Float64[np.ndarray, "row 2"], *, block_km: float
) -> Shaped[np.ndarray, " row"]:
    """Names of the blocks of about block_km by block_km that places lie in; None without a place.

    Raises:
        ConfigError: block_km is not positive, or more than a quarter of the way around the Earth.
    """
    if not 0 < block_km <= math.pi / 2 * EARTH_RADIUS_KM:
        raise ConfigError(f"block_km must be more than 0 and at most 10,007, not {block_km}")
    grid = BlockGrid(block_deg=math.degrees(block_km / EARTH_RADIUS_KM))
    placed = np.isfinite(latlon_deg[:, 0])
    names = np.full(len(latlon_deg), None, dtype=object)
    names[placed] = grid.block_of(latlon_deg[placed]).astype(str).astype(object)
    return names


def _strata(
    code: Int64[np.ndarray, " row"], stratum: Shaped[np.ndarray, " row"], *, count: int
) -> Shaped[np.ndarray, " group"]:
    """The stratum of most rows of each group; of equals the first by name."""
    level, names = pd.factorize(stratum, sort=True)
    pair, rows = np.unique(code.astype(np.int64) * len(names) + level, return_counts=True)
    group, level = np.divmod(pair, max(len(names), 1))
    order = np.lexsort((level, -rows, group))
    first = order[np.searchsorted(group[order], np.arange(count))] if count else order
    return np.asarray(names, dtype=object)[level[first]]


def _deal(
    names: list[str],
    size: Int64[np.ndarray, " group"],
    home: Shaped[np.ndarray, " group"],
    *,
    settings: SplitSettings,
) -> Shaped[np.ndarray, " group"]:
    draw = np.array([_hash(name, seed=settings.seed) for name in names], dtype=np.uint64)
    side = np.full(len(names), TRAIN, dtype=object)
    # Groups of one hash are too rare to matter, but not to be ordered by the rows.
    order = np.lexsort((np.array(names, dtype=object).astype(str), draw))
    for stratum in sorted(set(home.tolist())):
        members = order[home[order] == stratum]
        total = int(size[members].sum())
        for name, share in ((TEST, settings.test_share), (VALIDATION, settings.validation_share)):
            free, taken = members[side[members] == TRAIN], 0
            for group in free.tolist():
                # Nearer to the wanted number with it than without.
                if taken + size[group] / 2.0 <= share * total:
                    side[group] = name
                    taken += int(size[group])
    return side


def _hash(name: str, *, seed: int) -> int:
    words = name.encode("utf-8", "surrogatepass")
    digest = blake2b(words, digest_size=8, key=f"split {seed}".encode()).digest()
    return int.from_bytes(digest, "little")


def _in_buffer(
    latlon_deg: Float64[np.ndarray, "row 2"],
    split: Shaped[np.ndarray, " row"],
    *,
    buffer_km: float,
) -> Bool[np.ndarray, " row"]:
    near = np.zeros(len(split), dtype=np.bool_)
    if buffer_km > 0:
        train, held = np.flatnonzero(split == TRAIN), np.isin(split, (TEST, VALIDATION))
        near[train] = nearest_place_km(latlon_deg[train], latlon_deg[held]) < buffer_km
    return near

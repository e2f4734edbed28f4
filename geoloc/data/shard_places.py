"""shard_places: where the samples of shards were taken, without reading their images."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float64

from geoloc.data.described import described_records
from geoloc.data.shard_list import ShardList
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.sidecars import fits, folder_of, read_checksums, read_noted_places, shard_name


def shard_places(
    shards: ShardList, opener: ShardOpener | None = None
) -> Float64[np.ndarray, "place 2"]:
    """The places of all samples in degrees, in the order of the shards; none but usable ones.

    Shards that geoloc wrote have them beside (places.npy). Of any other shard, or one that has
    another length than was noted, the json members are read, and in a local tar that is not packed
    all else is leapt over.

    Args:
        shards: where to look.
        opener: what opens them; None opens them without a cache.

    Raises:
        DataError: a server cannot be reached for what lies beside them.
    """
    opener = opener or ShardOpener()
    noted_places: dict[str, dict[str, Float64[np.ndarray, "place 2"]]] = {}
    checksums = {
        folder: read_checksums(folder, policy=opener.policy)
        for folder in {folder_of(url) for url in shards.urls}
        if folder is not None
    }
    parts: list[Float64[np.ndarray, "place 2"]] = []
    for url, expected in zip(shards.urls, shards.sizes, strict=True):
        folder, name = folder_of(url), shard_name(url)
        noted = None if folder is None else checksums[folder].get(name)
        places = None
        if folder is not None and noted is not None and fits(url, noted):
            if folder not in noted_places:
                noted_places[folder] = read_noted_places(folder, policy=opener.policy)
            places = noted_places[folder].get(name)
        if places is None or expected not in (None, len(places)):
            records = described_records(url, opener, expected=expected)
            places = np.array([record.latlon_deg for record in records], dtype=np.float64)
            places = places.reshape(-1, 2)
        parts.append(places)
    return np.concatenate([np.empty((0, 2)), *parts])

"""shard_places: where the samples of shards were taken, without reading their images."""

from __future__ import annotations

from contextlib import closing

import numpy as np
from jaxtyping import Float64

from geoloc.data.member_names import JSON_ENDING, is_known, split_member_name
from geoloc.data.record import PlaceError, SampleError, parse_record
from geoloc.data.shard_list import ShardList
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.sidecars import fits, folder_of, read_checksums, read_noted_places, shard_name
from geoloc.data.tar_members import TarScanner


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
            places = _scan(url, opener, expected=expected)
        parts.append(places)
    return np.concatenate([np.empty((0, 2)), *parts])


def _scan(url: str, opener: ShardOpener, *, expected: int | None) -> Float64[np.ndarray, "place 2"]:
    """The places by the json members of a shard that have an image, the first of each key."""
    with_image, places = set[str](), dict[str, tuple[float, float]]()

    def wanted(name: str) -> bool:
        key, ending = split_member_name(name)
        if is_known(name) and ending != JSON_ENDING:
            with_image.add(key)
        return is_known(name) and ending == JSON_ENDING

    try:
        stream = opener.open(url)
    except OSError:
        stream = None
    if stream is not None:
        with closing(stream):
            for member in TarScanner(stream).members(wanted):
                key, _ = split_member_name(member.name)
                if key in places or member.data is None:
                    continue
                try:
                    record, _ = parse_record(key, image_bytes=b"", json_bytes=member.data)
                except (PlaceError, SampleError):
                    continue
                places[key] = record.latlon_deg
    found = [place for key, place in places.items() if key in with_image][:expected]
    return np.array(found, dtype=np.float64).reshape(-1, 2)

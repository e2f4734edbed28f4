"""Small pictures of a few samples, taken out of shards by key."""

from __future__ import annotations

import io
import time
from collections.abc import Collection
from contextlib import closing

import numpy as np
from PIL import Image

from geoloc.data import ShardList, list_shards
from geoloc.data.decoding import decode_image
from geoloc.data.member_names import JSON_ENDING, is_known, split_member_name
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.sidecars import is_local
from geoloc.data.tar_members import TarScanner
from geoloc.errors import ImageError

_QUALITY = 85


def thumbnails(
    source: str | ShardList, keys: Collection[str], *, side_px: int = 200, limit_s: float = 5.0
) -> dict[str, bytes]:
    """The images of some samples as JPEGs without metadata, no side longer than asked for.

    Local shards are read once, all but the wanted images leapt over, until every key is found.
    What lies elsewhere, is damaged, or is not found in time is left out: these are pictures for a
    report, and a run must not wait for them.

    Args:
        source: of the shards.
        keys: of the samples.
        side_px: length of the longer side, in pixels.
        limit_s: no further image is read after so many seconds.

    Raises:
        DataError: the source is none.
    """
    found: dict[str, bytes] = {}
    wanted, end = set(keys), time.monotonic() + limit_s
    for url in list_shards(source).urls:
        if not is_local(url) or not wanted:
            continue
        try:
            stream = ShardOpener().open(url)
        except OSError:
            continue
        with closing(stream):
            for member in TarScanner(stream).members(lambda name: _is_image_of(name, wanted)):
                key, _ = split_member_name(member.name)
                wanted.discard(key)
                if member.data is not None and (picture := _small(key, member.data, side_px)):
                    found[key] = picture
                if not wanted or time.monotonic() > end:
                    break
        if time.monotonic() > end:
            break
    return found


def _is_image_of(name: str, wanted: Collection[str]) -> bool:
    key, ending = split_member_name(name)
    return key in wanted and ending != JSON_ENDING and is_known(name)


def _small(key: str, data: bytes, side_px: int) -> bytes | None:
    try:
        image = decode_image(data, name=key)
    except ImageError:
        return None
    image.thumbnail((side_px, side_px))
    buffer = io.BytesIO()
    # Pixels only: nothing of the camera's metadata may reach a page that is passed on.
    Image.fromarray(np.asarray(image)).save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()

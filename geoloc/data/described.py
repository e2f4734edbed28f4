"""What the json members of a shard say of its samples, without reading the images."""

from __future__ import annotations

from contextlib import closing

from geoloc.data.member_names import JSON_ENDING, is_known, split_member_name
from geoloc.data.record import PlaceError, Record, SampleError, parse_record
from geoloc.data.shard_opener import ShardOpener
from geoloc.data.tar_members import TarScanner


def described_records(
    url: str, opener: ShardOpener, *, expected: int | None = None
) -> list[Record]:
    """The samples of a shard that have an image and a usable place, the first of each key.

    Their `image_bytes` are empty: in a local tar that is not packed the images are leapt over.

    Args:
        url: see `ShardOpener.open`; a shard that cannot be opened has no sample.
        opener: what opens it.
        expected: samples that it is said to hold; what lies beyond is left out.
    """
    with_image, records = set[str](), dict[str, Record]()

    def wanted(name: str) -> bool:
        key, ending = split_member_name(name)
        if is_known(name) and ending != JSON_ENDING:
            with_image.add(key)
        return is_known(name) and ending == JSON_ENDING

    try:
        stream = opener.open(url)
    except OSError:
        return []
    with closing(stream):
        for member in TarScanner(stream).members(wanted):
            key, _ = split_member_name(member.name)
            if key in records or member.data is None:
                continue
            try:
                record, _ = parse_record(key, image_bytes=b"", json_bytes=member.data)
            except (PlaceError, SampleError):
                continue
            records[key] = record
    return [record for key, record in records.items() if key in with_image][:expected]

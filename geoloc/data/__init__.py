"""From files to batches: records, shards, streams of them, and the makers of data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from geoloc.on_demand import import_on_demand

if TYPE_CHECKING:
    from geoloc.data.ledger import LossLedger, LostSample
    from geoloc.data.reading import RawSample, ShardReader, open_sample
    from geoloc.data.record import PlaceError, Record, SampleError, place_of
    from geoloc.data.shard_list import ShardList, list_shards
    from geoloc.data.shard_statistics import ShardStatistics, shard_statistics
    from geoloc.data.shards import ShardWriter
    from geoloc.data.stream import ShardStream
    from geoloc.data.verify import ShardCheck, ShardReport, verify_shards
else:
    import_on_demand(__name__)

__all__ = [
    "LossLedger",
    "LostSample",
    "PlaceError",
    "RawSample",
    "Record",
    "SampleError",
    "ShardCheck",
    "ShardList",
    "ShardReader",
    "ShardReport",
    "ShardStatistics",
    "ShardStream",
    "ShardWriter",
    "list_shards",
    "open_sample",
    "place_of",
    "shard_statistics",
    "verify_shards",
]

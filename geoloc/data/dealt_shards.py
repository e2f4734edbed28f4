"""From shards to the shards of splits, as a table of `geoloc split` deals their samples."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from geoloc.data.ledger import LostSample
from geoloc.data.reading import RawSample, ShardReader
from geoloc.data.record import PlaceError, SampleError, parse_record
from geoloc.data.sample_table import read_samples
from geoloc.data.shard_list import list_shards
from geoloc.data.splits import SPLITS
from geoloc.data.write_report import CountingWriter, WriteReport


def write_dealt_shards(
    source: str,
    table: str,
    out_folder: Path,
    *,
    column: str = "split",
    samples_per_shard: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> WriteReport:
    """Write the samples of shards anew, each to the folder of its split; images go over as bytes.

    Args:
        source: shards, see `list_shards`.
        table: with a column ``key`` (or id) and that of the splits.
        out_folder: receives train, validation and test; each must be new or empty.
        column: of the splits.
        samples_per_shard: samples in each tar.
        progress: told how many shards are done, and of how many.

    Returns:
        What was written and, by kind, what was not: what the table says instead of a split
        (``buffer``), ``not_in_table``, ``no_split`` (an empty cell), and what shards lose.

    Raises:
        DataError: shards or table are missing or cannot be read, a target is not empty, or nothing
            could be written.
    """
    shards, rows = list_shards(source), read_samples(table)
    split_of = dict(zip(rows.keys().tolist(), rows.texts(column).tolist(), strict=True))
    folders = {split: out_folder / split for split in SPLITS}
    with CountingWriter(folders, samples_per_shard=samples_per_shard) as writer:
        for done, (url, size) in enumerate(zip(shards.urls, shards.sizes, strict=True), start=1):
            for item in ShardReader(url, expected=size):
                if isinstance(item, LostSample):
                    writer.skip_rest(item.kind, item.count)
                else:
                    _write(writer, item, split_of.get(item.key, "not_in_table") or "no_split")
            if progress is not None:
                progress(done, len(shards))
    return writer.report()


def _write(writer: CountingWriter, raw: RawSample, split: str) -> None:
    if split not in SPLITS:
        writer.skip(split, raw.key)
        return
    try:
        record, _ = parse_record(raw.key, image_bytes=raw.image_bytes, json_bytes=raw.json_bytes)
        writer.write(split, record)
    except (PlaceError, SampleError) as error:
        writer.skip(error.kind, raw.key)

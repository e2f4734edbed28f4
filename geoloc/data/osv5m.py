"""From an OSV-5M release (table and zips) to shards that the training stream reads."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from geoloc.data.member_names import image_ending
from geoloc.data.osv5m_images import ImageIndex
from geoloc.data.osv5m_rows import SortedRows, choose_validation, sort_rows
from geoloc.data.record import Record
from geoloc.data.write_report import CountingWriter, WriteReport
from geoloc.errors import ConfigError, ImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sample:
    """Number and columns of a row, and what reads its image."""

    number: int
    row: dict[str, Any]
    read: Callable[[str], bytes]


def write_osv5m_shards(
    release_folder: Path,
    out_folder: Path,
    split: Literal["train", "test"],
    *,
    samples_per_shard: int = 1000,
    limit: int | None = None,
    seed: int | None = 0,
    val_share: float = 0.0,
    progress: Callable[[int, int], None] | None = None,
) -> WriteReport:
    """Write one split of an OSV-5M release as shards in ``out_folder/<split>``.

    The release holds ``<split>.csv`` and ``images/<split>/`` with zips (``NN.zip``, images at any
    depth) or folders of ``<id>.jpg``. Each sample's json holds every column of the table under its
    own name; images go over as they are, undecoded (``geoloc shards verify`` decodes them all).

    Each zip is opened once; neither table nor images are held in memory: rows wait on disk below
    `out_folder`, 1.5 times the table's size. Zips come in random order, as do the images of each:
    a shard is a random part of a zip or two, and reading permutes the shards.

    Args:
        release_folder: the release as downloaded.
        out_folder: where to write.
        split: which table.
        samples_per_shard: in each tar.
        limit: at most so many samples are written, from as few zips as hold them.
        seed: of order and validation samples; None keeps the order of zips and table.
        val_share: share of the rows for ``out_folder/val`` (`choose_validation`); OSV-5M has 0.1.
        progress: called with samples done and samples in all.

    Returns:
        What was written and, by kind, what was skipped: ``malformed_row``, ``bad_id``,
        ``missing_image``, ``duplicate_id`` (the first is kept), ``empty_image``, ``not_an_image``,
        ``unreadable_image``, ``file_too_large``, ``over_limit``, and the kinds of `place_of`.

    Raises:
        DataError: table or images are missing or damaged as a whole, or a target is not empty.
        ConfigError: `val_share` is not in [0, 1), or not 0 for the test split; `limit` is below 1.
    """
    _check_wishes(split, limit=limit, val_share=val_share)
    images = ImageIndex.build(release_folder / "images" / split)
    folders = {name: out_folder / name for name in ((split, "val") if val_share else (split,))}
    generator = np.random.default_rng(0 if seed is None else seed)
    with ExitStack() as stack:
        writer = stack.enter_context(CountingWriter(folders, samples_per_shard=samples_per_shard))
        out_folder.mkdir(parents=True, exist_ok=True)
        spool = stack.enter_context(tempfile.TemporaryDirectory(dir=out_folder, prefix=".rows-"))
        rows = sort_rows(release_folder / f"{split}.csv", images, Path(spool), tally=writer)
        is_val = choose_validation(rows.latlon_deg, share=val_share, generator=generator)
        shuffle = None if seed is None else generator
        samples = stack.enter_context(closing(_samples(images, rows, generator=shuffle)))
        done = 0
        while writer.written != limit and (sample := next(samples, None)) is not None:
            _write_one(writer, sample, "val" if is_val[sample.number] else split)
            done += 1
            if progress is not None:
                progress(done, len(is_val))
        writer.skip_rest("over_limit", len(is_val) - done)
    return writer.report(unused_images=rows.unused_images)


def _check_wishes(split: str, *, limit: int | None, val_share: float) -> None:
    if not 0 <= val_share < 1 or (val_share > 0 and split != "train"):
        raise ConfigError(f"val_share must lie in [0, 1), and be 0 for test, not {val_share}")
    if limit is not None and limit < 1:
        raise ConfigError(f"limit is {limit}: it must be at least one sample, or None")


def _samples(
    images: ImageIndex, rows: SortedRows, *, generator: np.random.Generator | None
) -> Generator[_Sample]:
    """The rows in order of writing, container by container."""
    order = np.arange(len(images.containers))
    if generator is not None:
        order = generator.permutation(order)
    for container in order.tolist():
        found = rows.of_container(container)
        if generator is not None:
            found = [found[index] for index in generator.permutation(len(found)).tolist()]
        if not found:
            continue
        with images.opened(container) as read:
            for number, row in found:
                yield _Sample(number=number, row=row, read=read)


def _write_one(writer: CountingWriter, sample: _Sample, split: str) -> None:
    """Write a sample, or count why it cannot be."""
    row, key = sample.row, str(sample.row["id"])
    try:
        data = sample.read(key)
    except ImageError as error:
        writer.skip(error.kind, key)
        return
    if image_ending(data) is None:
        writer.skip("not_an_image" if data else "empty_image", key)
        return
    place = (row["latitude"], row["longitude"])
    writer.write(split, Record(key=key, image_bytes=data, latlon_deg=place, label=row))

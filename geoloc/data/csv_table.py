"""From any table of image paths and places to shards."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from geoloc.data.decoding import read_limited
from geoloc.data.member_names import member_stem
from geoloc.data.record import PlaceError, Record, place_of
from geoloc.data.shard_image import shard_image
from geoloc.data.splits import SPLITS
from geoloc.data.table_rows import read_table
from geoloc.data.write_report import CountingWriter, WriteReport
from geoloc.errors import DataError, ImageError


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvColumns:
    """Which columns of a table say what.

    Attributes:
        path: of the image, absolute or relative to the folder of images.
        latitude, longitude: in degrees.
        id: unique name of a sample; None numbers the rows.
        split: which of train, validation and test a sample goes to, as `geoloc split` writes it;
            None makes one set of all.
    """

    path: str = "path"
    latitude: str = "latitude"
    longitude: str = "longitude"
    id: str | None = None
    split: str | None = None

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that a table must have."""
        optional = (name for name in (self.id, self.split) if name)
        return (self.path, self.latitude, self.longitude, *optional)


def write_csv_shards(
    table: Path,
    out_folder: Path,
    *,
    columns: CsvColumns | None = None,
    image_folder: Path | None = None,
    samples_per_shard: int = 1000,
    progress: Callable[[int], None] | None = None,
) -> WriteReport:
    """Write the images that a CSV file lists as shards, in the order of its rows.

    Each sample's json holds ``id``, ``latitude`` and ``longitude`` as numbers, and every other
    column as text (an empty cell is null, "NA" is not). JPEG, PNG and WebP files go over as they
    are, with their EXIF data; other formats are encoded as JPEG of high quality. Every image is
    decoded once.

    With a column of splits each goes to ``out_folder/<split>``; rows that name no split are left
    out, counted by what stands there (``buffer``, ``no_place``).

    Args:
        table: CSV with a header, UTF-8.
        out_folder: new or empty.
        columns: names of the columns.
        image_folder: what relative paths start from; default the folder of the table.
        samples_per_shard: samples in each tar.
        progress: called with the number of rows done.

    Returns:
        What was written and, by kind, what was skipped: ``malformed_row``, ``bad_id``,
        ``duplicate_id``, ``no_path``, ``no_split``, and the kinds of `place_of` and `read_image`.

    Raises:
        DataError: the table is missing, unreadable or lacks a column; the target is not empty;
            or nothing could be written.
    """
    names = columns or CsvColumns()
    return write_row_shards(
        read_table(table, needed=names.needed),
        out_folder,
        columns=names,
        image_folder=table.parent if image_folder is None else image_folder,
        samples_per_shard=samples_per_shard,
        progress=progress,
    )


def write_row_shards(
    rows: Iterable[Mapping[str, str | None]],
    out_folder: Path,
    *,
    columns: CsvColumns,
    image_folder: Path,
    samples_per_shard: int = 1000,
    progress: Callable[[int], None] | None = None,
    unused_images: Callable[[], int] = lambda: 0,
) -> WriteReport:
    """Write the images that rows name as shards, as `write_csv_shards` does.

    Args:
        rows: cells by column; one with the key ``""`` is malformed.
        out_folder: new or empty.
        columns: names of the columns.
        image_folder: what relative paths start from.
        samples_per_shard: samples in each tar.
        progress: called with the number of rows done.
        unused_images: asked at the end how many images no row names.

    Raises:
        DataError: the target is not empty; or nothing could be written.
    """
    seen: set[str] = set()
    folders = {out_folder.name: out_folder}
    if columns.split is not None:
        folders = {split: out_folder / split for split in SPLITS}
    with CountingWriter(folders, samples_per_shard=samples_per_shard) as writer:
        for number, row in enumerate(rows):
            key = f"{number:08d}" if columns.id is None else row.get(columns.id) or ""
            split = out_folder.name if columns.split is None else row.get(columns.split) or ""
            if split in folders:
                record = _record(
                    row, key, names=columns, root=image_folder, seen=seen, tally=writer
                )
                if record is not None:
                    writer.write(split, record)
            else:
                writer.skip("malformed_row" if "" in row else split or "no_split", key)
            if progress is not None:
                progress(number + 1)
    return writer.report(unused_images=unused_images())


def _record(
    row: Mapping[str, str | None],
    key: str,
    *,
    names: CsvColumns,
    root: Path,
    seen: set[str],
    tally: CountingWriter,
) -> Record | None:
    path = row.get(names.path)
    shown = key or path or "(no id)"
    problem = _problem(row, key, seen=seen, path=path)
    if problem is not None:
        tally.skip(problem, shown)
        return None
    try:
        place = place_of({"latitude": row[names.latitude], "longitude": row[names.longitude]})
        data = shard_image(read_limited(root / str(path)), name=str(path))
    except (PlaceError, ImageError) as error:
        tally.skip(error.kind, shown)
        return None
    seen.add(key)
    label = {**row, "id": key, "latitude": place[0], "longitude": place[1]}
    return Record(key=key, image_bytes=data, latlon_deg=place, label=label)


def _problem(
    row: Mapping[str, str | None], key: str, *, seen: set[str], path: str | None
) -> str | None:
    if "" in row:
        return "malformed_row"
    try:
        member_stem(key)
    except DataError:
        return "bad_id"
    if key in seen:
        return "duplicate_id"
    return None if path else "no_path"

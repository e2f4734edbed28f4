"""From any table of image paths and places to shards."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from geoloc.data.decoding import read_limited
from geoloc.data.member_names import member_stem
from geoloc.data.record import PlaceError, Record, place_of
from geoloc.data.shard_image import shard_image
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
    """

    path: str = "path"
    latitude: str = "latitude"
    longitude: str = "longitude"
    id: str | None = None


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

    Args:
        table: CSV with a header, UTF-8.
        out_folder: new or empty.
        columns: names of the columns.
        image_folder: what relative paths start from; default the folder of the table.
        samples_per_shard: samples in each tar.
        progress: called with the number of rows done.

    Returns:
        What was written and, by kind, what was skipped: ``malformed_row``, ``bad_id``,
        ``duplicate_id``, ``no_path``, and the kinds of `place_of` and `read_image`.

    Raises:
        DataError: the table is missing, unreadable or lacks a column; the target is not empty;
            or nothing could be written.
    """
    names = columns or CsvColumns()
    needed = (names.path, names.latitude, names.longitude, *((names.id,) if names.id else ()))
    rows = read_table(table, needed=needed)
    root = table.parent if image_folder is None else image_folder
    seen: set[str] = set()
    with CountingWriter(
        {out_folder.name: out_folder}, samples_per_shard=samples_per_shard
    ) as writer:
        for number, row in enumerate(rows):
            key = f"{number:08d}" if names.id is None else row.get(names.id) or ""
            record = _record(row, key, names=names, root=root, seen=seen, tally=writer)
            if record is not None:
                writer.write(out_folder.name, record)
            if progress is not None:
                progress(number + 1)
    return writer.report()


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

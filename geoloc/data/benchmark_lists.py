"""From the published lists of Im2GPS, Im2GPS3k, YFCC4k, YFCC26k and GWS15k to shards.

The images are the user's. What a list says is told by its first line; three layouts are known:

- ``IMG_ID,AUTHOR,LAT,LON,S3_Label,...``: Im2GPS, Im2GPS3k and YFCC26k (``yfcc25600``), as
  published by E. Müller-Budack, K. Pustu-Iren and R. Ewerth (ECCV 2018; TIBHannover/GeoEstimation).
  The first Im2GPS3k list there has the names LAT and LON exchanged. Some authors of the Im2GPS list
  have the rest of the file's name before them.
- lines of YFCC100M without a header, tabs between 25 cells: YFCC4k, as N. Vo, N. Jacobs and J. Hays
  (ICCV 2017) ship it. The photo's number is the second cell, its owner the fourth, longitude and
  latitude the thirteenth and fourteenth; the image is called after the number.
- ``path,lat,lon``: GWS15k (B. Clark et al., CVPR 2023), whose images are not published; D. Shatwell
  et al. (GT-Loc, ICCV 2025) give its places so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from geoloc.data.csv_table import CsvColumns, write_row_shards
from geoloc.data.photos import photo_files
from geoloc.data.record import PlaceError, place_of
from geoloc.data.table_rows import read_table
from geoloc.data.write_report import WriteReport
from geoloc.errors import DataError

BENCHMARKS: dict[str, int | None] = {
    "im2gps": 237,
    "im2gps3k": 2997,
    "yfcc4k": 4536,
    "yfcc26k": 25600,
    "gws15k": None,
}
"""The lists, and how many images each is published with; None where that could not be checked."""

_YFCC_CELLS = 25
_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_OUT_OF_RANGE = "coordinate_out_of_range"
Row = Mapping[str, str | None]


def write_benchmark_shards(
    list_file: Path,
    image_folder: Path,
    out_folder: Path,
    *,
    samples_per_shard: int = 1000,
    progress: Callable[[int], None] | None = None,
) -> WriteReport:
    """Write the images of a benchmark's list as shards, in the order of the list.

    An image is looked for under its name in the list, then anywhere below the folder under the
    last part of that name, then with ``Place_00012_`` before it, as the images of Im2GPS have it;
    the first that fits one file alone is taken. Each sample's json holds ``id`` (the name without
    folder and ending), ``creator_id``, and the cells of the list.

    Args:
        list_file: see this module.
        image_folder: the images, in folders of any kind.
        out_folder: new or empty.
        samples_per_shard: samples in each tar.
        progress: called with the number of rows done.

    Returns:
        What was written and, by kind, what was skipped: their sum is the number of rows. Kinds:
        ``missing``, ``malformed_row``, ``bad_id``, ``duplicate_id`` and those of `place_of` and
        `read_image`; and how many images of the folder the list does not name.

    Raises:
        DataError: list or folder is missing, the layout is none of the known, latitude and
            longitude are exchanged, the target is not empty, or nothing could be written.
    """
    rows = read_benchmark_list(list_file)
    images = _Images.below(image_folder)
    return write_row_shards(
        images.found(rows),
        out_folder,
        columns=CsvColumns(id="id"),
        image_folder=image_folder,
        samples_per_shard=samples_per_shard,
        progress=progress,
        unused_images=lambda: images.unused,
    )


def read_benchmark_list(list_file: Path) -> list[Row]:
    """The rows of a list with the cells id, path, latitude, longitude, creator_id and its own.

    A row of another length has the key ``""``, as in `read_table`.

    Raises:
        DataError: see `write_benchmark_shards`.
    """
    try:
        with list_file.open(encoding="utf-8-sig", newline="\n") as file:
            first = file.readline()
    except FileNotFoundError:
        raise DataError(f"{list_file}: no such file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{list_file}: cannot be read as a list ({error})") from None
    names = {name.strip().strip('"') for name in first.split(",")}
    if {"IMG_ID", "LAT", "LON"} <= names:
        rows = [_places365_row(row) for row in read_table(list_file, needed=())]
    elif {"path", "lat", "lon"} <= names:
        rows = [_path_row(row) for row in read_table(list_file, needed=())]
    elif first.count("\t") == _YFCC_CELLS - 1:
        rows = list(_yfcc_rows(list_file))
    else:
        raise DataError(
            f"{list_file}: no list of a known benchmark: expected the columns IMG_ID, LAT and LON, "
            f"or path, lat and lon, or {_YFCC_CELLS} cells with tabs between them and no header; "
            "for other tables there is `geoloc shards make csv`"
        )
    _refuse_exchanged(list_file, rows)
    return rows


def _places365_row(row: Row) -> Row:
    image = row.get("IMG_ID") or ""
    # "9f05b2251e_1292_8504005@N07" is the rest of a file's name; the author is its end.
    author = (row.get("AUTHOR") or "").rpartition("_")[2] or None
    own = {"path": image, "latitude": row.get("LAT"), "longitude": row.get("LON")}
    return {**row, **own, "id": _id(image), "creator_id": author}


def _path_row(row: Row) -> Row:
    image = row.get("path") or ""
    own = {"latitude": row.get("lat"), "longitude": row.get("lon")}
    return {**row, **own, "id": _id(image)}


def _yfcc_rows(list_file: Path) -> Iterator[Row]:
    # By line feeds alone: titles hold characters that other readers take for the end of a line.
    with list_file.open(encoding="utf-8", errors="replace", newline="\n") as file:
        for line in file:
            cells = line.rstrip("\r\n").split("\t")
            if len(cells) != _YFCC_CELLS:
                yield {"": "wrong number of cells", "id": cells[1] if len(cells) > 1 else None}
                continue
            yield {
                "id": cells[1],
                "path": f"{cells[1]}.jpg",
                "creator_id": cells[3] or None,
                "latitude": cells[13],
                "longitude": cells[12],
            }


def _id(image: str) -> str:
    return PurePosixPath(image).stem


def _refuse_exchanged(list_file: Path, rows: Iterable[Row]) -> None:
    """Refuse a list in which latitudes are out of range that would be longitudes, and no other."""
    straight, turned = (_out_of_range(rows, turn=turn) for turn in (False, True))
    if straight and not turned:
        raise DataError(
            f"{list_file}: {straight} latitudes beyond 90 degrees, and no longitude: the names LAT "
            "and LON are exchanged, as in the first published list of Im2GPS3k; exchange them in "
            "its first line"
        )


def _out_of_range(rows: Iterable[Row], *, turn: bool) -> int:
    count = 0
    for row in rows:
        place = (row.get("latitude"), row.get("longitude"))
        latitude, longitude = reversed(place) if turn else place
        try:
            place_of({"latitude": latitude, "longitude": longitude})
        except PlaceError as error:
            count += error.kind == _OUT_OF_RANGE
    return count


@dataclass(slots=True, kw_only=True)
class _Images:
    """The files of a folder by all the names that a list may have for them."""

    by_name: Mapping[str, list[str]]
    files: frozenset[str]
    used: set[str] = field(default_factory=set[str])

    @classmethod
    def below(cls, folder: Path) -> _Images:
        by_name: dict[str, list[str]] = {}
        files = [path.relative_to(folder).as_posix() for path in photo_files(folder)]
        for file in files:
            name = PurePosixPath(file).name
            without_place = name.split("_", 2)[2:]
            for known in {name, *without_place}:
                by_name.setdefault(known, []).append(file)
        return cls(by_name=by_name, files=frozenset(files))

    @property
    def unused(self) -> int:
        """Images, by their endings, that no row has named yet."""
        left = self.files - self.used
        return sum(PurePosixPath(file).suffix.lower() in _ENDINGS for file in left)

    def found(self, rows: Iterable[Row]) -> Iterator[Row]:
        """The rows with the paths of the files that they mean, where there are such."""
        for row in rows:
            wanted = row.get("path") or ""
            same_name = self.by_name.get(PurePosixPath(wanted).name, [])
            file = wanted if wanted in self.files else None
            if file is None and len(same_name) == 1:
                file = same_name[0]
            if file is not None:
                self.used.add(file)
            yield {**row, "path": file or wanted}

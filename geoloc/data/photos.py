"""From a folder of photos that carry their place in EXIF to shards."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from PIL import ExifTags, Image

from geoloc.data.decoding import FORMATS, read_limited
from geoloc.data.record import PlaceError, Record
from geoloc.data.shard_image import shard_image
from geoloc.data.visible_files import visible_files
from geoloc.data.write_report import CountingWriter, WriteReport
from geoloc.errors import DataError, ImageError

_SIGNS = {"N": 1.0, "S": -1.0, "E": 1.0, "W": -1.0}


def write_photo_shards(
    folder: Path,
    out_folder: Path,
    *,
    samples_per_shard: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> WriteReport:
    """Write the photos below a folder as shards, placed by their EXIF GPS, in order of path.

    Each sample's json holds ``id``, ``latitude``, ``longitude`` and ``path`` relative to `folder`.
    JPEG, PNG and WebP files go over as they are, with all their EXIF data; other formats are
    encoded as JPEG. Hidden
    files and folders are passed over; every other file counts.

    Args:
        folder: searched with all folders below it.
        out_folder: new or empty.
        samples_per_shard: samples in each tar.
        progress: called with files done and files in all.

    Returns:
        What was written and, by kind, what was skipped: the kinds of `photo_place_deg` and of
        `read_image` (``not_an_image`` for whatever else lies in the folder).

    Raises:
        DataError: there is no such folder or no file in it; the target is not empty; or no
            photo could be written.
    """
    files = photo_files(folder)
    with CountingWriter(
        {out_folder.name: out_folder}, samples_per_shard=samples_per_shard
    ) as writer:
        for number, path in enumerate(files):
            record = _record(path, folder, key=f"{number:08d}", tally=writer)
            if record is not None:
                writer.write(out_folder.name, record)
            if progress is not None:
                progress(number + 1, len(files))
    return writer.report()


def photo_files(folder: Path) -> list[Path]:
    """The files below a folder in order of path, but for hidden ones and those in hidden folders.

    Raises:
        DataError: there is no such folder or no file in it.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder of photos")
    files = visible_files(folder)
    if not files:
        raise DataError(f"{folder}: no file in it")
    return files


def photo_place_deg(data: bytes, *, name: str = "image") -> tuple[float, float]:
    """Latitude and longitude that a photo's EXIF block gives, in degrees.

    Source: CIPA DC-008 (Exif 2.32), GPS attribute information, tags 1 to 4: degrees, minutes and
    seconds as rationals, with a reference N or S, E or W.

    Raises:
        PlaceError: kind ``no_gps``, ``gps_not_a_number`` (a rational over zero, text),
            ``gps_no_reference``, ``gps_out_of_range``, or ``gps_zero``: exactly 0, 0 is what
            cameras write before they have a fix.
    """
    gps = exif_block(data, ExifTags.IFD.GPSInfo)
    latitude = _angle_deg(gps, ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef, name)
    longitude = _angle_deg(gps, ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef, name)
    if abs(latitude) > 90.0 or abs(longitude) > 180.0:
        raise PlaceError(
            f"{name}: EXIF GPS {latitude:g}, {longitude:g} is not on Earth", kind="gps_out_of_range"
        )
    if latitude == 0.0 and longitude == 0.0:
        raise PlaceError(f"{name}: EXIF GPS is 0, 0: no fix", kind="gps_zero")
    return latitude, longitude


def exif_block(data: bytes, block: ExifTags.IFD) -> dict[int, Any]:
    """The entries of one block of an image's EXIF data by tag; none where there is no such block.

    No pixel is decoded.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL(\.|$)")
        try:
            with Image.open(io.BytesIO(data), formats=FORMATS) as opened:
                return dict(opened.getexif().get_ifd(block))
        # A torn EXIF block surfaces as nearly any exception; it holds nothing then.
        except Exception:
            return {}


def _record(path: Path, folder: Path, *, key: str, tally: CountingWriter) -> Record | None:
    name = path.relative_to(folder).as_posix()
    try:
        data = read_limited(path)
        image = shard_image(data, name=name)
        place = photo_place_deg(data, name=name)
    except (ImageError, PlaceError) as error:
        tally.skip(error.kind, name)
        return None
    label = {"id": key, "latitude": place[0], "longitude": place[1], "path": name}
    return Record(key=key, image_bytes=image, latlon_deg=place, label=label)


def _angle_deg(gps: dict[int, Any], tag: int, reference_tag: int, name: str) -> float:
    raw = gps.get(tag)
    if raw is None:
        raise PlaceError(f"{name}: no GPS place in its EXIF data", kind="no_gps")
    parts = cast("tuple[Any, ...]", raw) if isinstance(raw, tuple) else (raw,)
    try:
        values = [float(part) for part in parts]
    except (TypeError, ValueError, ZeroDivisionError):
        values = []
    # Degrees alone, with minutes, or with minutes and seconds; a full 60 is a rounded 59.99.
    sound = 1 <= len(values) <= 3 and all(math.isfinite(value) for value in values)
    if not sound or min(values) < 0 or max([*values[1:], 0.0]) > 60:
        raise PlaceError(f"{name}: EXIF GPS {raw!r} is no angle", kind="gps_not_a_number")
    reference = gps.get(reference_tag, "")
    text = reference.decode("ascii", "replace") if isinstance(reference, bytes) else str(reference)
    letter = text.strip("\0 ").upper()[:1]
    allowed = "NS" if reference_tag == ExifTags.GPS.GPSLatitudeRef else "EW"
    if not letter or letter not in allowed:
        raise PlaceError(
            f"{name}: EXIF GPS does not say which of {allowed} it means", kind="gps_no_reference"
        )
    return _SIGNS[letter] * sum(value / 60.0**power for power, value in enumerate(values))

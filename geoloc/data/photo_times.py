"""When photos were taken, by their EXIF data, on one clock."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone

from PIL import ExifTags

from geoloc.data.photos import exif_block

_SOURCES = (
    (
        ExifTags.Base.DateTimeOriginal,
        ExifTags.Base.SubsecTimeOriginal,
        ExifTags.Base.OffsetTimeOriginal,
    ),
    (
        ExifTags.Base.DateTimeDigitized,
        ExifTags.Base.SubsecTimeDigitized,
        ExifTags.Base.OffsetTimeDigitized,
    ),
)


def photo_time(data: bytes) -> datetime | None:
    """When a photo was taken (else digitised), None where its EXIF data do not say.

    Aware of its distance from UTC where the camera wrote that down, else the camera's own clock.
    The time of the last change of the file's content counts for nothing.

    Source: CIPA DC-008 (Exif 2.32), tags DateTimeOriginal, SubSecTimeOriginal and
    OffsetTimeOriginal, and the same of digitising.
    """
    block = exif_block(data, ExifTags.IFD.Exif)
    for when, part, offset in _SOURCES:
        try:
            taken = datetime.strptime(_text(block.get(when)), "%Y:%m:%d %H:%M:%S")
        # Cameras without a clock write zeros or spaces.
        except ValueError:
            continue
        digits = _text(block.get(part))
        if digits.isdecimal() and digits.isascii():
            # Cut, not rounded: the second after the last of year 9999 is none.
            taken = taken.replace(microsecond=int(digits[:6].ljust(6, "0")))
        return taken.replace(tzinfo=_zone(_text(block.get(offset))))
    return None


def hours_between(times: Sequence[datetime]) -> list[float]:
    """Hours of each time since the first of them.

    Where every time knows its distance from UTC, that counts; else all are read as times of one
    clock that was never set to another zone.
    """
    aware = all(time.tzinfo is not None for time in times)
    clock = [time if aware else time.replace(tzinfo=None) for time in times]
    first = min(clock)
    return [(time - first).total_seconds() / 3600.0 for time in clock]


def _zone(text: str) -> timezone | None:
    try:
        return timezone(datetime.strptime(text, "%z").utcoffset() or timedelta(0))
    except ValueError:
        return None


def _text(value: object) -> str:
    text = value.decode("ascii", "replace") if isinstance(value, bytes) else str(value or "")
    return text.strip("\0 ")

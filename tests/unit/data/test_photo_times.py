"""Times of photos: what cameras write, what they leave out, and one clock for all."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta, timezone

import pytest
from PIL import ExifTags, Image

from geoloc.data.photo_times import hours_between, photo_time

TAKEN, PART, ZONE = (
    ExifTags.Base.DateTimeOriginal,
    ExifTags.Base.SubsecTimeOriginal,
    ExifTags.Base.OffsetTimeOriginal,
)


def photo(block: dict[int, object], changed: str | None = None) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update(block)
    if changed is not None:
        exif[ExifTags.Base.DateTime] = changed
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6)).save(buffer, "JPEG", exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ({TAKEN: "2024:02:29 23:59:58"}, datetime(2024, 2, 29, 23, 59, 58)),
        ({TAKEN: "2024:02:29 23:59:58", PART: "25"}, datetime(2024, 2, 29, 23, 59, 58, 250_000)),
        (
            {TAKEN: "2024:02:29 12:00:00", ZONE: "+05:45"},
            datetime(2024, 2, 29, 6, 15, tzinfo=UTC),
        ),
        ({TAKEN: "2024:02:29 12:00:00", ZONE: "   :  "}, datetime(2024, 2, 29, 12)),
        ({TAKEN: "0000:00:00 00:00:00"}, None),
        ({TAKEN: "    :  :     :  :  "}, None),
        (
            {TAKEN: "9999:12:31 23:59:59", PART: "99999999999"},
            datetime(9999, 12, 31, 23, 59, 59, 999_999),
        ),
        ({}, None),
        ({ExifTags.Base.DateTimeDigitized: "2020:01:01 01:00:00"}, datetime(2020, 1, 1, 1)),
    ],
)
def test_what_cameras_write(block, expected):
    assert photo_time(photo(block)) == expected


def test_the_time_of_a_change_is_not_when_it_was_taken():
    assert photo_time(photo({}, changed="2024:01:01 00:00:00")) is None
    assert photo_time(b"no image") is None


def test_hours_on_one_clock():
    noon = datetime(2024, 5, 1, 12, tzinfo=UTC)
    tokyo = noon.astimezone(timezone(timedelta(hours=9)))
    assert hours_between([noon + timedelta(minutes=90), tokyo, noon]) == [1.5, 0.0, 0.0]
    # One camera that says nothing of zones: all are read as its clock.
    assert hours_between([noon, tokyo.replace(tzinfo=None)]) == [0.0, 9.0]

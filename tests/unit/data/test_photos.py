"""Photos: EXIF's degrees, minutes and seconds on every quarter of the globe, and its lies."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import IFDRational

from geoloc.data.photos import photo_place_deg, write_photo_shards
from geoloc.data.record import PlaceError
from geoloc.errors import DataError

LATITUDE, LATITUDE_REF = ExifTags.GPS.GPSLatitude, ExifTags.GPS.GPSLatitudeRef
LONGITUDE, LONGITUDE_REF = ExifTags.GPS.GPSLongitude, ExifTags.GPS.GPSLongitudeRef
HOME = {
    LATITUDE_REF: "N",
    LATITUDE: (52.0, 31.0, 12.0),
    LONGITUDE_REF: "E",
    LONGITUDE: (13.0, 24.0, 36.0),
}


def photo(gps: dict[int, object] | None, format_name: str = "JPEG") -> bytes:
    exif = Image.Exif()
    if gps is not None:
        exif.get_ifd(ExifTags.IFD.GPSInfo).update(gps)
        # TIFF looks for the entry, the others for the block.
        exif[ExifTags.IFD.GPSInfo] = 0 if format_name == "TIFF" else gps
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), "olive").save(buffer, format_name, exif=exif)
    return buffer.getvalue()


def kind_of(gps: dict[int, object] | None) -> str:
    with pytest.raises(PlaceError) as caught:
        photo_place_deg(photo(gps), name="a.jpg")
    assert "a.jpg" in str(caught.value)
    return caught.value.kind


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_degrees_minutes_seconds(format_name):
    lat, lon = photo_place_deg(photo(HOME, format_name))
    assert lat == pytest.approx(52.52, abs=1e-9)
    assert lon == pytest.approx(13.41, abs=1e-9)


@given(
    latitude=st.floats(-89.99, 89.99),
    longitude=st.floats(-179.99, 179.99),
    parts=st.integers(1, 3),
)
@settings(max_examples=60, deadline=None)
def test_every_quarter_of_the_globe(latitude, longitude, parts):
    def angle(degrees: float) -> tuple[IFDRational, ...]:
        if parts == 1:
            return (IFDRational(round(degrees * 1e6), 10**6),)
        minutes = degrees % 1 * 60
        if parts == 2:
            return IFDRational(int(degrees)), IFDRational(round(minutes * 1e6), 10**6)
        seconds = IFDRational(round(minutes % 1 * 60 * 1e5), 10**5)
        return IFDRational(int(degrees)), IFDRational(int(minutes)), seconds

    gps = {
        LATITUDE_REF: "S" if latitude < 0 else "N",
        LATITUDE: angle(abs(latitude)),
        LONGITUDE_REF: "W" if longitude < 0 else "E",
        LONGITUDE: angle(abs(longitude)),
    }
    data = photo(gps)
    if round(abs(latitude) * 1e6) == round(abs(longitude) * 1e6) == 0:
        return
    found = photo_place_deg(data)
    assert found[0] == pytest.approx(latitude, abs=2e-6)
    assert found[1] == pytest.approx(longitude, abs=2e-6)


def test_kinds_of_places_that_are_none():
    assert kind_of(None) == "no_gps"
    assert kind_of({ExifTags.GPS.GPSDateStamp: "2020:01:01"}) == "no_gps"
    assert kind_of({key: HOME[key] for key in (LATITUDE_REF, LATITUDE)}) == "no_gps"
    assert kind_of({**HOME, LATITUDE: (0.0, 0.0, 0.0), LONGITUDE: (0.0, 0.0, 0.0)}) == "gps_zero"
    nowhere = IFDRational(0, 0)
    assert kind_of({**HOME, LATITUDE: (nowhere, nowhere, nowhere)}) == "gps_not_a_number"
    assert kind_of({**HOME, LATITUDE: (52.0, 75.0, 0.0)}) == "gps_not_a_number"
    assert kind_of({**HOME, LATITUDE: (95.0, 0.0, 0.0)}) == "gps_out_of_range"
    assert kind_of({**HOME, LONGITUDE: (180.0, 0.0, 1.0)}) == "gps_out_of_range"
    assert kind_of({key: HOME[key] for key in HOME if key != LONGITUDE_REF}) == "gps_no_reference"
    assert kind_of({**HOME, LONGITUDE_REF: "N"}) == "gps_no_reference"
    # On the equator or at Greenwich is a place; only both at once is not.
    on_equator = photo_place_deg(photo({**HOME, LATITUDE: (0.0, 0.0, 0.0)}))
    assert on_equator == pytest.approx((0.0, 13.41))
    assert photo_place_deg(photo({**HOME, LATITUDE_REF: "s"}))[0] == pytest.approx(-52.52)


@pytest.mark.parametrize("data", [b"", b"no picture", photo(HOME)[:40]])
def test_no_picture_has_no_place(data):
    with pytest.raises(PlaceError) as caught:
        photo_place_deg(data)
    assert caught.value.kind == "no_gps"


def test_a_folder_of_photos(tmp_path: Path):
    photos = tmp_path / "photos"
    (photos / "2020" / "Zoë").mkdir(parents=True)
    (photos / ".thumbnails").mkdir()
    files = {
        "b.jpg": photo(HOME),
        "2020/a.JPG": photo({**HOME, LATITUDE_REF: "S"}),
        "2020/Zoë/c.png": photo({**HOME, LONGITUDE_REF: "W"}, "PNG"),
        "2020/Zoë/d.tif": photo(HOME, "TIFF"),
        "none.jpg": photo(None),
        "zero.jpg": photo({**HOME, LATITUDE: (0.0,), LONGITUDE: (0.0,)}),
        "half.jpg": photo(HOME)[:-200],
        "notes.txt": b"bring bread",
        "empty.jpg": b"",
        ".thumbnails/b.jpg": photo(HOME),
    }
    for name, data in files.items():
        (photos / name).write_bytes(data)
    seen: list[tuple[int, int]] = []
    report = write_photo_shards(
        photos, tmp_path / "out", progress=lambda done, total: seen.append((done, total))
    )
    assert report.written == 4
    assert report.skipped == {
        "no_gps": 1,
        "gps_zero": 1,
        "truncated": 1,
        "not_an_image": 1,
        "empty": 1,
    }
    assert report.examples["gps_zero"] == ("zero.jpg",)
    assert seen[-1] == (9, 9)
    with tarfile.open(tmp_path / "out" / "00000.tar") as tar:
        members = {one.name: tar.extractfile(one).read() for one in tar}
    said = [json.loads(data) for name, data in members.items() if name.endswith("json")]
    places = {one["path"]: (round(one["latitude"], 6), round(one["longitude"], 6)) for one in said}
    assert places == {
        "b.jpg": (52.52, 13.41),
        "2020/a.JPG": (-52.52, 13.41),
        "2020/Zoë/c.png": (52.52, -13.41),
        "2020/Zoë/d.tif": (52.52, 13.41),
    }
    assert files["b.jpg"] in members.values()


def test_what_cannot_begin(tmp_path: Path):
    with pytest.raises(DataError, match="no such folder"):
        write_photo_shards(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="no file in it"):
        write_photo_shards(tmp_path / "photos", tmp_path / "out")
    (tmp_path / "photos" / "a.jpg").write_bytes(photo(None))
    with pytest.raises(DataError, match="1 no_gps"):
        write_photo_shards(tmp_path / "photos", tmp_path / "out")

"""Record: an image, its place and what is said of it; and how a shard's json tells the place."""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from geoloc.errors import CoordinateError, DataError

CHECKSUM_FIELD = "image_crc32"

_LATITUDE = ("latitude", "lat")
_LONGITUDE = ("longitude", "lon", "lng")


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A sample as it lies in a shard.

    Attributes:
        key: its name, unique within a data set; any text, see `ShardWriter`.
        image_bytes: the encoded image, untouched.
        latlon_deg: latitude and longitude in degrees.
        label: everything else that the data set says of it (country, city, ...).
    """

    key: str
    image_bytes: bytes
    latlon_deg: tuple[float, float]
    label: Mapping[str, Any] = field(default_factory=dict[str, Any])


class PlaceError(CoordinateError):
    """A place that cannot be used, with the kind that it is counted under.

    Args:
        message: what is wrong, in one line.
        kind: ``missing_coordinate``, ``coordinate_not_a_number``, ``coordinate_not_finite`` or
            ``coordinate_out_of_range``.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class SampleError(DataError):
    """A sample that cannot be used for another reason than its image or its place.

    Args:
        message: what is wrong, in one line.
        kind: ``bad_json`` or ``checksum``.
    """

    def __init__(self, message: str, *, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


def place_of(description: Mapping[str, Any]) -> tuple[float, float]:
    """Latitude and longitude in degrees from ``latitude`` and ``longitude`` (or lat, lon, lng).

    Numbers and texts that spell a number are taken. Nothing is wrapped or clamped: an impossible
    coordinate is an error, not another place.

    Raises:
        PlaceError: a coordinate is missing or null, no number, not finite, or out of range.
    """
    latitude_deg = _coordinate(description, _LATITUDE, limit_deg=90.0)
    return latitude_deg, _coordinate(description, _LONGITUDE, limit_deg=180.0)


def _coordinate(
    description: Mapping[str, Any], names: tuple[str, ...], *, limit_deg: float
) -> float:
    name = next((name for name in names if description.get(name) is not None), None)
    if name is None or description[name] == "":
        raise PlaceError(f"no {names[0]}", kind="missing_coordinate")
    value = description[name]
    # A truth value is an integer to Python.
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise PlaceError(f"{name} is {_short(value)}", kind="coordinate_not_a_number")
    try:
        # Python reads 1_0 as ten; nobody who writes a coordinate does.
        degrees = float(value.replace("_", "x") if isinstance(value, str) else value)
    except ValueError:
        raise PlaceError(f"{name} is {_short(value)}", kind="coordinate_not_a_number") from None
    except OverflowError:
        degrees = math.inf
    if not math.isfinite(degrees):
        raise PlaceError(f"{name} is {_short(value)}", kind="coordinate_not_finite")
    if abs(degrees) > limit_deg:
        raise PlaceError(f"{name} is {degrees}", kind="coordinate_out_of_range")
    return degrees


def _short(value: object) -> str:
    # The decimal text of a huge integer is refused by Python itself.
    text = "a huge integer" if isinstance(value, int) and abs(value) > 10**30 else repr(value)
    return text if len(text) <= 40 else f"{text[:40]}..."


def checksum(image_bytes: bytes) -> str:
    """CRC-32 of an encoded image (ISO 3309) as eight hexadecimal digits."""
    return f"{zlib.crc32(image_bytes):08x}"


def description_bytes(record: Record) -> bytes:
    """The json of a record: latitude, longitude, its labels, and the checksum of its image.

    Raises:
        DataError: a label cannot stand in JSON (NaN included: a missing value is None).
    """
    latitude_deg, longitude_deg = record.latlon_deg
    place = {"latitude": float(latitude_deg), "longitude": float(longitude_deg)}
    description = {**place, **record.label, **place, CHECKSUM_FIELD: checksum(record.image_bytes)}
    try:
        text = json.dumps(description, ensure_ascii=False, allow_nan=False, default=_plain)
        return text.encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise DataError(f"{record.key}: its labels cannot be written as JSON: {error}") from error


def _plain(value: object) -> Any:
    # NumPy's scalars know how to become Python's; nothing else is let through.
    item = getattr(value, "item", None)
    if item is None:
        raise TypeError(f"{type(value).__name__} is not JSON")
    return item()


def parse_record(key: str, *, image_bytes: bytes, json_bytes: bytes) -> tuple[Record, str | None]:
    """The record that a shard's image and json make, and the image's checksum where one is given.

    The label is the whole json but for the checksum. The image is neither decoded nor compared.

    Raises:
        SampleError: the json cannot be read or is no mapping.
        PlaceError: see `place_of`.
    """
    try:
        description = json.loads(json_bytes)
    except (ValueError, RecursionError) as error:
        raise SampleError(f"its json cannot be read: {error}", kind="bad_json") from None
    if not isinstance(description, dict):
        raise SampleError("its json is no mapping", kind="bad_json")
    label = cast("dict[str, Any]", description)
    expected = label.pop(CHECKSUM_FIELD, None)
    record = Record(key=key, image_bytes=image_bytes, latlon_deg=place_of(label), label=label)
    return record, None if expected is None else str(expected)


def parse_checksum(json_bytes: bytes) -> str | None:
    """The checksum of its image that a json has; None without one, or where it cannot be read."""
    try:
        description = json.loads(json_bytes)
    except (ValueError, RecursionError):
        return None
    if not isinstance(description, dict):
        return None
    noted = cast("dict[str, Any]", description).get(CHECKSUM_FIELD)
    return None if noted is None else str(noted)

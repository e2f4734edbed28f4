"""shard_statistics: what a set of shards holds, without decoding its images."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from geoloc.data.ledger import LostSample
from geoloc.data.reading import RawSample, ShardReader
from geoloc.data.record import PlaceError, Record, SampleError, parse_record
from geoloc.data.shard_list import ShardList, list_shards
from geoloc.errors import DataError

_QUANTILES = (0.0, 0.05, 0.5, 0.95, 1.0)
_COUNTRY_FIELDS = ("country", "unique_country")


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardStatistics:
    """What a set of shards holds.

    Attributes:
        samples: with image, json and a possible place; images are not decoded, see `verify_shards`.
        lost: everything else that is expected or visible.
        shards: number of shards.
        image_bytes: of all encoded images together.
        bounds_deg: south, west, north, east of all places (longitudes as they are: a set around
            the antimeridian spans all).
        countries: samples by country, most first; without a name they are under "".
        image_size: quantiles of width and height in pixels, by name of the quantile.
        repeated_places: samples at exactly the place of an earlier one.
    """

    samples: int
    lost: int
    shards: int
    image_bytes: int
    bounds_deg: tuple[float, float, float, float] | None
    countries: dict[str, int]
    image_size: dict[str, tuple[int, int]]
    repeated_places: int

    def to_json(self) -> dict[str, Any]:
        """The statistics as a mapping that `json` can write."""
        return {
            "samples": self.samples,
            "lost": self.lost,
            "shards": self.shards,
            "image_bytes": self.image_bytes,
            "bounds_deg": None if self.bounds_deg is None else list(self.bounds_deg),
            "bounds_are": ["south", "west", "north", "east"],
            "countries": self.countries,
            "image_size": {name: list(size) for name, size in self.image_size.items()},
            "repeated_places": self.repeated_places,
        }

    def to_text(self) -> str:
        """The statistics for a reader."""
        named = [f"{name or '(none)'} {count:,}" for name, count in self.countries.items()]
        sizes = [f"{name} {w} x {h}" for name, (w, h) in self.image_size.items()]
        bounds = self.bounds_deg
        extent = "no place" if bounds is None else "{:.4f} {:.4f} {:.4f} {:.4f}".format(*bounds)
        return "\n".join(
            [
                f"samples          {self.samples:,} in {self.shards:,} shards, {self.lost:,} lost",
                f"image bytes      {self.image_bytes:,}",
                f"S W N E (deg)    {extent}",
                f"image size (px)  {', '.join(sizes)}",
                f"repeated places  {self.repeated_places:,}",
                f"countries        {len(named)}: {', '.join(named[:15])}",
            ]
        )


def shard_statistics(
    source: str | os.PathLike[str] | Sequence[str] | ShardList,
) -> ShardStatistics:
    """Read all shards and describe them; of an image only the header is read.

    Raises:
        DataError: there is no shard, or sizes.json cannot be read.
    """
    shards = list_shards(source, strict=False)
    tally = _Tally()
    for url, expected in zip(shards.urls, shards.sizes, strict=True):
        for item in ShardReader(url, expected=expected):
            tally.take(item)
    return tally.result(shard_count=len(shards))


class _Tally:
    def __init__(self) -> None:
        self._places: list[tuple[float, float]] = []
        self._sizes: list[tuple[int, int]] = []
        self._countries: Counter[str] = Counter()
        self._bytes = 0
        self._lost = 0

    def take(self, item: RawSample | LostSample) -> None:
        if isinstance(item, LostSample):
            self._lost += 0 if item.surplus else item.count
            return
        try:
            record, _ = parse_record(
                item.key, image_bytes=item.image_bytes, json_bytes=item.json_bytes
            )
            self._sizes.append(_image_size(item.image_bytes))
        except (PlaceError, SampleError, DataError):
            self._lost += 1
            return
        self._places.append(record.latlon_deg)
        self._countries[_country(record)] += 1
        self._bytes += len(item.image_bytes)

    def result(self, *, shard_count: int) -> ShardStatistics:
        bounds, image_size = None, dict[str, tuple[int, int]]()
        if self._places:
            places = np.array(self._places)
            (south, west), (north, east) = places.min(axis=0), places.max(axis=0)
            bounds = (float(south), float(west), float(north), float(east))
            size = np.quantile(np.array(self._sizes), _QUANTILES, axis=0, method="nearest")
            image_size = {
                f"{q:.0%}": (int(w), int(h)) for q, (w, h) in zip(_QUANTILES, size, strict=True)
            }
        return ShardStatistics(
            samples=len(self._places),
            lost=self._lost,
            shards=shard_count,
            image_bytes=self._bytes,
            bounds_deg=bounds,
            countries=dict(sorted(self._countries.items(), key=lambda item: (-item[1], item[0]))),
            image_size=image_size,
            repeated_places=len(self._places) - len(set(self._places)),
        )


def _country(record: Record) -> str:
    return next((str(record.label[f]) for f in _COUNTRY_FIELDS if record.label.get(f)), "")


def _image_size(image_bytes: bytes) -> tuple[int, int]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(image_bytes)) as image:
                return image.size
    # Pillow's parsers raise nearly any exception for damaged bytes.
    except Exception as error:
        raise DataError(f"no image header: {error}") from None

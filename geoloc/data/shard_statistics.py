"""shard_statistics: what a set of shards holds, without decoding its images."""

from __future__ import annotations

import io
import os
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64
from PIL import Image

from geoloc.data.ledger import LostSample
from geoloc.data.reading import ShardReader
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
    *,
    processes: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> ShardStatistics:
    """Read all shards and describe them; of an image only the header is read.

    Args:
        source: see `list_shards`.
        processes: how many work at it.
        progress: told after each shard how many are done, and of how many.

    Raises:
        DataError: there is no shard, or sizes.json cannot be read.
    """
    shards = list_shards(source, strict=False)
    tasks = list(zip(shards.urls, shards.sizes, strict=True))
    tallies: list[_Tally] = []
    with ExitStack() as stack:
        found: Iterable[_Tally] = map(_tally_shard, tasks)
        if min(processes, len(tasks)) > 1:
            pool = stack.enter_context(ProcessPoolExecutor(min(processes, len(tasks))))
            found = pool.map(_tally_shard, tasks)
        for tally in found:
            tallies.append(tally)
            if progress is not None:
                progress(len(tallies), len(tasks))
    return _statistics(tallies)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Tally:
    """What one shard holds."""

    latlon_deg: Float64[np.ndarray, "sample 2"]
    image_size: Int64[np.ndarray, "sample 2"]
    countries: Counter[str]
    image_bytes: int
    lost: int


def _tally_shard(task: tuple[str, int | None]) -> _Tally:
    url, expected = task
    places, sizes = list[tuple[float, float]](), list[tuple[int, int]]()
    countries, image_bytes, lost = Counter[str](), 0, 0
    for item in ShardReader(url, expected=expected):
        if isinstance(item, LostSample):
            lost += 0 if item.surplus else item.count
            continue
        try:
            record, _ = parse_record(
                item.key, image_bytes=item.image_bytes, json_bytes=item.json_bytes
            )
            sizes.append(_image_size(item.image_bytes))
        except (PlaceError, SampleError, DataError):
            lost += 1
            continue
        places.append(record.latlon_deg)
        countries[_country(record)] += 1
        image_bytes += len(item.image_bytes)
    return _Tally(
        latlon_deg=np.array(places, dtype=np.float64).reshape(-1, 2),
        image_size=np.array(sizes, dtype=np.int64).reshape(-1, 2),
        countries=countries,
        image_bytes=image_bytes,
        lost=lost,
    )


def _statistics(tallies: Sequence[_Tally]) -> ShardStatistics:
    places = np.concatenate([tally.latlon_deg for tally in tallies])
    bounds, image_size = None, dict[str, tuple[int, int]]()
    if len(places):
        (south, west), (north, east) = places.min(axis=0), places.max(axis=0)
        bounds = (float(south), float(west), float(north), float(east))
        sizes = np.concatenate([tally.image_size for tally in tallies])
        size = np.quantile(sizes, _QUANTILES, axis=0, method="nearest")
        image_size = {
            f"{q:.0%}": (int(w), int(h)) for q, (w, h) in zip(_QUANTILES, size, strict=True)
        }
    countries = Counter[str]()
    for tally in tallies:
        countries.update(tally.countries)
    return ShardStatistics(
        samples=len(places),
        lost=sum(tally.lost for tally in tallies),
        shards=len(tallies),
        image_bytes=sum(tally.image_bytes for tally in tallies),
        bounds_deg=bounds,
        countries=dict(sorted(countries.items(), key=lambda item: (-item[1], item[0]))),
        image_size=image_size,
        repeated_places=len(places) - len(np.unique(places, axis=0)),
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

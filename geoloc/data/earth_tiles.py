"""Earth tiles: real satellite pictures with known places, written as ordinary shards.

NASA's Blue Marble is cut into square tiles around random places on land. Splits: ``train``,
``val`` and ``test_easy`` lie anywhere clear of the held-out blocks (easy tests may overlap with
training tiles); ``test_block`` lies in the held-out blocks and shares no source pixel with any
other tile. ``unseen/`` holds a few more easy tiles as plain JPEG files, to ask a model about.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from geoloc._version import __version__
from geoloc.artifacts import sha256_of, write_json
from geoloc.data.admin_labels import admin_labels
from geoloc.data.earth_image import (
    EarthImage,
    blue_marble_path,
    cut_tiles,
    load_earth_image,
    tile_places_deg,
)
from geoloc.data.earth_splits import BlockHoldout, buffer_km, choose_blocks, draw_centres
from geoloc.data.earth_tile_settings import EarthTileSettings, EarthTileSummary
from geoloc.data.record import Record
from geoloc.data.shards import ShardWriter
from geoloc.errors import DataError
from geoloc.places import Areas

__all__ = ["EarthTileSettings", "EarthTileSummary", "earth_tiles_ready", "write_earth_tiles"]

SCHEMA_VERSION = 1
DESCRIPTION_FILE = "earth_tiles.json"

_TILES_AT_ONCE = 64
_LAND_PROBES = 5
_BLUE_MARBLE_CREDIT = (
    "NASA Blue Marble: Next Generation (R. Stockli, E. Vermote, N. Saleous, R. Simmon and"
    " D. Herring, 2005), NASA Earth Observatory, public domain"
)


def write_earth_tiles(
    folder: Path,
    settings: EarthTileSettings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> EarthTileSummary:
    """Cut tiles and write them as shards, photos and ``earth_tiles.json`` (last, when all is done).

    The same settings give the same bytes. Each sample's json has the columns of OSV-5M that make
    sense here, and ``land_share``, the share of the tile that is land.

    Args:
        folder: new or empty.
        settings: what to cut.
        progress: called with the number of tiles done and the number of all tiles.

    Raises:
        DataError: the folder is not empty, the picture is missing or of the wrong shape, or the
            places asked for do not exist.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: not an empty folder; remove it, or name another for the tiles")
    earth = load_earth_image(settings.image, pixel_km=settings.pixel_km)
    holdout, centres = _plan(settings, source_km=earth.source_km)
    total = sum(len(places) for places in centres.values())
    done = 0
    for split, places in centres.items():
        for written in _write_split(folder / split, split, places, earth=earth, settings=settings):
            if progress is not None:
                progress(done + written, total)
        done += len(places)
    summary = EarthTileSummary(
        folder=folder,
        counts={split: len(places) for split, places in centres.items()},
        blocks=len(holdout.block),
        buffer_km=holdout.buffer_km,
        test_share=holdout.test_share,
        kept_share=holdout.kept_share,
    )
    _describe(summary, settings, holdout)
    return summary


def earth_tiles_ready(folder: Path, settings: EarthTileSettings) -> bool:
    """Whether `folder` holds the whole of what these settings would write, so that it can be kept.

    Raises:
        DataError: ``earth_tiles.json`` is there but cannot be read.
    """
    file = folder / DESCRIPTION_FILE
    if not file.is_file():
        return False
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        return found["schema_version"] == SCHEMA_VERSION and found["settings"] == settings.to_json()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{file}: cannot be read ({error}); remove the folder") from error


def _plan(
    settings: EarthTileSettings, *, source_km: float
) -> tuple[BlockHoldout, dict[str, Float[np.ndarray, "n 2"]]]:
    is_land = Areas.load().is_land
    blocks_generator, generator = np.random.default_rng(settings.seed).spawn(2)
    apart_km = buffer_km(tile_km=settings.tile_km, pixel_km=settings.pixel_km, source_km=source_km)
    holdout = choose_blocks(
        is_land,
        block_deg=settings.block_deg,
        block_share=settings.block_share,
        buffer_km=apart_km,
        include_antarctica=settings.include_antarctica,
        generator=blocks_generator,
    )
    in_blocks, outside = draw_centres(
        is_land,
        holdout,
        in_blocks=settings.test_block,
        # Training last, so that its size changes no test.
        outside={
            "unseen": settings.unseen,
            "test_easy": settings.test_easy,
            "val": settings.validation,
            "train": settings.train,
        },
        include_antarctica=settings.include_antarctica,
        generator=generator,
    )
    order = ("train", "val", "test_easy", "test_block", "unseen")
    everything = {**outside, "test_block": in_blocks}
    return holdout, {split: everything[split] for split in order}


def _write_split(
    folder: Path,
    split: str,
    places: Float[np.ndarray, "n 2"],
    *,
    earth: EarthImage,
    settings: EarthTileSettings,
) -> Iterator[int]:
    if len(places) == 0:
        return
    if split == "unseen":
        yield from _write_photos(folder, _records(split, places, earth=earth, settings=settings))
        return
    with ShardWriter(folder, samples_per_shard=settings.samples_per_shard) as writer:
        records = _records(split, places, earth=earth, settings=settings)
        for count, record in enumerate(records, start=1):
            writer.write(record)
            yield count


def _write_photos(folder: Path, records: Iterator[Record]) -> Iterator[int]:
    folder.mkdir(parents=True)
    columns = ["file", "latitude", "longitude", "country", "region", "sub-region", "city"]
    with (folder / "places.csv").open("w", encoding="utf-8", newline="") as file:
        table: csv.DictWriter[str] = csv.DictWriter(file, columns, extrasaction="ignore")
        table.writeheader()
        for count, record in enumerate(records, start=1):
            name = f"{record.key}.jpg"
            (folder / name).write_bytes(record.image_bytes)
            table.writerow({**record.label, "file": name})
            yield count


def _records(
    split: str,
    places: Float[np.ndarray, "n 2"],
    *,
    earth: EarthImage,
    settings: EarthTileSettings,
) -> Iterator[Record]:
    for start in range(0, len(places), _TILES_AT_ONCE):
        centre_deg = places[start : start + _TILES_AT_ONCE]
        tiles = cut_tiles(earth, centre_deg, tile_km=settings.tile_km, pixels=settings.pixels)
        shares = _land_shares(centre_deg, tile_km=settings.tile_km)
        labels = admin_labels(centre_deg)
        for offset, (tile, share, label) in enumerate(zip(tiles, shares, labels, strict=True)):
            key = f"{split}-{start + offset:07d}"
            lat_deg, lon_deg = centre_deg[offset].tolist()
            yield Record(
                key=key,
                image_bytes=_jpeg(tile, quality=settings.jpeg_quality),
                latlon_deg=(lat_deg, lon_deg),
                label={
                    "id": key,
                    "latitude": lat_deg,
                    "longitude": lon_deg,
                    **label,
                    "land_share": round(float(share), 3),
                },
            )


def _land_shares(
    centre_deg: Float[np.ndarray, "n 2"], *, tile_km: float
) -> Float[np.ndarray, " n"]:
    probes = tile_places_deg(centre_deg, tile_km=tile_km, pixels=_LAND_PROBES)
    land = Areas.load().is_land(probes.reshape(-1, 2))
    return land.reshape(len(centre_deg), -1).mean(axis=1)


def _jpeg(tile: np.ndarray, *, quality: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()


def _describe(
    summary: EarthTileSummary, settings: EarthTileSettings, holdout: BlockHoldout
) -> None:
    source = settings.image or blue_marble_path()
    description = {
        "schema_version": SCHEMA_VERSION,
        "settings": settings.to_json(),
        "counts": summary.counts,
        "holdout": {
            "bounds_deg": holdout.grid.bounds_deg(holdout.block).round(6).tolist(),
            "bounds_are": ["south", "west", "north", "east"],
            "buffer_km": round(holdout.buffer_km, 3),
            "test_share_of_land": round(holdout.test_share, 4),
            "kept_share_of_land": round(holdout.kept_share, 4),
        },
        "provenance": {
            "source": source.name,
            "source_sha256": sha256_of(source),
            "credit": _BLUE_MARBLE_CREDIT if settings.image is None else None,
            "names": "nearest city on the sphere, GeoNames cities1000 (CC BY 4.0)",
            "geoloc_version": __version__,
        },
    }
    write_json(summary.folder / DESCRIPTION_FILE, description)

"""A made-up OSV-5M release: the real one's files, columns and traps, with images that can teach."""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from geoloc.data.admin_labels import admin_labels
from geoloc.places import Gazetteer

# Doubles have no room for every integer beyond this: a float would blur the ids below.
FIRST_ID = 2**53 - 5
COLUMNS = (
    *("id", "latitude", "longitude", "thumb_original_url", "country", "sequence", "captured_at"),
    *("lon_bin", "lat_bin", "cell", "region", "sub-region", "city", "land_cover", "road_index"),
    *("drive_side", "climate", "soil", "dist_sea"),
    *(f"quadtree_10_{size}" for size in (500, 1000, 2500, 5000, 12500, 25000, 50000)),
    *("unique_region", "unique_sub-region", "unique_city", "unique_country"),
    *("creator_username", "creator_id"),
)
CREATORS = ('O"Brien, Zoë', "Łukasz; Żółć", "日本の写真家", "plain")


@dataclass(frozen=True, slots=True, kw_only=True)
class FabricatedRelease:
    """What was fabricated.

    Attributes:
        folder: holds train.csv, test.csv and images/.
        good: ids of each split whose image is there and whole, and whose place is sound.
        missing_image, corrupt_image, bad_place, duplicate: ids of the train split with a trap.
        namibia: ids of rows in Namibia, whose country is "NA".
    """

    folder: Path
    good: dict[str, list[str]]
    missing_image: str
    corrupt_image: str
    bad_place: dict[str, str]
    duplicate: str
    namibia: list[str]


def fabricate_release(
    folder: Path,
    *,
    train: int = 120,
    test: int = 40,
    pixels: int = 48,
    packed: bool = True,
    seed: int = 0,
) -> FabricatedRelease:
    """Fabricate a release of `train` and `test` good rows; train.csv has five more with traps.

    Rows lie beside cities all over the world (two a split in Namibia), labelled as OSV-5M labels
    them. An image's colour is a smooth function of its place, with noise. Packed images lie in
    three zips a split, in a subfolder in every second; unpacked ones in two folders.
    """
    generator = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    good: dict[str, list[str]] = {}
    namibia: list[str] = []
    next_id = FIRST_ID
    traps: dict[str, str] = {}
    for split, count in (("train", train), ("test", test)):
        places = _places(count + (5 if split == "train" else 0), generator)
        rows = [_row(next_id + offset, *place) for offset, place in enumerate(_named(places))]
        next_id += len(rows)
        images = {
            row["id"]: _image(place, pixels, generator)
            for row, place in zip(rows, places, strict=True)
        }
        good[split] = [row["id"] for row in rows[:count]]
        namibia += [row["id"] for row in rows[:count] if row["country"] == "NA"]
        if split == "train":
            traps = _set_traps(rows[count:], images)
            rows.append({**rows[0], "creator_username": "again"})
        generator.shuffle(rows)
        _write_table(folder / f"{split}.csv", rows)
        _write_images(folder / "images" / split, images, packed=packed)
    return FabricatedRelease(
        folder=folder,
        good=good,
        missing_image=traps["missing_image"],
        corrupt_image=traps["corrupt_image"],
        bad_place={kind: one for kind, one in traps.items() if "coordinate" in kind},
        duplicate=good["train"][0],
        namibia=namibia,
    )


def _places(count: int, generator: np.random.Generator) -> np.ndarray:
    gazetteer = Gazetteer.load()
    # Every country alike often, as a few hundred rows would else be China and India alone.
    country = generator.choice(np.unique(gazetteer.country.astype(str)), count)
    country[:2] = "NA"
    cities = [generator.choice(np.flatnonzero(gazetteer.country == one)) for one in country]
    noise_deg = generator.normal(0.0, 0.005, (count, 2))
    places = gazetteer.latlon_deg[np.array(cities)] + noise_deg
    return np.round(places, 6)


def _named(places: np.ndarray) -> list[tuple[np.ndarray, dict[str, str | None]]]:
    return list(zip(places, admin_labels(places), strict=True))


def _row(number: int, place: np.ndarray, label: dict[str, str | None]) -> dict[str, str]:
    lat, lon = place.tolist()
    row = dict.fromkeys(COLUMNS, "")
    row.update(
        id=str(number),
        latitude=repr(lat),
        longitude=repr(lon),
        thumb_original_url=f"https://example.org/{number}.jpg?a=1,b=2",
        sequence=f"sequence-{number % 7}",
        captured_at=str(1_600_000_000_000 + number % 1000),
        lat_bin=str(int((lat + 90) // 10)),
        lon_bin=str(int((lon + 180) // 10)),
        land_cover=f"{number % 11}.0",
        climate=str(number % 30),
        drive_side=str(number % 2),
        dist_sea=f"{abs(lat) / 7:.6f}",
        quadtree_10_1000=str(number % 50),
        creator_username=CREATORS[number % len(CREATORS)],
        creator_id=str(10**15 + number % 13),
    )
    row.update({name: value or "" for name, value in label.items()})
    return row


def _image(place: np.ndarray, pixels: int, generator: np.random.Generator) -> bytes:
    lat, lon = np.deg2rad(place)
    vector = np.array([np.sin(lat), np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon)])
    colour = 128.0 + 100.0 * vector
    values = colour + generator.normal(0.0, 12.0, (pixels, pixels, 3))
    buffer = io.BytesIO()
    Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def _set_traps(rows: list[dict[str, str]], images: dict[str, bytes]) -> dict[str, str]:
    missing, corrupt, no_place, beyond, text = rows
    del images[missing["id"]]
    whole = images[corrupt["id"]]
    images[corrupt["id"]] = whole[: len(whole) // 2]
    no_place["latitude"] = ""
    beyond["latitude"] = "91.5"
    text["longitude"] = "east"
    return {
        "missing_image": missing["id"],
        "corrupt_image": corrupt["id"],
        "missing_coordinate": no_place["id"],
        "coordinate_out_of_range": beyond["id"],
        "coordinate_not_a_number": text["id"],
    }


def _write_table(path: Path, rows: list[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        table.writerows(rows)


def _write_images(folder: Path, images: dict[str, bytes], *, packed: bool) -> None:
    folder.mkdir(parents=True)
    parts = 3 if packed else 2
    for part in range(parts):
        chosen = {one: data for one, data in images.items() if int(one) % parts == part}
        if packed:
            with zipfile.ZipFile(folder / f"{part:02d}.zip", "w") as archive:
                for one, data in chosen.items():
                    archive.writestr(f"{part:02d}/{one}.jpg" if part % 2 else f"{one}.jpg", data)
        else:
            (folder / f"{part:02d}").mkdir()
            for one, data in chosen.items():
                (folder / f"{part:02d}" / f"{one}.jpg").write_bytes(data)

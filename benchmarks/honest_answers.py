"""How honest answers are: doubts, several images of one place, trips; on Earth tiles of a run.

    geoloc calibrate runs/demo
    python benchmarks/honest_answers.py runs/demo

Doubts are measured on the run's test splits. Several images: four tiles around each of 300 places
on land, 100 km north, east, south and west of it. Trips: 60 ways of eight tiles, 150 km apart,
three hours from one to the next. Tiles overlap with those that the run was trained on (the easy
kind), except where its blocks were held out.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image

from geoloc import Geolocator
from geoloc.data.earth_image import cut_tiles, load_earth_image
from geoloc.experiment.loading import load_config
from geoloc.geodesy import destination_deg, great_circle_km
from geoloc.inference import Answer
from geoloc.places import Areas

LIKENESSES = (0.0, 0.25, 0.5, 0.75, 1.0)


def split_images(folder: Path) -> tuple[list[bytes], np.ndarray]:
    images: dict[str, bytes] = {}
    places: dict[str, tuple[float, float]] = {}
    for shard in sorted(folder.glob("*.tar")):
        with tarfile.open(shard) as tar:
            for member in tar:
                stream = tar.extractfile(member)
                assert stream is not None
                key, _, kind = member.name.partition(".")
                if kind == "json":
                    told = json.load(stream)
                    places[key] = (told["latitude"], told["longitude"])
                else:
                    images[key] = stream.read()
    keys = sorted(images)
    return [images[key] for key in keys], np.array([places[key] for key in keys])


def summary(away: np.ndarray, limits: tuple[int, ...] = (200, 750, 2500)) -> str:
    near = ", ".join(f"{(away <= km).mean():.1%} within {km}" for km in limits)
    return f"{len(away)} images: median {np.median(away):,.0f} km, mean {away.mean():,.0f}, {near}"


def away_km(answers: list[Answer], true_deg: np.ndarray) -> np.ndarray:
    first = np.array([answer.places[0].latlon_deg for answer in answers])
    return great_circle_km(first, true_deg)


def doubts(geolocator: Geolocator, name: str, folder: Path) -> None:
    images, true_deg = split_images(folder)
    answers = [each for each in geolocator.locate_many(images) if isinstance(each, Answer)]
    away = away_km(answers, true_deg)
    first = np.array([answer.places[0].probability for answer in answers])
    said = {
        doubt: np.array([doubt in answer.doubts for answer in answers])
        for doubt in ("flat_posterior", "unfamiliar", "not_a_photograph")
    }
    told = ", ".join(f"{doubt} {rows.mean():.1%}" for doubt, rows in said.items())
    doubted = np.any([*said.values()], axis=0)
    print(f"{name}: {len(answers)} images; {told}; any doubt {doubted.mean():.1%}")
    for what, rows in {**said, "no doubt": ~doubted}.items():
        if rows.any():
            print(f"  {what:16s} {summary(away[rows], (25, 200, 750, 2500))}")
    km = answers[0].apart_km
    print(f"  first place said {first.mean():.1%}, true within {km:g} km {(away <= km).mean():.1%}")
    for low, high in itertools.pairwise((0.0, 0.2, 0.4, 0.6, 0.8, 1.01)):
        rows = (first >= low) & (first < high)
        if rows.any():
            true = (away[rows] <= km).mean()
            print(f"    said {first[rows].mean():6.1%}: true {true:6.1%} of {rows.sum()}")
    for at, level in enumerate((0.5, 0.9)):
        radius = np.array([answer.radii[at].km for answer in answers])
        held = (away <= radius).mean()
        print(f"  radius of {level:.0%}: holds {held:.1%}, median {np.median(radius):,.0f} km")


def tiles(places_deg: np.ndarray, earth, settings) -> list[Image.Image]:
    cut = cut_tiles(earth, places_deg, tile_km=settings.tile_km, pixels=settings.pixels)
    return [Image.fromarray(tile) for tile in cut]


def inland(count: int, generator: np.random.Generator) -> np.ndarray:
    places_deg = Areas.load().even_land_points(20 * count)
    places_deg = places_deg[np.abs(places_deg[:, 0]) < 60]
    return places_deg[generator.permutation(len(places_deg))[:count]]


def several(geolocator: Geolocator, earth, settings, sites: int) -> None:
    centre_deg = inland(sites, np.random.default_rng(1))
    around = [
        np.array([destination_deg(one, bearing, 100.0) for bearing in (0.0, 90.0, 180.0, 270.0)])
        for one in centre_deg
    ]
    embedded = []
    for places_deg in around:
        prepared = geolocator.stages.prepare_all(tiles(places_deg.reshape(-1, 2), earth, settings))
        embedded.append((prepared, geolocator.stages.embed(prepared)))
    detail = geolocator.stages.detail()
    alone = [geolocator.stages.answer(each, rows, detail)[0] for each, rows in embedded]
    away = away_km(alone, np.array([places[0] for places in around]).reshape(-1, 2))
    print(f"one of four: {summary(away)}")
    for likeness in LIKENESSES:
        told = [
            geolocator.stages.answer_together(each, rows, detail, likeness=likeness)
            for each, rows in embedded
        ]
        away = away_km(told, centre_deg)
        holds = [(away <= [answer.radii[at].km for answer in told]).mean() for at in range(2)]
        radius = np.median([answer.radii[1].km for answer in told])
        print(
            f"four, likeness {likeness:4.2f}: {summary(away)}; 50 % radius holds {holds[0]:.1%}, "
            f"90 % {holds[1]:.1%} (median {radius:,.0f} km)"
        )


def trips(geolocator: Geolocator, earth, settings, ways: int) -> None:
    generator = np.random.default_rng(2)
    alone_km, told_km = [], []
    for start in inland(ways, generator):
        path, bearing = [start], generator.uniform(0, 360)
        for _ in range(7):
            bearing += generator.normal(0, 30)
            path.append(destination_deg(path[-1], bearing, 150.0))
        places_deg = np.array(path).reshape(-1, 2)
        prepared = geolocator.stages.prepare_all(tiles(places_deg, earth, settings))
        rows = geolocator.stages.embed(prepared)
        detail = geolocator.stages.detail()
        alone_km.append(away_km(geolocator.stages.answer(prepared, rows, detail), places_deg))
        hours = list(3.0 * np.arange(8))
        told = geolocator.stages.answer_trip(prepared, rows, hours, detail)
        told_km.append(away_km(told, places_deg))
    print(f"one by one: {summary(np.concatenate(alone_km))}")
    print(f"as a trip:  {summary(np.concatenate(told_km))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--sites", type=int, default=300)
    parser.add_argument("--ways", type=int, default=60)
    asked = parser.parse_args()
    config = load_config(asked.run / "config.yaml")
    geolocator = Geolocator.load(asked.run)
    print(geolocator.basis.protocol, "-", geolocator.basis.decoding)
    for name, folder in config.data.tests.items():
        doubts(geolocator, name, Path(folder))
    settings = config.data.earth_tiles
    earth = load_earth_image(settings.image, pixel_km=settings.tile_km / settings.pixels)
    several(geolocator, earth, settings, asked.sites)
    trips(geolocator, earth, settings, asked.ways)


if __name__ == "__main__":
    main()

"""Sources of places by the words of the command line: names, cells, spacings, files, shards."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float64

from geoloc.data.shard_opener import ShardOpener
from geoloc.errors import ConfigError
from geoloc.experiment.prepare_data import read_places, thin
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.streams import shard_opener
from geoloc.experiment.training_places import (
    TRAINING_PLACES,
    training_places,
    training_places_drawn_from,
)
from geoloc.models.geoclip import gallery_places
from geoloc.places import Areas, Gazetteer
from geoloc.regions import (
    LocalRanges,
    cells_of,
    land_cell_centres,
    mean_places,
    quadtree,
    thinned_to,
)
from geoloc.retrieval import (
    PLACE_FILES,
    Gallery,
    grouped_places_from_file,
    places_from_file,
)

EVEN_LAND = "even-land"
At: TypeAlias = Literal["mean", "centre"]

_MOST_CANDIDATES = 3_000_000
_CANDIDATES_A_PLACE = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceReader:
    """Reads a source of places.

    Attributes:
        run: whose training places are meant; None for none.
        config: of the run.
        at: where the place of a cell is put: at the mean of the places in it, or at its centre.
    """

    run: RunDirectory | None = None
    config: ExperimentConfig | None = None
    at: At = "mean"

    def read(self, source: str) -> tuple[Float64[np.ndarray, "place 2"], int | None]:
        """Places as a run uses them: training places and shards thinned at random to its limit.

        Returns:
            The places, and how many they were drawn from, where they were.
        """
        run, config = self.run, self.config
        if run is None or config is None:
            return self.read_whole(source), None
        if source == TRAINING_PLACES:
            return training_places(run, config), training_places_drawn_from(run)
        if _is_shards(source):
            every = self.read_whole(source)
            places = thin(every, limit=config.evaluation.gallery_places, seed=config.seed)
            return places, len(every) if len(places) < len(every) else None
        return self.read_whole(source), None

    def read_whole(self, source: str) -> Float64[np.ndarray, "place 2"]:
        """All places of a source.

        ``training-places`` of the run; ``even-land:COUNT``; ``geoclip``; ``cities`` (the
        gazetteer); ``h3:LEVEL`` and ``s2:LEVEL`` (cells whose centre is on land);
        ``h3:LEVEL:SOURCE``, ``s2:LEVEL:SOURCE`` and ``quadtree:SPLIT_AT:SOURCE`` (cells that hold
        places of another source); ``column:NAME:FILE`` (the mean place of each value of a table's
        column); ``variogram:RANGES.json:COUNT`` with or without ``:SOURCE`` (spaced by the local
        effective range, over land or among the places of another source); a .csv, .parquet or .npy
        file; the folder of a gallery; shards.

        Raises:
            ConfigError: the source is not written so, or needs a run.
            CoordinateError: a place is out of range.
            DataError: a file or shards cannot be read.
        """
        kind, _, rest = source.partition(":")
        match kind:
            case "training-places" if not rest:
                return self._all_training_places()
            case "even-land":
                return self._even_land(source, rest)
            case "geoclip" if not rest:
                return gallery_places()
            case "cities" if not rest:
                return np.array(Gazetteer.load().latlon_deg)
            case "h3" | "s2" | "quadtree":
                return self._cells(kind, source, rest)
            case "column":
                return _column_means(source, rest)
            case "variogram":
                return self._by_variogram(source, rest)
            case _:
                return self._from_disk(source)

    def _all_training_places(self) -> Float64[np.ndarray, "place 2"]:
        if self.run is None or self.config is None:
            raise ConfigError(f"{TRAINING_PLACES} are those of a run: name it with --run RUN")
        kept = training_places(self.run, self.config)
        if training_places_drawn_from(self.run) is None:
            return kept
        return self._from_disk(self.config.data.train)

    def _even_land(self, source: str, count: str) -> Float64[np.ndarray, "place 2"]:
        if not count and self.config is not None:
            count = str(self.config.evaluation.even_land_places)
        wanted = _whole_number(count, source, written=f"{EVEN_LAND}:COUNT, e.g. {EVEN_LAND}:30000")
        return Areas.load().even_land_points(wanted)

    def _cells(
        self, kind: Literal["h3", "s2", "quadtree"], source: str, rest: str
    ) -> Float64[np.ndarray, "place 2"]:
        written = {
            "h3": "h3:LEVEL or h3:LEVEL:SOURCE, e.g. h3:5:training-places",
            "s2": "s2:LEVEL or s2:LEVEL:SOURCE, e.g. s2:9:training-places",
            "quadtree": "quadtree:SPLIT_AT:SOURCE, e.g. quadtree:1000:train.csv",
        }[kind]
        size, _, inner = rest.partition(":")
        number = _whole_number(size, source, written=written, least=1 if kind == "quadtree" else 0)
        if kind == "quadtree":
            if not inner:
                raise ConfigError(f"--places {source}: write {written}")
            places = self.read_whole(inner)
            tree = quadtree(places, split_at=number)
            return tree.means(places) if self.at == "mean" else tree.centres()
        if not inner:
            return land_cell_centres(kind, number)
        places = self.read_whole(inner)
        cell, centre = cells_of(places, kind, number)
        return mean_places(places, cell) if self.at == "mean" else centre

    def _by_variogram(self, source: str, rest: str) -> Float64[np.ndarray, "place 2"]:
        written = "variogram:RANGES.json:COUNT, of `geoloc gallery ranges`"
        file, _, rest = rest.partition(":")
        count, _, inner = rest.partition(":")
        wanted = _whole_number(count, source, written=written)
        ranges = LocalRanges.load(Path(file))
        candidates = self.read_whole(inner) if inner else _land_candidates(ranges, wanted)
        kept = thinned_to(candidates, wanted, relative_spacing=ranges.at(candidates))
        return candidates[kept]

    def _from_disk(self, source: str) -> Float64[np.ndarray, "place 2"]:
        path = Path(source)
        if path.suffix.lower() in PLACE_FILES:
            return places_from_file(path)
        if (path / "gallery.json").is_file():
            return Gallery.load(path).latlon_deg
        seed, opener = 0, ShardOpener()
        if self.config is not None:
            seed, opener = self.config.seed, shard_opener(self.config.data)
        return read_places(source, limit=sys.maxsize, seed=seed, opener=opener)


def _is_shards(source: str) -> bool:
    kind = source.partition(":")[0]
    known = {"even-land", "geoclip", "cities", "h3", "s2", "quadtree", "column", "variogram"}
    file = Path(source).suffix.lower() in PLACE_FILES
    return kind not in known and not file and not (Path(source) / "gallery.json").is_file()


def _column_means(source: str, rest: str) -> Float64[np.ndarray, "place 2"]:
    name, _, file = rest.partition(":")
    if not name or not file:
        raise ConfigError(
            f"--places {source}: write column:NAME:FILE, e.g. column:quadtree_10_1000:train.csv"
        )
    places, group = grouped_places_from_file(file, name)
    _, number = np.unique(group.astype(str), return_inverse=True)
    return mean_places(places, number.reshape(-1).astype(np.int64))


def _land_candidates(ranges: LocalRanges, count: int) -> Float64[np.ndarray, "place 2"]:
    """Even land, dense enough for the densest part of a gallery of so many places."""
    density = ranges.at(Areas.load().even_land_points(20_000)) ** -2.0
    share = float(density.mean() / density.max())
    candidates = round(_CANDIDATES_A_PLACE * count / share)
    if candidates > _MOST_CANDIDATES:
        raise ConfigError(
            f"{count:,} places spaced so unevenly need {candidates:,} candidates, and "
            f"{_MOST_CANDIDATES:,} are the most: ask for fewer"
        )
    return Areas.load().even_land_points(candidates)


def _whole_number(text: str, source: str, *, written: str, least: int = 1) -> int:
    if not text.isdigit() or int(text) < least:
        raise ConfigError(f"--places {source}: write {written}")
    return int(text)

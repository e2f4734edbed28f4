"""Places gathered from sources: merged, restricted, thinned, written."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from geoloc.errors import ConfigError
from geoloc.experiment.place_sources import At, SourceReader
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.regions import spaced, thinned_to, within
from geoloc.retrieval import PLACE_FILES, distinct_places, save_places

_LONGEST_NAME = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacesRequest:
    """Which places.

    Attributes:
        sources: whose places are merged (`SourceReader.read`).
        within: regions that places must lie in, any of them (`geoloc.regions.within`); none for
            the whole world.
        thin_km: least distance between places; None leaves them as they are.
        thin_to: how many to keep, evenly spaced; None for all.
        at: where the place of a cell with places in it is put.
    """

    sources: tuple[str, ...]
    within: tuple[str, ...] = ()
    thin_km: float | None = None
    thin_to: int | None = None
    at: At = "mean"

    @property
    def plain(self) -> bool:
        """Whether it is one source, as it is."""
        untouched = self.thin_km is None and self.thin_to is None and not self.within
        return len(self.sources) == 1 and untouched

    def name(self) -> str:
        """What a gallery of these places is called, in the letters that such a name may have."""
        sources = "+".join(self.sources)
        words = [Path(sources).stem if len(self.sources) == 1 and ":" not in sources else sources]
        words += self.within
        words += [] if self.thin_km is None else [f"{self.thin_km:g}km"]
        words += [] if self.thin_to is None else [str(self.thin_to)]
        return re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(words)).strip("-")[:_LONGEST_NAME]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GatheredPlaces:
    """Places, and how they came about.

    Attributes:
        latlon_deg: the places; a plain request's with their duplicates, others without.
        drawn_from: how many there were before they were drawn at random; None where they were not.
        steps: what was done, in words.
    """

    latlon_deg: Float64[np.ndarray, "place 2"]
    drawn_from: int | None = None
    steps: tuple[str, ...] = ()


def gather_places(
    request: PlacesRequest,
    *,
    run: RunDirectory | None = None,
    config: ExperimentConfig | None = None,
) -> GatheredPlaces:
    """Read the sources, merge them, restrict them, thin them: in this order.

    Args:
        request: which places.
        run: whose training places are meant; None for none.
        config: of the run, for its shards' settings and its defaults.

    Raises:
        ConfigError: a source or a region is unknown, or nothing is left.
        CoordinateError: a place is out of range.
        DataError: a file or shards cannot be read.
    """
    if not request.sources:
        raise ConfigError("name the places: --places SOURCE")
    reader = SourceReader(run=run, config=config, at=request.at)
    if request.plain:
        places, drawn_from = reader.read(request.sources[0])
        told = f"{request.sources[0]}: {len(places):,} places"
        return GatheredPlaces(latlon_deg=places, drawn_from=drawn_from, steps=(told,))
    parts = [reader.read_whole(source) for source in request.sources]
    steps = [f"{s}: {len(p):,} places" for s, p in zip(request.sources, parts, strict=True)]
    places = np.concatenate(parts)
    first, _ = distinct_places(places)
    if len(first) < len(places):
        steps.append(f"{len(places) - len(first):,} exact duplicates dropped: {len(first):,} left")
    places = places[first]
    if request.within:
        places = places[within(places, request.within)]
        steps.append(f"within {', '.join(request.within)}: {len(places):,} left")
        if not len(places):
            raise ConfigError(f"no place lies within {', '.join(request.within)}")
    if request.thin_km is not None:
        places = places[spaced(places, request.thin_km)]
        steps.append(f"none nearer than {request.thin_km:g} km: {len(places):,} left")
    if request.thin_to is not None and request.thin_to < len(places):
        places = places[thinned_to(places, request.thin_to)]
        steps.append(f"spaced out to {len(places):,}")
    return GatheredPlaces(latlon_deg=places, steps=tuple(steps))


def write_places(request: PlacesRequest, out: Path, *, run_folder: Path | None) -> list[str]:
    """Gather places and write the distinct ones to a file.

    Returns:
        What was done, in words.

    Raises:
        ConfigError: the file's ending or a source is unknown, or nothing is left.
        CoordinateError: a place is out of range.
        DataError: a file or shards cannot be read.
    """
    if out.suffix.lower() not in PLACE_FILES:
        raise ConfigError(f"--out {out}: places are written as {', '.join(PLACE_FILES)}")
    run = None if run_folder is None else RunDirectory(path=run_folder)
    config = None if run is None else run.config()
    found = gather_places(request, run=run, config=config)
    places, steps = found.latlon_deg, list(found.steps)
    first, _ = distinct_places(places)
    if len(first) < len(places):
        steps.append(f"{len(places) - len(first):,} exact duplicates dropped")
    save_places(places[first], out)
    return [*steps, f"{len(first):,} places in {out}"]

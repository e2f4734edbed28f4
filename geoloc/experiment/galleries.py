"""The galleries of a run: training places, even spacing over land, or places of the user's."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.artifacts import read_json, write_atomically, write_json
from geoloc.errors import ConfigError, DataError
from geoloc.experiment.build import Say
from geoloc.experiment.prepare_data import read_places, thin
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.streams import shard_opener
from geoloc.experiment.trained_run import open_trained_run
from geoloc.models import DualEncoder
from geoloc.models.geoclip import gallery_places
from geoloc.places import Areas
from geoloc.retrieval import Gallery, is_gallery_name, places_from_csv

TRAINING_PLACES = "training-places"
EVEN_LAND = "even-land"
_PLACES_FILE = "training_places.npy"
_COUNT_FILE = "training_places.json"


def place_encoder(model: DualEncoder, device: str) -> Callable[[Tensor], Tensor]:
    """From places to unit vectors on the CPU, by the model on its device, without gradients."""

    @torch.no_grad()
    def encode(latlon_deg: Tensor) -> Tensor:
        return model.embed_places(latlon_deg.to(device)).float().cpu()

    return encode


def keep_training_places(
    run: RunDirectory, latlon_deg: Float64[np.ndarray, "place 2"], *, total: int | None = None
) -> None:
    """Write the training places into the run, so that galleries need the shards no more.

    Args:
        run: the run.
        latlon_deg: its training places, thinned or not.
        total: how many there were before they were thinned; None where that is not known.
    """
    write_atomically(
        run.path / _PLACES_FILE, lambda path: np.save(path, latlon_deg, allow_pickle=False)
    )
    if total is None:
        (run.path / _COUNT_FILE).unlink(missing_ok=True)
    else:
        write_json(run.path / _COUNT_FILE, {"kept": len(latlon_deg), "total": total})


def training_places(run: RunDirectory, config: ExperimentConfig) -> Float64[np.ndarray, "place 2"]:
    """The training places (at most `evaluation.gallery_places`), kept in the run's folder."""
    file = run.path / _PLACES_FILE
    if not file.is_file():
        places, drawn_from = _places_of_shards(config.data.train, config)
        keep_training_places(run, places, total=drawn_from or len(places))
    return np.load(file, allow_pickle=False)


def training_places_drawn_from(run: RunDirectory) -> int | None:
    """How many training places there are, where the run keeps fewer; None where it keeps all.

    None too for a run that did not note it.

    Raises:
        DataError: the run's note is damaged.
    """
    file = run.path / _COUNT_FILE
    if not file.is_file():
        return None
    told = read_json(file, what="count of training places")
    kept, total = told.get("kept"), told.get("total")
    if not isinstance(kept, int) or not isinstance(total, int):
        raise DataError(f"{file} is damaged: it must hold two numbers, kept and total; delete it")
    return total if total > kept else None


def gallery_label(name: str) -> str:
    """What a gallery asked for by name or folder is called: its folder's name.

    Raises:
        ConfigError: the folder's name could not be a gallery's.
    """
    label = Path(name).resolve().name
    if not is_gallery_name(label):
        raise ConfigError(
            f"gallery {name!r}: the folder's name may have letters, digits, '.', '_' and '-' only, "
            "and no dot at its beginning"
        )
    return label


def gallery_named(
    name: str, run: RunDirectory, config: ExperimentConfig, model: DualEncoder, *, device: str
) -> Gallery:
    """A gallery of the run, kept in RUN/galleries/NAME, rebuilt when model or places changed.

    Args:
        name: ``training-places``, ``even-land``, a gallery of the run, or another gallery's folder.
        run: the run.
        config: its configuration.
        model: its model.
        device: where the model is.

    Raises:
        ConfigError: there is no such gallery, or its folder's name could not be a gallery's.
        MismatchError: the gallery was encoded by another model.
    """
    label = gallery_label(name)
    if name not in {TRAINING_PLACES, EVEN_LAND}:
        own = label == name and (run.galleries / name).is_dir()
        folder = run.galleries / name if own else Path(name)
        if not folder.is_dir():
            raise ConfigError(
                f"no gallery {name!r}: name {TRAINING_PLACES}, {EVEN_LAND}, or a folder; "
                f"`geoloc gallery build --run {run.path}` makes one"
            )
        # A card may say what it likes: files and rows are named by the folder asked for.
        return replace(Gallery.load(folder, model_fingerprint=model.fingerprint()), name=label)
    places, drawn_from = _places_of(name, run, config)
    return Gallery.load_or_build(
        run.galleries / name,
        places,
        place_encoder(model, device),
        model_fingerprint=model.fingerprint(),
        name=name,
        drawn_from=drawn_from,
    )


def build_gallery(
    run_folder: Path,
    source: str,
    *,
    name: str | None,
    say: Say,
    device: str = "auto",
    backbone_weights: Path | None = None,
) -> tuple[Path, Gallery]:
    """Encode places of any source with a run's model and keep them in RUN/galleries/NAME.

    The names ``training-places`` and ``even-land`` are those of the galleries that every run has,
    and are not given to other places.

    Args:
        run_folder: a finished run.
        source: ``training-places``, ``even-land:COUNT``, ``geoclip``, a CSV, or shards.
        name: of the gallery; None takes it from the source.
        say: told what is done.
        device: ``auto``, ``cpu`` or ``cuda``.
        backbone_weights: see `open_trained_run`.

    Raises:
        CheckpointError: the run has not finished, or its model cannot be read.
        ConfigError: the source, the name or the device cannot be used.
    """
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).stem or source)
    if not is_gallery_name(name):
        raise ConfigError(
            f"--name {name}: letters, digits, '.', '_' and '-' only, and no dot at its beginning"
        )
    trained = open_trained_run(run_folder, device=device, backbone_weights=backbone_weights)
    _refuse_reserved(name, source, trained.config)
    places, drawn_from = _places_of(source, trained.run, trained.config)
    thinned = f", drawn at random from {drawn_from:,}" if drawn_from else ""
    say(f"encoding {len(places):,} places{thinned}")
    folder = trained.run.galleries / name
    gallery = Gallery.load_or_build(
        folder,
        places,
        place_encoder(trained.model, trained.device),
        model_fingerprint=trained.model.fingerprint(),
        name=name,
        drawn_from=drawn_from,
    )
    return folder, gallery


def _refuse_reserved(name: str, source: str, config: ExperimentConfig) -> None:
    """Keep queries' and evaluations' own galleries what they are called."""
    reserved = {
        TRAINING_PLACES: {TRAINING_PLACES},
        EVEN_LAND: {EVEN_LAND, f"{EVEN_LAND}:{config.evaluation.even_land_places}"},
    }
    # Some file systems do not tell capitals from small letters.
    if source not in reserved.get(name.lower(), {source}):
        raise ConfigError(
            f"{name} is the name of a gallery that every run has, not one of {source}: "
            "give another --name"
        )


def _places_of(
    source: str, run: RunDirectory, config: ExperimentConfig
) -> tuple[Float64[np.ndarray, "place 2"], int | None]:
    """Places, and how many they were chosen from where that was at random."""
    kind, _, count = source.partition(":")
    if source == TRAINING_PLACES:
        return training_places(run, config), training_places_drawn_from(run)
    if kind == EVEN_LAND:
        wanted = count or str(config.evaluation.even_land_places)
        if not wanted.isdigit() or int(wanted) < 1:
            raise ConfigError(f"--places {source}: write {EVEN_LAND}:COUNT, e.g. {EVEN_LAND}:30000")
        return Areas.load().even_land_points(int(wanted)), None
    if source == "geoclip":
        return gallery_places(), None
    if source.endswith(".csv"):
        return places_from_csv(source), None
    return _places_of_shards(source, config)


def _places_of_shards(
    source: str, config: ExperimentConfig
) -> tuple[Float64[np.ndarray, "place 2"], int | None]:
    opener = shard_opener(config.data)
    every = read_places(source, limit=sys.maxsize, seed=config.seed, opener=opener)
    places = thin(every, limit=config.evaluation.gallery_places, seed=config.seed)
    return places, len(every) if len(places) < len(every) else None

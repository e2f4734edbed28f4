"""The galleries of a run: training places, even spacing over land, or places of the user's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from geoloc.artifacts import write_atomically
from geoloc.errors import ConfigError
from geoloc.experiment.build import Say
from geoloc.experiment.prepare_data import read_places
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.models import DualEncoder, load_model
from geoloc.models.geoclip import gallery_places
from geoloc.places import Areas
from geoloc.retrieval import Gallery, places_from_csv

TRAINING_PLACES = "training-places"
EVEN_LAND = "even-land"
_PLACES_FILE = "training_places.npy"


def place_encoder(model: DualEncoder, device: str) -> Callable[[Tensor], Tensor]:
    """From places to unit vectors on the CPU, by the model on its device, without gradients."""

    @torch.no_grad()
    def encode(latlon_deg: Tensor) -> Tensor:
        return model.embed_places(latlon_deg.to(device)).float().cpu()

    return encode


def keep_training_places(run: RunDirectory, latlon_deg: Float64[np.ndarray, "place 2"]) -> None:
    """Write the training places into the run, so that galleries need the shards no more."""
    write_atomically(
        run.path / _PLACES_FILE, lambda path: np.save(path, latlon_deg, allow_pickle=False)
    )


def training_places(run: RunDirectory, config: ExperimentConfig) -> Float64[np.ndarray, "place 2"]:
    """The training places (at most `evaluation.gallery_places`), kept in the run's folder."""
    file = run.path / _PLACES_FILE
    if not file.is_file():
        limit = config.evaluation.gallery_places
        keep_training_places(run, read_places(config.data.train, limit=limit, seed=config.seed))
    return np.load(file, allow_pickle=False)


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
        ConfigError: there is no such gallery.
        MismatchError: the gallery was encoded by another model.
    """
    if name not in {TRAINING_PLACES, EVEN_LAND}:
        folder = run.galleries / name if (run.galleries / name).is_dir() else Path(name)
        if not folder.is_dir():
            raise ConfigError(
                f"no gallery {name!r}: name {TRAINING_PLACES}, {EVEN_LAND}, or a folder; "
                f"`geoloc gallery build --run {run.path}` makes one"
            )
        return Gallery.load(folder, model_fingerprint=model.fingerprint())
    if name == TRAINING_PLACES:
        places = training_places(run, config)
    else:
        places = Areas.load().even_land_points(config.evaluation.even_land_places)
    return Gallery.load_or_build(
        run.galleries / name,
        places,
        place_encoder(model, device),
        model_fingerprint=model.fingerprint(),
        name=name,
    )


def build_gallery(
    run_folder: Path, source: str, *, name: str | None, say: Say
) -> tuple[Path, Gallery]:
    """Encode places of any source with a run's model and keep them in RUN/galleries/NAME.

    Args:
        run_folder: a run.
        source: ``training-places``, ``even-land:COUNT``, ``geoclip``, a CSV, or shards.
        name: of the gallery; None takes it from the source.
        say: told what is done.

    Raises:
        ConfigError: the source or the name cannot be used.
    """
    run = RunDirectory(path=run_folder)
    config = run.config()
    model = load_model(run.model)
    name = name or re.sub(r"[^A-Za-z0-9._-]+", "-", Path(source).stem or source)
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name) or name.startswith("."):
        raise ConfigError(f"--name {name}: letters, digits, '.', '_' and '-' only")
    places = _places_of(source, run, config)
    say(f"encoding {len(places):,} places")
    folder = run.galleries / name
    gallery = Gallery.load_or_build(
        folder,
        places,
        place_encoder(model, "cpu"),
        model_fingerprint=model.fingerprint(),
        name=name,
    )
    return folder, gallery


def _places_of(
    source: str, run: RunDirectory, config: ExperimentConfig
) -> Float64[np.ndarray, "place 2"]:
    kind, _, count = source.partition(":")
    if source == TRAINING_PLACES:
        return training_places(run, config)
    if kind == EVEN_LAND:
        wanted = count or str(config.evaluation.even_land_places)
        if not wanted.isdigit() or int(wanted) < 1:
            raise ConfigError(f"--places {source}: write {EVEN_LAND}:COUNT, e.g. {EVEN_LAND}:30000")
        return Areas.load().even_land_points(int(wanted))
    if source == "geoclip":
        return gallery_places()
    if source.endswith(".csv"):
        return places_from_csv(source)
    return read_places(source, limit=config.evaluation.gallery_places, seed=config.seed)

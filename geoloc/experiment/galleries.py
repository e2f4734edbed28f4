"""The galleries of a run: training places, even spacing over land, or any other places."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from geoloc.errors import ConfigError
from geoloc.experiment.build import Say
from geoloc.experiment.gathered_places import PlacesRequest, gather_places
from geoloc.experiment.place_sources import EVEN_LAND, SourceReader
from geoloc.experiment.run_directory import RunDirectory
from geoloc.experiment.schema import ExperimentConfig
from geoloc.experiment.trained_run import open_trained_run
from geoloc.experiment.training_places import TRAINING_PLACES
from geoloc.models import DualEncoder
from geoloc.retrieval import Gallery, is_gallery_name


def place_encoder(model: DualEncoder, device: str) -> Callable[[Tensor], Tensor]:
    """From places to unit vectors on the CPU, by the model on its device, without gradients."""

    @torch.no_grad()
    def encode(latlon_deg: Tensor) -> Tensor:
        return model.embed_places(latlon_deg.to(device)).float().cpu()

    return encode


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
    places, drawn_from = SourceReader(run=run, config=config).read(name)
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
    request: PlacesRequest,
    *,
    name: str | None,
    say: Say,
    device: str = "auto",
    backbone_weights: Path | None = None,
) -> tuple[Path, Gallery]:
    """Encode places of any sources with a run's model and keep them in RUN/galleries/NAME.

    The names ``training-places`` and ``even-land`` are those of the galleries that every run has,
    and are not given to other places.

    Args:
        run_folder: a finished run.
        request: which places.
        name: of the gallery; None takes it from the request.
        say: told what is done.
        device: ``auto``, ``cpu`` or ``cuda``.
        backbone_weights: see `open_trained_run`.

    Raises:
        CheckpointError: the run has not finished, or its model cannot be read.
        ConfigError: a source, the name or the device cannot be used.
    """
    name = name or request.name()
    if not is_gallery_name(name):
        raise ConfigError(
            f"--name {name}: letters, digits, '.', '_' and '-' only, and no dot at its beginning"
        )
    trained = open_trained_run(run_folder, device=device, backbone_weights=backbone_weights)
    _refuse_reserved(name, request, trained.config)
    found = gather_places(request, run=trained.run, config=trained.config)
    for step in found.steps if not request.plain else ():
        say(step)
    thinned = f", drawn at random from {found.drawn_from:,}" if found.drawn_from else ""
    say(f"encoding {len(found.latlon_deg):,} places{thinned}")
    folder = trained.run.galleries / name
    gallery = Gallery.load_or_build(
        folder,
        found.latlon_deg,
        place_encoder(trained.model, trained.device),
        model_fingerprint=trained.model.fingerprint(),
        name=name,
        drawn_from=found.drawn_from,
    )
    return folder, gallery


def _refuse_reserved(name: str, request: PlacesRequest, config: ExperimentConfig) -> None:
    """Keep queries' and evaluations' own galleries what they are called."""
    reserved = {
        TRAINING_PLACES: {TRAINING_PLACES},
        EVEN_LAND: {EVEN_LAND, f"{EVEN_LAND}:{config.evaluation.even_land_places}"},
    }
    source = request.sources[0] if request.plain else " with ".join(request.sources)
    # Some file systems do not tell capitals from small letters.
    if source not in reserved.get(name.lower(), {source}) or (
        name.lower() in reserved and not request.plain
    ):
        raise ConfigError(
            f"{name} is the name of a gallery that every run has, not one of {source}: "
            "give another --name"
        )

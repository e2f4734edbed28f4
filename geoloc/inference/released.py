"""GeoCLIP as released: its model on a CLIP tower, and its gallery encoded once."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor

from geoloc.models import DualEncoder
from geoloc.models.geoclip import gallery_places, load_geoclip
from geoloc.models.open_clip_encoder import DEFAULT_NAME, DEFAULT_WEIGHTS, OpenClipEncoder
from geoloc.retrieval import Gallery, places_fingerprint

GALLERY_NAME = "geoclip-100k"


def geoclip_model(
    clip_weights: str | Path | None = None, weights_folder: Path | str | None = None
) -> DualEncoder:
    """GeoCLIP's released heads and location encoder on CLIP ViT-L/14.

    Args:
        clip_weights: a local weights file, or open_clip's tag of a pretrained set; by default
            ``"openai"``, fetched from a hub.
        weights_folder: GeoCLIP's weights; by default those of the installed package.
    """
    weights = DEFAULT_WEIGHTS if clip_weights is None else str(clip_weights)
    if isinstance(clip_weights, Path) or Path(weights).is_file():
        # An absolute path cannot be taken for a tag.
        weights = str(Path(weights).resolve())
    return load_geoclip(OpenClipEncoder(DEFAULT_NAME, weights), weights_folder)


def geoclip_gallery(
    model: DualEncoder,
    gallery_file: Path | str | None = None,
    cache_folder: Path | str | None = None,
) -> Gallery:
    """GeoCLIP's 100,000 places encoded by `model`, from the cache where they stand there.

    Args:
        model: encodes the places.
        gallery_file: CSV of places; by default that of the installed package `geoclip`.
        cache_folder: where encoded galleries are kept; by default `default_cache`.
    """
    device = next(model.parameters()).device

    @torch.inference_mode()
    def encode(latlon_deg: Tensor) -> Tensor:
        return model.embed_places(latlon_deg.to(device)).float().cpu()

    places = gallery_places(gallery_file)
    fingerprint = model.fingerprint()
    cache = default_cache() if cache_folder is None else Path(cache_folder)
    # One folder a model and set of places: two models in turn do not throw each other out.
    folder = cache / f"{GALLERY_NAME}-{fingerprint[:16]}-{places_fingerprint(places)[:16]}"
    return Gallery.load_or_build(
        folder,
        places,
        encode,
        model_fingerprint=fingerprint,
        name=GALLERY_NAME,
    )


def default_cache() -> Path:
    """``geoloc/galleries`` under ``$XDG_CACHE_HOME``, or under ``~/.cache`` where that is unset."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "geoloc" / "galleries"

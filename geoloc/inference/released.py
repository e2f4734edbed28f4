"""GeoCLIP as released: its model on a CLIP tower, and places encoded once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64
from torch import Tensor

from geoloc.models import DualEncoder, LocationEncoder
from geoloc.models.fingerprint import fingerprint_tensors
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
    kept = encoded_places(
        model.location_encoder,
        gallery_places(gallery_file),
        cache=default_cache() if cache_folder is None else Path(cache_folder),
    )
    return replace(kept, model_fingerprint=model.fingerprint())


def encoded_places(
    encoder: LocationEncoder,
    latlon_deg: Float64[np.ndarray, "place 2"],
    *,
    cache: Path | None,
) -> Gallery:
    """Distinct places with their unit vectors under a location encoder, and its fingerprint.

    Images play no part in them: models that differ in their image towers share one entry.

    Args:
        encoder: of the places.
        latlon_deg: the places; repetitions are dropped.
        cache: folder with an entry for each encoder and list of places; None keeps nothing.
    """
    device = next(encoder.parameters()).device

    @torch.inference_mode()
    def encode(block_deg: Tensor) -> Tensor:
        return F.normalize(encoder(block_deg.to(device)).float(), dim=-1).cpu()

    fingerprint = fingerprint_tensors(encoder.state_dict(), label="location encoder")
    if cache is None:
        return Gallery.build(latlon_deg, encode, model_fingerprint=fingerprint, name=GALLERY_NAME)
    # One folder an encoder and list of places: two in turn do not throw each other out.
    folder = cache / f"{GALLERY_NAME}-{fingerprint[:16]}-{places_fingerprint(latlon_deg)[:16]}"
    return Gallery.load_or_build(
        folder, latlon_deg, encode, model_fingerprint=fingerprint, name=GALLERY_NAME
    )


def default_cache() -> Path:
    """``geoloc/galleries`` under ``$XDG_CACHE_HOME``, or under ``~/.cache`` where that is unset."""
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "geoloc" / "galleries"

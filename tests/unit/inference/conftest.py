"""A tiny geolocator with real parts: convolutional encoder, location encoder, gallery."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from geoloc.inference import Geolocator
from geoloc.models import DualEncoder, ModelSpec, build_model, save_model
from geoloc.models.image_encoder import ImageEncoderSpec
from geoloc.models.model_spec import LocationEncoderSpec
from geoloc.retrieval import Gallery

PLACES = np.array(
    [
        [48.8566, 2.3522],  # Paris
        [-33.9249, 18.4241],  # Cape Town
        [35.6762, 139.6503],  # Tokyo
        [-22.5609, 17.0658],  # Windhoek, Namibia: country code NA
        [0.0, -30.0],  # middle of the Atlantic
        [40.4168, -3.7038],  # Madrid
        [-17.7134, 178.065],  # Fiji
    ]
)


def _tiny_spec(seed: int = 0) -> ModelSpec:
    return ModelSpec(
        image_encoder=ImageEncoderSpec(
            kind="conv", name="tiny", weights=None, width=8, image_size=32
        ),
        location_encoder=LocationEncoderSpec(sigmas=(1.0, 4.0), hidden=16, features=8),
        embedding_dim=16,
        head_hidden=16,
        seed=seed,
    )


def _gallery_of(model: DualEncoder, places: np.ndarray = PLACES, name: str = "seven") -> Gallery:
    return Gallery.build(
        places, model.embed_places, model_fingerprint=model.fingerprint(), name=name
    )


def _photo(seed: int = 0, size: tuple[int, int] = (48, 40)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture
def tiny_spec() -> Callable[..., ModelSpec]:
    return _tiny_spec


@pytest.fixture
def gallery_of() -> Callable[..., Gallery]:
    return _gallery_of


@pytest.fixture
def photo() -> Callable[..., Image.Image]:
    return _photo


@pytest.fixture
def places_deg() -> np.ndarray:
    return PLACES


@pytest.fixture
def model() -> DualEncoder:
    torch.manual_seed(0)
    return build_model(_tiny_spec()).eval()


@pytest.fixture
def geolocator(model: DualEncoder) -> Geolocator:
    return Geolocator(model, _gallery_of(model))


@pytest.fixture
def run(tmp_path: Path, model: DualEncoder) -> Path:
    """A finished run with one gallery."""
    folder = tmp_path / "runs" / "tiny"
    save_model(folder / "model", model, _tiny_spec())
    _gallery_of(model).save(folder / "galleries" / "seven")
    about = {"schema_version": 1, "started": "2026-01-02T03:04:05+00:00", "finished": True}
    (folder / "run.json").write_text(json.dumps(about))
    return folder

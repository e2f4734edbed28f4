"""Answers and test sets to draw, without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnPlace:
    latlon_deg: tuple[float, float]
    probability: float
    score: float = 0.5
    name: str = "Somewhere, Some Region, Some Country"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrawnAnswer:
    source: str
    places: tuple[DrawnPlace, ...]


def _answer(*latlon_deg: tuple[float, float], source: str = "photo.jpg") -> DrawnAnswer:
    places = [
        DrawnPlace(latlon_deg=place, probability=0.4 / rank)
        for rank, place in enumerate(latlon_deg, 1)
    ]
    return DrawnAnswer(source=source, places=tuple(places))


@pytest.fixture
def answer_of() -> Callable[..., DrawnAnswer]:
    return _answer


@pytest.fixture
def predictions() -> pd.DataFrame:
    generator = np.random.default_rng(0)
    true_deg = generator.uniform((-80, -180), (80, 180), (60, 2))
    pred_deg = true_deg + generator.normal(0, 2, (60, 2))
    pred_deg[:, 1] = (pred_deg[:, 1] + 180) % 360 - 180
    return pd.DataFrame(
        {
            "true_lat_deg": true_deg[:, 0],
            "true_lon_deg": true_deg[:, 1],
            "pred_lat_deg": pred_deg[:, 0],
            "pred_lon_deg": pred_deg[:, 1],
        }
    )


@pytest.fixture
def read_png() -> Callable[[Path], np.ndarray]:
    """RGB pixels of a PNG, checked to be one."""

    def read(path: Path) -> np.ndarray:
        with Image.open(path) as image:
            assert image.format == "PNG"
            return np.asarray(image.convert("RGB"))

    return read

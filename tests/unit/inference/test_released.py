from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

from geoloc.inference import Geolocator, released
from geoloc.models.conv_encoder import ConvEncoder
from geoloc.retrieval import Gallery

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("geoclip") is None, reason="the package geoclip is not installed"
)


@pytest.fixture
def small_tower(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A small tower with CLIP's feature length stands in for ViT-L/14; records what was asked."""
    asked: list[tuple[str, str]] = []

    def build(name: str, weights: str) -> ConvEncoder:
        asked.append((name, weights))
        torch.manual_seed(0)
        return ConvEncoder(96, 32)

    monkeypatch.setattr(released, "OpenClipEncoder", build)
    return asked


@pytest.fixture
def gallery_file(tmp_path: Path) -> Path:
    file = tmp_path / "places.csv"
    file.write_text("LAT,LON\n48.86,2.35\n-33.92,18.42\n48.86,2.35\n35.68,139.65\n")
    return file


def test_released_weights_answer_and_the_gallery_is_encoded_once(
    small_tower: list[tuple[str, str]],
    gallery_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = tmp_path / "cache"
    image = np.zeros((40, 40, 3), dtype=np.uint8)
    first = Geolocator.from_geoclip(gallery_file=gallery_file, cache_folder=cache)
    assert small_tower == [("ViT-L-14-quickgelu", "openai")]
    assert len(first.gallery) == 3
    assert first.gallery.duplicates_dropped == 1
    assert first.model.scale().item() == pytest.approx(39.69, abs=0.01)

    def never(*_args: object, **_options: object) -> Gallery:
        raise AssertionError("the gallery was encoded again")

    monkeypatch.setattr(Gallery, "build", never)
    second = Geolocator.from_geoclip(gallery_file=gallery_file, cache_folder=cache)
    assert second.locate(image, top_k=3) == first.locate(image, top_k=3)


def test_another_set_of_places_has_its_own_cache_entry(
    small_tower: list[tuple[str, str]], gallery_file: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other.csv"
    other.write_text("LAT,LON\n0.0,0.0\n")
    for file, count in ((gallery_file, 3), (other, 1), (gallery_file, 3)):
        located = Geolocator.from_geoclip(gallery_file=file, cache_folder=tmp_path / "cache")
        assert len(located.gallery) == count
    assert len(list((tmp_path / "cache").iterdir())) == 2
    assert len(small_tower) == 3


def test_a_local_file_is_never_taken_for_a_tag(
    small_tower: list[tuple[str, str]],
    gallery_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("openai").write_bytes(b"")
    Geolocator.from_geoclip(Path("openai"), gallery_file=gallery_file, cache_folder=tmp_path / "c")
    assert small_tower == [("ViT-L-14-quickgelu", str(tmp_path / "openai"))]


def test_default_cache_follows_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert released.default_cache() == tmp_path / "geoloc" / "galleries"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/somewhere")
    assert released.default_cache() == Path("/somewhere/.cache/geoloc/galleries")

"""Our location encoder with released weights against the geoclip package's own code."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import types
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from geoloc.models.geoclip import (
    IMAGE_HEAD_FILE,
    LOCATION_FILE,
    LOGIT_SCALE_FILE,
    export_location_encoder,
    gallery_places,
    load_image_head,
    load_location_encoder,
    released_folder,
)
from geoloc.models.weight_files import read_scalar, read_tensors

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("geoclip") is None, reason="needs geoclip (pip install --no-deps)"
)


@pytest.fixture(scope="module")
def released_encoder():
    # The package's __init__ imports transformers, which parity does not need: stand-in parents.
    folder = released_folder()
    for name, path in (("geoclip_stub", folder.parent), ("geoclip_stub.model", folder)):
        parent = types.ModuleType(name)
        parent.__path__ = [str(path)]
        sys.modules[name] = parent
    with warnings.catch_warnings():
        # It compiles its Fourier features with torch.jit, which newer torch calls deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        module = importlib.import_module("geoclip_stub.model.location_encoder")
    yield module.LocationEncoder(from_pretrained=True).eval()
    for name in [name for name in sys.modules if name.startswith("geoclip_stub")]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def places():
    generator = torch.Generator().manual_seed(0)
    lat = torch.rad2deg(torch.asin(2 * torch.rand(9_990, generator=generator) - 1))
    lon = 360 * torch.rand(9_990, generator=generator) - 180
    lats = [90.0, 90, -90, -90, 0, 0, 0, 45, 45, -89.9999]
    lons = [0.0, 180, 0, -180, 180, -180, 0, 179.999, -179.999, 12]
    corners = torch.tensor([lats, lons]).T
    return torch.cat((corners, torch.stack((lat, lon), dim=1)))


@pytest.fixture(scope="module")
def our_encoder():
    return load_location_encoder(released_folder() / "weights" / LOCATION_FILE)


@torch.no_grad()
def test_location_encoder_equals_the_released_one(released_encoder, our_encoder, places):
    theirs, ours = released_encoder(places), our_encoder(places)
    assert theirs.shape == ours.shape == (10_000, 512)
    assert (theirs - ours).abs().max() <= 1e-5
    assert (F.normalize(theirs, dim=1) - F.normalize(ours, dim=1)).abs().max() <= 1e-5
    # Float64 places, as the rest of geoloc has them, give the very same vectors.
    assert (our_encoder(places[:500].double()) - ours[:500]).abs().max() <= 1e-6
    # The test can fail: swapped coordinates are far off.
    swapped = our_encoder(places[100:200].flip(1).clamp(-90, 90))
    assert (theirs[100:200] - swapped).abs().max() > 1e-2


@torch.no_grad()
def test_bfloat16_layers_keep_the_embedding_where_a_plain_product_loses_the_phases(
    released_encoder, our_encoder, places
):
    some = places[:300]
    exact = our_encoder.double()(some)
    our_encoder.float()
    with torch.autocast("cpu", torch.bfloat16):
        ours, theirs = our_encoder(some), released_encoder(some)
    assert F.cosine_similarity(ours.double(), exact, dim=1).min() >= 0.9999
    assert F.cosine_similarity(theirs.double(), exact, dim=1).min() < 0.6


@torch.no_grad()
def test_float64_agrees_too(released_encoder, our_encoder, places):
    some = places[:300].double()
    exact = our_encoder.double()(some)
    theirs = released_encoder.double()(some)
    our_encoder.float()
    released_encoder.float()
    # The package adds its branches up in float32 and rounds the root of three to it.
    assert (exact - theirs).abs().max() <= 1e-5


@torch.no_grad()
def test_exported_files_load_in_the_package_and_give_the_same(
    released_encoder, our_encoder, places, tmp_path
):
    original = read_tensors(released_folder() / "weights" / LOCATION_FILE)
    tiny = torch.finfo(torch.float32).tiny
    denormal = sum(int(((w != 0) & (w.abs() < tiny)).sum()) for w in original.values())
    assert denormal > 10_000, "what a CPU is slow on is in the release, and nothing else changes"
    original = {key: torch.where(w.abs() < tiny, 0.0, w) for key, w in original.items()}
    for name in ("exported.pth", "exported.safetensors"):
        export_location_encoder(our_encoder, tmp_path / name)
        state = read_tensors(tmp_path / name)
        assert sorted(state) == sorted(original)
        assert all(torch.equal(state[key], original[key]) for key in original)
        released_encoder.load_state_dict(state, strict=True)
        again = load_location_encoder(tmp_path / name)
        assert torch.equal(again(places[:50]), our_encoder(places[:50]))


@torch.no_grad()
def test_image_head_and_temperature():
    folder = released_folder() / "weights"
    head = load_image_head(folder / IMAGE_HEAD_FILE)
    state = read_tensors(folder / IMAGE_HEAD_FILE)
    features = torch.randn(5, 768, generator=torch.Generator().manual_seed(1))
    hidden = (features @ state["0.weight"].T + state["0.bias"]).clamp(min=0)
    expected = hidden @ state["2.weight"].T + state["2.bias"]
    torch.testing.assert_close(head(features), expected, atol=1e-5, rtol=1e-5)
    assert float(read_scalar(folder / LOGIT_SCALE_FILE).exp()) == pytest.approx(39.69, abs=0.005)


def test_gallery_has_the_released_rows():
    places = gallery_places()
    assert places.shape == (100_000, 2)
    assert places.dtype == np.float64
    assert (np.abs(places) <= [90, 180]).all()
    assert len(np.unique(places, axis=0)) == 94_123
    assert places[0].tolist() == [-50.943392, -72.935664]

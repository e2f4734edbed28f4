from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from geoloc.errors import CheckpointError, ConfigError, CoordinateError
from geoloc.geodesy import equal_earth
from geoloc.models.location_encoder import (
    LocationEncoder,
    load_matching,
    scaled_equal_earth,
)

PLACES = torch.tensor([[48.85, 2.35], [-33.9, 151.2], [90.0, 0.0], [0.0, -180.0], [0.0, 180.0]])


def small(**options) -> LocationEncoder:
    return LocationEncoder((1.0, 16.0), 12, hidden=16, features=8, seed=3, **options)


def test_default_names_and_shapes_are_geoclips():
    shapes = {name: tuple(value.shape) for name, value in LocationEncoder().state_dict().items()}
    expected = {}
    for branch in ("LocEnc0", "LocEnc1", "LocEnc2"):
        expected[f"{branch}.capsule.0.b"] = (256, 2)
        for layer, width in ((1, 512), (3, 1024), (5, 1024)):
            expected[f"{branch}.capsule.{layer}.weight"] = (1024, width)
            expected[f"{branch}.capsule.{layer}.bias"] = (1024,)
        expected[f"{branch}.head.0.weight"] = (512, 1024)
        expected[f"{branch}.head.0.bias"] = (512,)
    assert shapes == expected


def test_plane_is_the_scaled_equal_earth_of_geodesy():
    places = torch.from_numpy(
        np.random.default_rng(0).uniform([-90, -180], [90, 180], size=(500, 2))
    )
    expected = equal_earth(places) * 66.50336 / 180
    torch.testing.assert_close(scaled_equal_earth(places), expected, atol=1e-12, rtol=0)
    rough = scaled_equal_earth(places.float()).double()
    torch.testing.assert_close(rough, expected, atol=1e-6, rtol=0)
    # The scale puts the antimeridian of the equator at x = 1.
    assert scaled_equal_earth(torch.tensor([[0.0, 180.0]]))[0, 0].item() == pytest.approx(
        1, abs=2e-3
    )


@torch.no_grad()
def test_output_is_the_plain_sum_of_branches_written_out():
    encoder = small()
    state = encoder.state_dict()
    total = torch.zeros(len(PLACES), 12)
    for branch in ("LocEnc0", "LocEnc1"):
        phase = 2 * math.pi * scaled_equal_earth(PLACES) @ state[f"{branch}.capsule.0.b"].T
        x = torch.cat((phase.cos(), phase.sin()), dim=1)
        for layer in ("capsule.1", "capsule.3", "capsule.5"):
            x = F.relu(
                F.linear(x, state[f"{branch}.{layer}.weight"], state[f"{branch}.{layer}.bias"])
            )
        total += F.linear(x, state[f"{branch}.head.0.weight"], state[f"{branch}.head.0.bias"])
    torch.testing.assert_close(encoder(PLACES), total, atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_autocast_stays_close_to_float64():
    torch.manual_seed(0)
    encoder = LocationEncoder((256.0,), 64, hidden=128, features=256)
    exact = encoder.double()(PLACES.double())
    encoder.float()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = encoder(PLACES)
    assert F.cosine_similarity(mixed.double(), exact, dim=1).min() > 0.999
    half = encoder.bfloat16()(PLACES)
    assert half.dtype == torch.bfloat16
    assert F.cosine_similarity(half.double(), exact, dim=1).min() > 0.999


def test_gradient_reaches_every_weight_but_not_the_frequencies():
    encoder = small()
    encoder(PLACES).square().sum().backward()
    assert all(weight.grad is not None for weight in encoder.parameters())
    assert not any(name.endswith(".b") for name, _ in encoder.named_parameters())


def test_seed_decides_and_leaves_the_global_generator_alone():
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    first, second = small().state_dict(), small().state_dict()
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = LocationEncoder((1.0, 16.0), 12, hidden=16, features=8, seed=4).state_dict()
    assert not torch.equal(first["LocEnc0.capsule.0.b"], other["LocEnc0.capsule.0.b"])


def test_half_precision_places_are_refused():
    with pytest.raises(CoordinateError, match="degree"):
        small()(PLACES.to(torch.bfloat16))


@pytest.mark.parametrize("sigmas", [(), (1.0, 0.0), (-2.0,)])
def test_impossible_sigmas_are_refused(sigmas):
    with pytest.raises(ConfigError, match="sigmas"):
        LocationEncoder(sigmas)


def test_load_matching_fills_the_old_branches_of_a_grown_encoder():
    old = small()
    grown = LocationEncoder((1.0, 16.0, 256.0), 12, hidden=16, features=8, seed=9)
    fresh = {name: value.clone() for name, value in grown.state_dict().items()}
    report = load_matching(grown, {**old.state_dict(), "logit_scale": torch.zeros(())})
    after = grown.state_dict()
    assert set(report.loaded) == set(old.state_dict())
    assert report.unexpected == ("logit_scale",)
    assert report.missing
    assert all(name.startswith("LocEnc2.") for name in report.missing)
    assert all(torch.equal(after[name], old.state_dict()[name]) for name in report.loaded)
    assert all(torch.equal(after[name], fresh[name]) for name in report.missing)


def test_load_matching_refuses_other_shapes_and_changes_nothing():
    encoder = small()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    wide = LocationEncoder((1.0, 16.0), 12, hidden=32, features=8, seed=1)
    with pytest.raises(CheckpointError, match=r"capsule\.1\.weight"):
        load_matching(encoder, wide.state_dict())
    assert all(torch.equal(before[name], value) for name, value in encoder.state_dict().items())

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from geoloc.models.fourier_features import FourierFeatures


def features_and_points(sigma: float = 256.0):
    torch.manual_seed(0)
    module = FourierFeatures(sigma, 256)
    return module, torch.rand(200, 2) * torch.tensor([2.0, 1.0]) - torch.tensor([1.0, 0.5])


def exact(module: FourierFeatures, points: torch.Tensor) -> torch.Tensor:
    phase = 2 * math.pi * points.double() @ module.b.double().T
    return torch.cat((phase.cos(), phase.sin()), dim=1)


def lowest_cosine(got: torch.Tensor, wanted: torch.Tensor) -> float:
    return F.cosine_similarity(got.double(), wanted, dim=1).min().item()


def test_formula_by_hand():
    module = FourierFeatures(1.0, 2)
    module.b.copy_(torch.tensor([[0.25, 0.0], [0.0, 0.5]]))
    got = module(torch.tensor([[1.0, 0.5]]))
    expected = torch.tensor([[0.0, 0.0, 1.0, 1.0]])  # cos, cos of 90 degrees; sin, sin
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("sigma", [1.0, 16.0, 256.0])
def test_frequencies_have_the_given_spread_and_are_no_parameters(sigma):
    module, _ = features_and_points(sigma)
    assert module.b.std().item() == pytest.approx(sigma, rel=0.12)
    assert list(module.parameters()) == []
    assert list(module.state_dict()) == ["b"]


def test_autocast_leaves_the_phases_exact_where_a_plain_product_loses_them():
    module, points = features_and_points(2.0**8)
    wanted = exact(module, points)
    with torch.autocast("cpu", torch.bfloat16):
        ours = module(points)
        phase = (2 * math.pi * points @ module.b.T).float()
        plain = torch.cat((phase.cos(), phase.sin()), dim=1)
    assert ours.dtype == torch.float32
    assert lowest_cosine(ours, wanted) >= 0.9999
    assert lowest_cosine(plain, wanted) < 0.9


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_casting_the_module_keeps_the_frequencies(dtype):
    module, points = features_and_points()
    before = module.b.clone()
    wanted = exact(module, points)
    module.to(dtype)
    assert torch.equal(module.b, before)
    assert lowest_cosine(module(points), wanted) >= 0.9999
    assert module.double().b.dtype == torch.float64


def test_equals_a_float32_matrix_product_bit_for_bit():
    # What a tensor core in TF32 would not give; parity with released weights rests on it.
    module, points = features_and_points()
    phase = 2 * math.pi * points @ module.b.T
    assert torch.equal(module(points), torch.cat((phase.cos(), phase.sin()), dim=1))


def test_lower_matmul_precision_does_not_reach_the_phases():
    module, points = features_and_points()
    before = torch.get_float32_matmul_precision()
    wanted = module(points)
    try:
        torch.set_float32_matmul_precision("medium")
        assert torch.equal(module(points), wanted)
    finally:
        torch.set_float32_matmul_precision(before)

import numpy as np
import pytest
import torch

from geoloc.geodesy.array_namespace import array_namespace, cast_like, sqrt_at_zero, widen


def test_namespace_follows_the_arrays():
    assert array_namespace(np.zeros(2), np.zeros(3)) is np
    assert array_namespace(torch.zeros(2)) is torch


def test_mixed_kinds_and_lists_are_refused():
    with pytest.raises(TypeError, match="mixed"):
        array_namespace(np.zeros(2), torch.zeros(2))
    with pytest.raises(TypeError):
        array_namespace([1.0, 2.0])  # pyright: ignore[reportArgumentType]


def test_widen_and_cast_like_round_trip_dtypes():
    assert widen(np.zeros(2, np.float32)).dtype == np.float64
    assert widen(torch.zeros(2, dtype=torch.bfloat16)).dtype == torch.float64
    assert cast_like(np.zeros(2), np.zeros(1, np.float32)).dtype == np.float32
    assert cast_like(torch.zeros(2), torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_square_root_has_a_gradient_of_zero_at_zero():
    x = torch.tensor([0.0, 4.0], requires_grad=True)
    root = sqrt_at_zero(x)
    root.sum().backward()
    assert root.tolist() == [0.0, 2.0]
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 0.25]
    assert sqrt_at_zero(np.array([0.0, 9.0], np.float32)).tolist() == [0.0, 3.0]
    assert np.isnan(sqrt_at_zero(np.array([np.nan]))).all()
    assert torch.isnan(sqrt_at_zero(torch.tensor([float("nan")]))).all()

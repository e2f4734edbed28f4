from __future__ import annotations

import pytest
import torch

from geoloc.models.initialization import seeded


def test_inside_the_seed_decides_and_outside_nothing_has_happened():
    torch.manual_seed(1)
    expected = torch.rand(2), torch.rand(2)
    torch.manual_seed(1)
    first = torch.rand(2)
    with seeded(7):
        inside = torch.rand(2)
    with seeded(7):
        again = torch.rand(2)
    assert torch.equal(inside, again)
    assert torch.equal(first, expected[0])
    assert torch.equal(torch.rand(2), expected[1])


def test_an_exception_restores_the_generator_too():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with pytest.raises(KeyError), seeded(7):
        raise KeyError
    assert torch.equal(torch.rand(2), expected)


def test_without_a_seed_the_global_generator_is_used():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    with seeded(None):
        assert torch.equal(torch.rand(2), expected)

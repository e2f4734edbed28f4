from __future__ import annotations

import pytest
import torch

from geoloc.geodesy import unit_vectors


def unit_rows(count, dim, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.nn.functional.normalize(torch.randn(count, dim, generator=generator), dim=1)


def encode_places(latlon_deg):
    """A model small enough to know: the place's own unit vector."""
    return unit_vectors(latlon_deg).float()


@pytest.fixture
def rows():
    return unit_rows


@pytest.fixture
def encode():
    return encode_places

from __future__ import annotations

import pytest
import torch

from geoloc.errors import ConfigError
from geoloc.models import ConvEncoder


def test_size_and_shape():
    encoder = ConvEncoder()
    assert 0.7e6 < sum(weight.numel() for weight in encoder.parameters()) < 1.6e6
    for side in (64, 96, 128, 37):
        assert encoder(torch.rand(1, 3, side, side)).shape == (1, encoder.feature_dim) == (1, 256)
    assert encoder.preset.size == 96


def test_an_image_does_not_depend_on_its_batch():
    torch.manual_seed(0)
    encoder = ConvEncoder(8, 32)
    images = torch.randn(4, 3, 32, 32)
    together = encoder(images)
    torch.testing.assert_close(encoder(images[2:3])[0], together[2], atol=1e-6, rtol=1e-5)
    encoder.eval()
    torch.testing.assert_close(encoder(images), together, atol=0, rtol=0)


def test_it_learns_to_tell_two_textures_apart():
    torch.manual_seed(0)
    encoder = ConvEncoder(8, 32)
    head = torch.nn.Linear(encoder.feature_dim, 2)
    optimizer = torch.optim.Adam([*encoder.parameters(), *head.parameters()], lr=3e-3)
    stripes = torch.sin(torch.arange(32.0)).expand(3, 32, 32)
    for _ in range(25):
        labels = torch.arange(16) % 2
        images = torch.randn(16, 3, 32, 32)
        # Rows against columns: the means and spectra of both classes are equal.
        images = images + torch.where(labels[:, None, None, None] == 0, stripes, stripes.mT)
        loss = torch.nn.functional.cross_entropy(head(encoder(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_fingerprint_sees_weights_and_preset():
    torch.manual_seed(0)
    encoder = ConvEncoder(8, 32)
    before = encoder.fingerprint()
    twin = ConvEncoder(8, 32)
    assert twin.fingerprint() != before
    twin.load_state_dict(encoder.state_dict())
    assert twin.fingerprint() == before
    larger = ConvEncoder(8, 64)
    larger.load_state_dict(encoder.state_dict())
    assert larger.fingerprint() != before
    with torch.no_grad():
        twin.stem.weight[0, 0, 0, 0] += 1e-6
    assert twin.fingerprint() != before


@pytest.mark.parametrize("width", [0, 12, -8])
def test_impossible_widths_are_refused(width):
    with pytest.raises(ConfigError, match="width"):
        ConvEncoder(width)
